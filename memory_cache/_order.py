"""The last messages by created_at, read back only as far as the disorder reaches."""

from collections.abc import Sequence

from memory_cache._types import StoredMessage


def latest(
    messages: Sequence[StoredMessage], count: int, max_before: int, *, complete: bool
) -> list[int] | None:
    """
    Return which of ``messages`` are the last ``count`` by created_at, oldest first.

    The order is the contract's: a stable sort of the whole transcript by created_at, so of
    equal times the later seq is the later message. ``max_before``: the largest created_at
    before these messages; ``complete``: there are none before. None: these messages do not
    tell, more must be read.
    """
    order = sorted(range(len(messages)), key=lambda at: messages[at].meta.created_at)
    chosen = order[max(0, len(order) - count) :]
    if complete or count == 0:
        return chosen
    if len(chosen) < count or messages[chosen[0]].meta.created_at < max_before:
        return None
    return chosen
