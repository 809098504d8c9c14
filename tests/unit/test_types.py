import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memory_cache import Version, at_least
from memory_cache._types import Header
from unit.strategies import headers, words


@given(words)
def test_version_round_trip(version: Version) -> None:
    """A version is read back from its text, and a consistency takes either."""
    assert Version.parse(str(version)) == version
    assert at_least(str(version)) == at_least(version)


@given(st.text())
@example("a.b.1")
@example("a.b.1.c.d")
@example("a.b.-1.c")
@example("a.b.²" + ".c")
@example("a.b.+1.c")
@example("a.b. 1.c")
@example("a.b.1_0.c")
@example("..1.")
@example("\ud800.b.1.c")
@example("a.b." + "9" * 5000 + ".c")
def test_version_garbage(text: str) -> None:
    """A text that was not made by us is refused with a ValueError, or can be sent to a store."""
    try:
        version = Version.parse(text)
    except ValueError:
        return
    str(version).encode("ascii")


@given(headers())
def test_header_round_trip(header: Header) -> None:
    """A header is read back from its line."""
    assert Header.parse(header.line().encode()) == header


@given(st.binary(max_size=80))
@example(b"1 i 1 t 0 0 0 0 0 0 0 0 0 0 e:1")
@example(b"2 i 1 t 0 0 0 0 0 0 0 0 0 0 ")
@example(b"2 i 1 t 0 0 0 0 0 0 0 0 0 e:1")
@example(b"2 i 1 t 0 0 0 0 0 0 0 0 -1 0 e:1")
@example(b"2 i 1 t 0 0 0 0 0 0 0 0 +1 0 e:1")
@example(b"2 i 1 t 0 0 0 0 0 0 0 0 1_0 0 e:1")
def test_header_garbage(line: bytes) -> None:
    """What is no header of this format is a ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011  # its message is of no use
        Header.parse(line)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=12),
    st.data(),
)
def test_header_holds_ancestors_only(history: list[tuple[int, int]], data: st.DataObject) -> None:
    """A header holds exactly the versions on its own line of descent, over any failovers."""
    # Each step is a change; before it, a failover may lose the last 0 to 3 changes.
    line: list[Version] = []
    seen: list[Version] = []
    eras: list[tuple[str, int]] = []
    for at, (lost, failover) in enumerate(history):
        if failover:
            line = line[: max(0, len(line) - lost)]
        num = len(line) + 1
        eras = [(era, first) for era, first in eras if first < num]
        if failover or not eras:
            eras = [*eras, (f"e{at}", num)]
        line = [*line, Version("i", eras[-1][0], num, f"t{at}")]
        seen.append(line[-1])
    last = line[-1]
    header = _header(last, tuple(eras))
    version = data.draw(st.sampled_from(seen))
    assert header.holds(version) == (version in line)
    assert not header.holds(Version("other", version.era, version.num, version.tag))
    assert not header.holds(Version("i", last.era, last.num + 1, "t"))
    assert header.version == last


def _header(version: Version, eras: tuple[tuple[str, int], ...]) -> Header:
    return Header(version.inc, version.num, version.tag, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, eras)
