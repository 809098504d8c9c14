"""What is stored and is not what an adapter stores: it is damaged, and that session only."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from memory_cache import DamagedSessionError, SessionKey

_NOT_SO: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,  # what LangGraph's serializer raises for a type it does not know
    RecursionError,
    TypeError,
    ValueError,
)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """
    Read what is stored as ``what``; that it is none is damage.

    For what depends on the store alone: an error about what a caller gave would be damage, too.

    Raises:
        DamagedSessionError: it cannot be read so.
    """
    try:
        yield
    except _NOT_SO as error:
        raise DamagedSessionError(f"what is stored cannot be read as {what}") from error


@contextmanager
def one_of_many(key: SessionKey) -> Iterator[None]:
    """Say of which session an error is, for who has asked for many."""
    try:
        yield
    except DamagedSessionError as error:
        error.add_note(f"It is the session {'/'.join(key)} (namespace/user/id).")
        raise
