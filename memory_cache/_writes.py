"""The write paths: one script each, resent under its operation id, seen by the process itself."""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Self

from memory_cache._config import CacheConfig
from memory_cache._errors import CacheClosedError, StoreError, TooLargeError, VersionMismatchError
from memory_cache._json import canonical, stored_fields, stored_json
from memory_cache._near import NearCache
from memory_cache._ports import Clock, Condition, Operation, Outcome, Span, Store, Terms
from memory_cache._presence import Presence
from memory_cache._reads import Reader
from memory_cache._rewrites import replacing, unhurried, without_last
from memory_cache._stats import Counters
from memory_cache._transcript import Scribe
from memory_cache._types import SessionKey, StoredMessage, Version

_TRIES: Final = 64
"""How often a read-change-write begins again when somebody else was faster."""

_RESEND_PAUSE_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Change:
    """
    What a change did.

    Attributes:
        version: of the session after it; of a delete, one that is never current.
        start, end: the seqs of the messages it wrote.
        first, next: what the session holds after it.
        token_count: tokens of all its messages, as counted by us.
        replayed: it had been done before, under this operation id; this is its first result.
        existed: False only for a delete that found nothing; the version is None then.
    """

    version: Version | None
    start: int
    end: int
    first: int
    next: int
    token_count: int
    replayed: bool
    existed: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller says of a change beside its content."""

    condition: Condition | None = None
    operation_id: str | None = None
    ttl_ms: int | None = None
    put_record: bytes = b""
    input: bytes = b""


Send = Callable[[Terms], Awaitable[Outcome]]


class Writer:
    """Sends changes to the store, and keeps this process true to what it has written."""

    def __init__(  # noqa: PLR0917  # the composition root alone calls it
        self,
        store: Store,
        near: NearCache,
        reader: Reader,
        scribe: Scribe,
        clock: Clock,
        config: CacheConfig,
        counters: Counters,
    ) -> None:
        """Write through these."""
        self.store = store
        self.scribe = scribe
        self._near = near
        self._reader = reader
        self._clock = clock
        self._config = config
        self._counters = counters
        self.presence = Presence(
            store, clock, config.touch_seconds, config.presence_bytes, counters
        )

    @cached_property
    def large(self) -> Self:
        """Return one with the limits for large messages; it shares everything else."""
        other, config = copy(self), self._config.large()
        other._config = config  # noqa: SLF001  # another one of this class
        other.scribe = self.scribe.limited(
            max_message_bytes=config.max_message_bytes, max_depth=config.max_depth
        )
        return other

    async def write(
        self, key: SessionKey, messages: Mapping[str, object] | Sequence[Mapping[str, object]]
    ) -> tuple[StoredMessage, ...]:
        """
        Return messages as they will be stored.

        Raises:
            InvalidInputError, TooLargeError: a message cannot be.
        """
        several = (messages,) if isinstance(messages, Mapping) else messages
        return await unhurried(self.scribe.write(several, self._near.newest(key)))

    async def settle(self) -> None:
        """Wait for what goes on in the background."""
        await self.presence.settle()

    async def append(
        self, key: SessionKey, messages: tuple[StoredMessage, ...], print_: str, wish: Wish
    ) -> Change:
        """Add messages at the end."""
        return await self.send(
            key, wish, print_, lambda terms: self.store.append(key, messages, None, terms)
        )

    async def replace(
        self,
        key: SessionKey,
        messages: tuple[StoredMessage, ...],
        fields: bytes | None,
        print_: str,
        wish: Wish,
    ) -> Change:
        """Put a whole transcript in place of whatever there is."""
        change = await replacing(messages, 0)
        return await self.send(
            key, wish, print_, lambda terms: self.store.rewrite(key, change, fields, terms)
        )

    async def pop(self, key: SessionKey, wish: Wish) -> bytes | None:
        """Remove the last message and return it; None if there is none."""
        for attempt in range(_TRIES):
            await _wait_a_little(attempt)
            span = await self.store.tail(key, 1)
            current = span.header.version if span else None
            condition = wish.condition or Condition(current)
            if condition.version != current:
                span = None
            if wish.operation_id is None and (span is None or not span.messages):
                if condition.version != current:
                    raise VersionMismatchError(str(current) if current else None)
                return None
            note = span.messages[-1].body if span and span.messages else b""
            if note:
                stored_json(note)  # or it would be taken away before it turns out to be damaged
            try:
                outcome = await self._sent(
                    key,
                    replace(wish, condition=condition),
                    fingerprint("pop"),
                    self._popping(key, span, condition),
                    note=note,
                )
            except VersionMismatchError:
                if wish.condition is not None:
                    raise
            else:
                return outcome.note or None
        raise StoreError("the session changes too fast to be edited")

    def _popping(self, key: SessionKey, span: Span | None, condition: Condition) -> Send:
        """Return how a pop is sent; one that finds nothing has its operation recorded, too."""
        if span is not None and span.messages:
            change = without_last(span)
            return lambda terms: self.store.rewrite(key, change, None, terms)
        if condition.version is None:
            return lambda terms: self.store.delete(key, terms)
        return lambda terms: self.store.append(key, (), None, replace(terms, create=False))

    async def set_fields(self, key: SessionKey, given: Mapping[str, object], wish: Wish) -> Change:
        """Replace the fields that are given, clear those given as None, leave the others."""
        text = canonical(dict(given), "fields", max_depth=self.depth)
        print_ = fingerprint("fields", wish.input or text, str(wish.ttl_ms))
        for attempt in range(_TRIES):
            await _wait_a_little(attempt)
            span = await self.store.tail(key, 0)
            condition = wish.condition or (
                Condition(span.header.version, span.header.fields_num) if span else Condition(None)
            )
            held = stored_fields(span.fields or b"{}") if span else {}
            merged = {k: v for k, v in {**held, **given}.items() if v is not None}
            fields = self.fields(merged)
            try:
                return await self.send(
                    key,
                    replace(wish, condition=condition),
                    print_,
                    lambda terms: self.store.append(key, (), fields, terms),  # noqa: B023  # awaited in this turn
                )
            except VersionMismatchError:
                if wish.condition is not None:
                    raise
        raise StoreError("the session changes too fast to be edited")

    async def delete(self, key: SessionKey, wish: Wish) -> Change:
        """Delete the session; that there was none is no error."""
        outcome = await self._sent(
            key, wish, fingerprint("delete"), lambda terms: self.store.delete(key, terms)
        )
        self.presence.deleted(key)
        return _change(outcome)

    @property
    def depth(self) -> int:
        """How deep messages and fields may be nested."""
        return self._config.max_depth

    def fields(self, fields: Mapping[str, object]) -> bytes:
        """
        Return fields as they are stored.

        Raises:
            InvalidInputError: JSON cannot hold them unchanged.
            TooLargeError: they are over their limit.
        """
        text = canonical(dict(fields), "fields", max_depth=self.depth)
        if len(text) > self._config.max_fields_bytes:
            raise TooLargeError("fields", f"are over {self._config.max_fields_bytes} bytes")
        return text

    async def send(self, key: SessionKey, wish: Wish, print_: str, send: Send) -> Change:
        """Make a change that may create the session."""
        return _change(await self._sent(key, wish, print_, send, creates=True))

    async def _sent(
        self,
        key: SessionKey,
        wish: Wish,
        print_: str,
        send: Send,
        *,
        creates: bool = False,
        note: bytes = b"",
    ) -> Outcome:
        exists = self.presence.known(key) or self._near.holds(key)
        if creates and not exists:
            await self.presence.enter(key, wish.ttl_ms)
        terms = self._terms(wish, print_, note, create=not (creates and exists))
        try:
            outcome = await self._resending(key, wish, terms, send)
        except VersionMismatchError as error:
            if error.current is None:
                self._near.doubt(key, "gone")
            raise
        except StoreError as error:
            if error.applied == "unknown":
                self._near.doubt(key, "unknown")
            raise
        finally:
            self._reader.written(key)
        if outcome.header is not None:
            if creates:
                await self.presence.changed(key, outcome.header)
            await self._passed(key, outcome)
        elif not outcome.replayed:
            # The store may have lost what is held here. A delete tells of it, which nobody awaits.
            self._near.doubt(key, "gone")
        return outcome

    def _terms(self, wish: Wish, print_: str, note: bytes, *, create: bool) -> Terms:
        keep = (
            self._config.resend_seconds
            if wish.operation_id is None
            else (self._config.operation_seconds)
        )
        # A caller's ids and ours must not meet.
        name = f"c{wish.operation_id}" if wish.operation_id is not None else f"w{_random()}"
        return Terms(
            tag=_random(),
            operation=Operation(name, print_, int(keep * 1000)),
            condition=wish.condition,
            ttl_ms=wish.ttl_ms,
            create=create,
            note=note,
            put_record=wish.put_record,
        )

    async def _resending(self, key: SessionKey, wish: Wish, terms: Terms, send: Send) -> Outcome:
        """
        Send, and send again while the answer is lost and the operation record must exist.

        A session that has gone is entered and made. Once any attempt may have been carried out,
        failing says so, whatever the last one said.
        """
        began = self._clock.now()
        doubtful = False
        while True:
            try:
                outcome = await send(terms)
                if terms.create or not outcome.missing:
                    return outcome
                await self.presence.enter(key, wish.ttl_ms)
                terms = replace(terms, create=True)
                continue
            except StoreError as error:
                doubtful = doubtful or error.applied == "unknown"
                if not doubtful:
                    raise
                reason = error.reason
            except CacheClosedError as error:
                if not doubtful:
                    raise
                # Every further attempt would end so, too.
                raise StoreError("the cache was closed", applied="unknown") from error
            await asyncio.sleep(_RESEND_PAUSE_SECONDS)
            # Looked at after the pause: this process may have stood still in it.
            if self._clock.now() - began >= self._config.store_timeout_seconds:
                raise StoreError(reason, applied="unknown")
            self._counters.resent += 1
            terms = replace(terms, tag=_random())

    async def _passed(self, key: SessionKey, outcome: Outcome) -> None:
        """Wait until the near cache has heard of our change, or will not answer before it has."""
        assert outcome.header is not None, "a change that was made has a version"
        future = self._near.passed(key, outcome.header)
        if future is None:
            return
        # What makes it suspect wakes those who wait for it, too.
        late = asyncio.get_running_loop().call_later(
            self._config.staleness_seconds / 4, self._near.doubt, key, "late"
        )
        try:
            await future
        finally:
            late.cancel()


def fingerprint(kind: str, *parts: bytes | str) -> str:
    """Return a hash of a change's input."""
    hashed = hashlib.blake2b(kind.encode(), digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        hashed.update(len(data).to_bytes(8, "big"))
        hashed.update(data)
    return hashed.hexdigest()


def bodies_of(messages: Iterable[StoredMessage]) -> Iterable[bytes]:
    """Return the bodies, for a fingerprint: what was generated beside them is no input."""
    return (message.body for message in messages)


async def _wait_a_little(attempt: int) -> None:
    """Let others finish: of many who read and write the same session one is first each time."""
    if attempt:
        await asyncio.sleep(secrets.SystemRandom().uniform(0, 0.002 * min(attempt, 16)))


def _change(outcome: Outcome) -> Change:
    header = outcome.header
    return Change(
        version=header.version if header else None,
        start=outcome.start,
        end=outcome.end,
        first=header.first if header else 0,
        next=header.next if header else 0,
        token_count=header.token_count if header else 0,
        replayed=outcome.replayed,
        existed=header is not None,
    )


def _random() -> str:
    return secrets.token_hex(8)
