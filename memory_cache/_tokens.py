"""Token counters: of a text ``"{role}: {content}"``, as the contract counts."""

from collections.abc import Callable

ENCODING = "cl100k_base"
"""The contract counts every model with this one."""


def estimate(text: str) -> int:
    """Return a quarter of the length, rounded up: the contract's way without an encoding."""
    return max(1, (len(text) + 3) // 4)


def token_counter() -> tuple[str, Callable[[str], int]]:
    """
    Return the best counter there is, and its name: ``"cl100k_base"`` or ``"estimate"``.

    tiktoken downloads the file of its encoding at first use, so this may take a while once.
    """
    try:
        import tiktoken  # noqa: PLC0415  # an optional extra

        encoding = tiktoken.get_encoding(ENCODING)
    except Exception:  # noqa: BLE001  # not installed, no network, a broken file: all the same
        return "estimate", estimate

    def count(text: str) -> int:
        # What looks like a special token is text here: it must never fail a write.
        return len(encoding.encode(text, disallowed_special=()))

    return ENCODING, count
