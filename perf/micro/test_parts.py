"""
The pure parts of the library under pytest-benchmark: each call at its usual size.

``correct``, recorded beside every number, says that the answer was the one it must be.
"""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from memory_cache import ContractMessage, session_key
from memory_cache._blocks import Block, layout
from memory_cache._coherence import Event, State, judge, replay, step
from memory_cache._delta import Delta, decode, encode
from memory_cache._json import canonical
from memory_cache._redis.keys import Keys
from memory_cache._ring import Ring
from memory_cache._types import BLOCK, Header, Meta, StoredMessage
from memory_cache_server.put_prefix import match, record_of
from perf.story1.talk import Talk

TEXT = b'{"role":"user","content":"' + b"x" * 280 + b'"}'
META = Meta(own_view=False, tokens=70, created_at=1_700_000_000_000_000, id="0" * 26)
MESSAGE = StoredMessage(TEXT, META)


def header(num: int) -> Header:
    """Return the header of a session after so many appends."""
    return Header(
        inc="1" * 16,
        num=num,
        tag=f"{num:016x}",
        first=0,
        next=num,
        edits=0,
        size=num * len(TEXT),
        token_count=num,
        max_created=META.created_at,
        updated=META.created_at,
        created=META.created_at,
        ttl_ms=0,
        fields_num=0,
        eras=(("e" * 10, 1),),
    )


def delta(num: int) -> Delta:
    """Return the delta of the append that made version ``num``."""
    return Delta("A", header(num - 1).tag, header(num), -1, None, (MESSAGE,))


def timed(benchmark: BenchmarkFixture, work: Callable[[], Any], wanted: object) -> None:
    """Measure, and record whether the answer was right."""
    correct = work() == wanted
    benchmark.extra_info["correct"] = correct
    benchmark(work)
    assert correct


@pytest.fixture
def ring() -> Ring:
    """A full ring."""
    made = Ring(0, 0, capacity=128, max_bytes=10**9)
    made.push([MESSAGE] * 200, [TEXT] * 200)
    return made


@pytest.mark.benchmark(group="ring")
def test_ring_push(benchmark: BenchmarkFixture, ring: Ring) -> None:
    """One message pushed over the oldest."""
    messages, views = [MESSAGE], [TEXT]
    timed(benchmark, lambda: ring.push(messages, views), None)


@pytest.mark.benchmark(group="ring")
def test_ring_last_20(benchmark: BenchmarkFixture, ring: Ring) -> None:
    """The newest twenty."""
    timed(benchmark, lambda: [slot.body for slot in ring.last(20)], [TEXT] * 20)


@pytest.mark.benchmark(group="coherence")
def test_coherence_step(benchmark: BenchmarkFixture) -> None:
    """A delta judged and its transition taken."""
    held, heard = header(5), delta(6)
    after = step(State.LIVE, Event.NEXT)
    timed(benchmark, lambda: step(State.LIVE, judge(held, heard)), after)


@pytest.mark.benchmark(group="coherence")
def test_coherence_replay(benchmark: BenchmarkFixture) -> None:
    """Eight kept deltas replayed on a snapshot."""
    kept = [delta(num) for num in range(6, 14)]
    timed(benchmark, lambda: replay(header(5), kept), kept)


@pytest.mark.benchmark(group="coherence")
def test_delta_decode(benchmark: BenchmarkFixture) -> None:
    """A message of the bus, read."""
    heard = delta(6)
    payload = encode(heard)
    timed(benchmark, lambda: decode(payload), heard)


@pytest.mark.benchmark(group="blocks")
def test_block_layout(benchmark: BenchmarkFixture) -> None:
    """A sealed block, laid out as fields."""
    many = [MESSAGE] * BLOCK
    names = ["t0", "b0"]
    timed(benchmark, lambda: [name for name, _ in layout(0, many, 0)[0]], names)


@pytest.mark.benchmark(group="blocks")
def test_block_messages(benchmark: BenchmarkFixture) -> None:
    """A sealed block, cut into messages."""
    fields = dict(layout(0, [MESSAGE] * BLOCK, 0)[0])
    block = Block(0, fields["b0"], fields["t0"])
    timed(benchmark, block.messages, [MESSAGE] * BLOCK)


@pytest.mark.benchmark(group="keys")
def test_session_key(benchmark: BenchmarkFixture) -> None:
    """Names checked, and the key made of them."""
    keys = Keys("mc", 0)

    def build() -> str:
        return keys.session(session_key("chat 1", namespace="acme", user_id="u/7"))

    timed(benchmark, build, "mc:{acme/u%2F7/chat%201}")


@pytest.mark.benchmark(group="transcript")
def test_canonical(benchmark: BenchmarkFixture) -> None:
    """A message as canonical JSON."""
    message = orjson.loads(TEXT)
    timed(benchmark, lambda: canonical(message, "message", max_depth=64), TEXT)


@pytest.mark.benchmark(group="transcript")
@pytest.mark.parametrize("size", [100, 1_000, 10_000])
def test_prefix(benchmark: BenchmarkFixture, size: int) -> None:
    """A PUT that grew by one message, told by its bytes; hashing them is what grows."""
    talk = Talk("micro")
    talk.grow(size)
    body = talk.body()
    sent = orjson.loads(body)["messages"]
    taken = [ContractMessage(*each.values()) for each in sent]
    record = record_of(body, sent, taken, size, "f")
    assert record is not None, "it is written as usual"
    assert record.checkpoints[-1].forms, "as it is answered"
    talk.grow(size + 1)
    grown = talk.body()

    def rest() -> int:
        found = match(grown, record)
        return -1 if found is None else len(found.value["messages"])

    timed(benchmark, rest, 1)
