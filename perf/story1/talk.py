"""
A conversation as a client keeps it: bytes ready to send, and what the answers must begin with.

Pure, because Locust's workers import it: no asyncio, nothing of ours.
"""

import sys
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Self

NAMESPACE = "story1"
USER = "u7"
LAST = 20
_BEGIN = datetime(2025, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
_HEAD = b'{"messages":['
_CLOSED = b"],"
"""What follows the messages in a session and in every answer: so there are no more of them."""
Bytes = bytes | bytearray
BUCKETS = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 1_000_000)


def message(session: str, seq: int) -> bytes:
    """Return a message in the contract's six-field form, 350 to 550 bytes, all different."""
    time = (_BEGIN + timedelta(seconds=seq)).isoformat().replace("+00:00", "Z")
    text = "The quick brown fox jumps over the lazy dog and says so. " * 7
    content = f"{session} {seq:07d} {text[: 160 + seq * 37 % 220]}"
    role = "assistant" if seq % 2 else "user"
    return (
        f'{{"role":"{role}","content":"{content}","id":"{session}-{seq:07d}",'
        f'"created_at":"{time}","persisted_at":null,"discrete_memory_extracted":"f"}}'
    ).encode()


def bucket(size: int) -> str:
    """Return the name of the size of a session: requests are reported by it."""
    return next(f"{top:,}" for top in BUCKETS if size <= top)


class Talk:
    """
    One session, from the client's side.

    ``kept``: whether to hold the whole transcript, which only PUTs of all of it need; ``whole`` is
    what they send, and grows in place.
    """

    def __init__(self, session: str, *, kept: bool = True) -> None:
        """Begin with no messages."""
        self.session = session
        self.size = 0
        self.path = f"/v1/working-memory/{session}"
        self.scope = f"namespace={NAMESPACE}&user_id={USER}"
        self._kept = kept
        self._last: deque[bytes] = deque(maxlen=LAST)
        self._tail = (
            f'],"memories":[],"data":null,"context":null,"user_id":"{USER}","tokens":0,'
            f'"session_id":"{session}","namespace":"{NAMESPACE}",'
            '"long_term_memory_strategy":{"strategy":"discrete","config":{}},"ttl_seconds":null}'
        ).encode()
        self.whole = bytearray(_HEAD + self._tail)

    @classmethod
    def ending_at(cls, size: int, session: str) -> Self:
        """Return a session of which only the last messages matter."""
        talk = cls(session, kept=False)
        talk.size = max(size - LAST, 0)
        talk.grow(size)
        return talk

    def grow(self, size: int) -> bytes:
        """Grow to ``size`` messages; return the new ones, joined by commas."""
        new = [message(self.session, seq) for seq in range(self.size, size)]
        joined = b",".join(new)
        if self._kept and new:
            del self.whole[-len(self._tail) :]
            self.whole += b"".join((b"," if self.size else b"", joined, self._tail))
        self._last.extend(new)
        self.size = size
        return joined

    def body(self) -> bytes:
        """Return the whole session, as a PUT sends it: a copy of ``whole``."""
        return bytes(self.whole)

    def whole_is_right(self, answer: Bytes, begin: int = 0, end: int = sys.maxsize) -> bool:
        """Whether an answer, ``[begin, end)`` of a buffer, holds just this transcript."""
        with memoryview(self.whole) as body, body[: len(_CLOSED) - len(self._tail)] as messages:
            return answer.startswith(messages, begin, end)

    def last_is_right(self, answer: Bytes, begin: int = 0, end: int = sys.maxsize) -> bool:
        """Whether an answer holds just the last twenty messages, byte for byte."""
        return answer.startswith(_HEAD + b",".join(self._last) + _CLOSED, begin, end)

    def appended_is_right(self, answer: Bytes, begin: int = 0, end: int = sys.maxsize) -> bool:
        """Whether the answer to an append says that it came where it belongs."""
        return answer.find(f'"end":{self.size},'.encode(), begin, end) >= 0
