"""What the unit tests draw: headers, messages as stored, and bus messages."""

import orjson
from hypothesis import strategies as st

from memory_cache._delta import Delta
from memory_cache._types import Header, Meta, StoredMessage, Version
from memory_cache._view import ulid

hexes = st.integers(0, 2**64 - 1).map("{:016x}".format)
eras = st.integers(0, 2**40 - 1).map("{:010x}".format)
counts = st.integers(0, 2**50)
times = st.integers(0, 2**51)
words = st.builds(Version, inc=hexes, era=eras, num=counts, tag=hexes)

texts = st.text(max_size=20)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, values, max_size=4)

metas = st.builds(
    lambda own_view, tokens, created_at, made_id: Meta(
        own_view, tokens, created_at, "" if own_view else made_id
    ),
    st.booleans(),
    counts,
    times,
    st.sampled_from(["", "01JD0000000000000000000000", "short"]),
)
ulid_metas = st.builds(
    lambda tokens, created_at, chance: Meta(
        own_view=False,
        tokens=tokens,
        created_at=created_at,
        id=ulid(created_at // 1000, chance),
    ),
    counts,
    times,
    st.integers(0, 2**80 - 1),
)
metas = metas | ulid_metas
stored = st.builds(StoredMessage, objects.map(orjson.dumps), metas)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    """A header that the store may hold."""
    num, held = draw(st.integers(1, 2**40)), draw(st.integers(0, 2**40))
    first = draw(st.integers(0, 2**46))
    reigns = draw(st.lists(st.integers(1, num), min_size=1, max_size=4, unique=True))
    return Header(
        inc=draw(hexes),
        num=num,
        tag=draw(hexes),
        first=first,
        next=first + held,
        edits=draw(st.integers(0, num - 1)),
        size=draw(st.integers(2 * held, 2**52)) if held else 0,
        token_count=draw(counts),
        max_created=draw(times),
        updated=draw(times),
        created=draw(times),
        ttl_ms=draw(counts),
        fields_num=draw(st.integers(0, num)),
        eras=tuple((draw(eras), since) for since in sorted(reigns)),
    )


tags = hexes | st.just("-")
fields = st.none() | objects.map(orjson.dumps)
left = st.integers(-1, 2**40)
deltas = st.builds(
    Delta, st.just("A"), tags, headers(), left, fields, st.lists(stored, max_size=5).map(tuple)
) | st.builds(Delta, st.sampled_from("CD"), tags, headers(), left, st.none(), st.none())


def header(
    num: int = 1, *, inc: str = "i", first: int = 0, next_: int = 0, edits: int = 0
) -> Header:
    """A header of one reign, whose tag tells its number."""
    return Header(
        inc=inc,
        num=num,
        tag=f"t{num}",
        first=first,
        next=next_,
        edits=edits,
        size=8 * (next_ - first),
        token_count=0,
        max_created=0,
        updated=0,
        created=0,
        ttl_ms=0,
        fields_num=0,
        eras=(("e", 1),),
    )


def message(at: int, created_at: int = 0, tokens: int = 1) -> StoredMessage:
    """A message that tells its position."""
    return StoredMessage(
        b'{"n":%d}' % at, Meta(own_view=True, tokens=tokens, created_at=created_at, id="")
    )


def append(num: int, *messages: StoredMessage, inc: str = "i", next_: int | None = None) -> Delta:
    """The delta of the append that made version ``num``, one message as a rule."""
    end = num if next_ is None else next_
    after = header(num, inc=inc, next_=end)
    brought = messages or (message(num - 1),)
    views = tuple(body for body, _ in brought)
    return Delta("A", f"t{num - 1}", after, -1, None, brought, views)
