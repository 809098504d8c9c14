from hypothesis import given
from hypothesis import strategies as st

from memory_cache.testing import body_of, sight
from memory_cache.testing.history import Sighting

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(session=st.text(), name=st.text(), size=st.integers(0, 400))
def test_round_trip(session: str, name: str, size: int) -> None:
    """Whatever the names, a message is read back as what it was made of."""
    assert sight(body_of(session, name, size)) == Sighting(name, session, intact=True)


def test_size() -> None:
    """A message's content has the length asked for, give or take the digits of a number."""
    for size in (100, 999, 1000, 65_536):
        assert abs(len(str(body_of("chat", "m1", size)["content"])) - size) <= 2


def test_repeatable() -> None:
    """The same names make the same message, and other names another one."""
    assert body_of("chat", "m1", 200) == body_of("chat", "m1", 200)
    assert body_of("chat", "m1", 200)["content"] != body_of("chat", "m2", 200)["content"]


@given(session=st.text(), name=st.text(), size=st.integers(0, 200), at=st.integers(0), by=st.text())
def test_torn(session: str, name: str, size: int, at: int, by: str) -> None:
    """No piece of the content can be cut or changed unseen."""
    content = str(body_of(session, name, size)["content"])
    at %= len(content)
    torn = content[:at] + by + content[at + 1 :]
    if torn != content:
        assert not sight({"role": "user", "content": torn}).intact
    assert not sight({"role": "user", "content": content[:at]}).intact


def test_mixed() -> None:
    """A message put together from two is not intact, but still says what it began as."""
    one, two = (str(body_of("chat", name, 200)["content"]) for name in ("m1", "m2"))
    assert sight({"content": one[:100] + two[100:]}) == Sighting("m1", "chat", intact=False)


@given(message=st.dictionaries(st.sampled_from(["role", "content"]), JSON))
def test_unknown(message: dict[str, object]) -> None:
    """What was not made by us is told apart, whatever it is."""
    assert sight(message) == Sighting("", "", intact=False)


def test_unknown_names() -> None:
    """Names that are no text, or nested beyond reading, are unknown too."""
    for content in ('1|"m"|0|', '"s"|[]|0|', "[" * 100_000 + '|"m"|0||', "x|y|z|", '"s"|"m"|0'):
        assert sight({"content": content}) == Sighting("", "", intact=False)
