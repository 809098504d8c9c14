import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_cache._tokens import estimate, token_counter


@given(st.text())
def test_estimate(text: str) -> None:
    """The estimate is a quarter of the length, rounded up, and at least one."""
    assert estimate(text) == max(1, -(-len(text) // 4))


def test_without_tiktoken_it_estimates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is not installed, the counter is the estimate, and says so."""
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    name, count = token_counter()
    assert name == "estimate"
    assert count("12345") == 2


class _Encoding:
    """As tiktoken's: refuses special tokens unless it is told that none is refused."""

    def encode(self, text: str, *, disallowed_special: object = "all") -> list[str]:
        if disallowed_special == "all" and "<|endoftext|>" in text:
            raise ValueError
        return text.split()


class _Tiktoken:
    """As much of tiktoken as is needed to see how it is called, without its download."""

    @staticmethod
    def get_encoding(name: str) -> _Encoding:
        assert name == "cl100k_base"
        return _Encoding()


def test_special_tokens_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that looks like a special token is counted, and fails no write."""
    monkeypatch.setitem(sys.modules, "tiktoken", _Tiktoken)
    name, count = token_counter()
    assert name == "cl100k_base"
    assert count("user: <|endoftext|>") == 2
