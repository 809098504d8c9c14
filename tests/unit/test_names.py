import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from memory_cache import InvalidNameError, SessionKey, session_key
from memory_cache._names import MAX_NAME_BYTES, decode_key, encode_key

odd = st.text(alphabet=st.sampled_from("/{}%:.~ +aé漢2F7B\u200d\U0001f600"), max_size=5)
names = odd | st.text(max_size=20)
keys = st.builds(SessionKey, names, names, names.filter(bool))


@given(keys)
def test_encoding_is_undone(key: SessionKey) -> None:
    """A session's name is read back from its text, which holds no brace of its own."""
    assume(_valid(key))
    text = encode_key(key)
    assert decode_key(text) == key
    assert text.isascii()
    assert not set(text) & set("{} :")
    assert text.count("/") == 2


@given(keys, keys)
@example(SessionKey("a/b", "", "c"), SessionKey("a", "b", "c"))
@example(SessionKey("", "a", "b"), SessionKey("a", "", "b"))
@example(SessionKey("%2F", "", "x"), SessionKey("/", "", "x"))
@example(SessionKey("é", "", "x"), SessionKey("e\u0301", "", "x"))
def test_names_never_share_a_text(one: SessionKey, other: SessionKey) -> None:
    """Two names have the same text only if they are the same name."""
    assume(_valid(one) and _valid(other))
    assert (encode_key(one) == encode_key(other)) == (one == other)


@pytest.mark.parametrize("text", ["", "a", "a/b", "a/b/c/d"])
def test_decode_refuses_what_it_did_not_write(text: str) -> None:
    """A text without exactly three parts is a ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011  # its message is of no use
        decode_key(text)


@pytest.mark.parametrize(
    "name",
    [
        "a" * MAX_NAME_BYTES,
        "é" * (MAX_NAME_BYTES // 2),
        "a b",
        "..",
        "{x}",
        "\u200d",
        "\U0001f600",
        "e\u0301",
        "\u00a0",
    ],
)
def test_printable_names_are_kept_as_they_are(name: str) -> None:
    """Any printable text of up to 512 bytes may be each part of a name, and is not folded."""
    assert session_key(name, name, name) == SessionKey(name, name, name)


@pytest.mark.parametrize("name", ["a\nb", "\x00", "\x7f", "\x85", "\u2028", "\u2029", "\ud800"])
@pytest.mark.parametrize("part", ["session_id", "namespace", "user_id"])
def test_unprintable_names_are_refused(name: str, part: str) -> None:
    """Controls, line separators and lone surrogates are refused in each part, by its name."""
    parts = {"session_id": "s"} | {part: name}
    with pytest.raises(InvalidNameError) as caught:
        session_key(**parts)
    assert caught.value.field == part
    assert name not in str(caught.value)


@pytest.mark.parametrize("name", ["a" * (MAX_NAME_BYTES + 1), "é" * (MAX_NAME_BYTES // 2 + 1)])
def test_names_over_512_bytes_are_refused(name: str) -> None:
    """The limit counts bytes of UTF-8."""
    with pytest.raises(InvalidNameError):
        session_key(name)


def test_id_must_not_be_empty() -> None:
    """A session has an id; scopes may be absent, which is the same as empty."""
    with pytest.raises(InvalidNameError):
        session_key("")
    assert session_key("s", None, "") == session_key("s", "", None) == SessionKey("", "", "s")


def _valid(key: SessionKey) -> bool:
    try:
        return session_key(key.session_id, key.namespace, key.user_id) == key
    except InvalidNameError:
        return False
