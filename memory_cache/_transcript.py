"""From what a caller sends to what is stored: check, count, date, and name what has no name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Self

from memory_cache._errors import InvalidInputError, TooLargeError
from memory_cache._json import canonical
from memory_cache._types import Meta, StoredMessage
from memory_cache._view import (
    VIEW_FIELDS,
    ContractMessage,
    as_contract,
    contract_view,
    given_time,
    iso_time,
    micros,
)

_LAST_TIME: Final = micros("9999-12-31T23:59:59.999999Z")


class Scribe:
    """
    Turns messages into what is stored, under one set of limits and one token counter.

    ``now`` gives the time in microseconds, ``new_id`` an id for a message that has none.
    """

    def __init__(
        self,
        count_tokens: Callable[[str], int],
        now: Callable[[], int],
        new_id: Callable[[int], str],
        *,
        max_message_bytes: int,
        max_depth: int,
        max_future_seconds: int,
    ) -> None:
        """Keep the two sources and the limits; no state beside them."""
        self._count = count_tokens
        self._now = now
        self._new_id = new_id
        self._max_bytes = max_message_bytes
        self._max_depth = max_depth
        self._max_future = max_future_seconds * 1_000_000

    def limited(self, *, max_message_bytes: int, max_depth: int) -> Self:
        """Return one with other limits and the same sources."""
        return type(self)(
            self._count,
            self._now,
            self._new_id,
            max_message_bytes=max_message_bytes,
            max_depth=max_depth,
            max_future_seconds=self._max_future // 1_000_000,
        )

    def write(
        self, messages: Sequence[Mapping[str, object]], newest: int
    ) -> Iterator[StoredMessage]:
        """
        Yield messages as they are stored: any JSON object, nothing added inside.

        ``newest``: the largest created_at known of the session, in microseconds; a time given
        by us is never before it.

        Raises:
            InvalidInputError: a message is not an object that JSON keeps unchanged.
            TooLargeError: a message is over its limit.
        """
        times = self.times(newest)
        return (self._write(at, sent, times) for at, sent in enumerate(messages))

    def write_contract(
        self,
        messages: Sequence[ContractMessage],
        newest: int,
        at: int = 0,
        times: Iterator[int] | None = None,
    ) -> Iterator[StoredMessage]:
        """
        Yield contract messages in the contract's six-field form, with id and time filled in.

        ``at``: the position of the first, for what an error calls it. ``times``: those of the
        change, where its messages are written in several calls.

        Raises:
            TooLargeError: a message is over its limit.
        """
        given = times or self.times(newest)
        return (self._write_contract(i, sent, given) for i, sent in enumerate(messages, at))

    def times(self, newest: int) -> Iterator[int]:
        """Give each message of one change its own microsecond, none before ``newest``."""
        time = max(self._now(), newest)
        while True:
            yield min(time, _LAST_TIME)
            time += 1

    def _write(self, at: int, sent: Mapping[str, object], times: Iterator[int]) -> StoredMessage:
        field = f"messages[{at}]"
        if not isinstance(sent, Mapping):
            raise InvalidInputError(field, "must be an object")
        if not isinstance(sent, dict):
            sent = dict(sent)  # orjson knows no other mapping
        body = canonical(sent, field, max_depth=self._max_depth)
        ours = next(times)
        given = given_time(sent, min(self._now() + self._max_future, _LAST_TIME))
        created_at = ours if given is None else given
        own_id = sent.get("id")
        made_id = "" if isinstance(own_id, str) and own_id else self._new_id(created_at)
        view = as_contract(sent, made_id, created_at)
        own_view = len(sent) == VIEW_FIELDS and contract_view(view) == body
        keep_id = "" if own_view or view.id != made_id else made_id
        tokens = self._count(f"{view.role}: {view.content}")
        return self._checked(
            field, StoredMessage(body, Meta(own_view, tokens, created_at, keep_id))
        )

    def _write_contract(
        self, at: int, sent: ContractMessage, times: Iterator[int]
    ) -> StoredMessage:
        ours = next(times)
        if sent.created_at is None:
            created_at, sent = ours, sent._replace(created_at=iso_time(ours))
        else:
            created_at = micros(sent.created_at)
        if sent.id is None:
            sent = sent._replace(id=self._new_id(created_at))
        tokens = self._count(f"{sent.role}: {sent.content}")
        stored = StoredMessage(
            contract_view(sent), Meta(own_view=True, tokens=tokens, created_at=created_at, id="")
        )
        return self._checked(f"messages[{at}]", stored)

    def _checked(self, field: str, message: StoredMessage) -> StoredMessage:
        if len(message.body) > self._max_bytes:
            raise TooLargeError(field, f"is over {self._max_bytes} bytes")
        return message


def rendered(some: Sequence[ContractMessage]) -> bytes | None:
    """Return a block's worth of what was sent as it would be stored; None: ids are missing."""
    if any(message.id is None or message.created_at is None for message in some):
        return None
    return b"\n".join(map(contract_view, some))
