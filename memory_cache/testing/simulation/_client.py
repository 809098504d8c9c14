"""A client: what it asks of workers, and how it records what it was told."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import orjson

from memory_cache import (
    ABSENT,
    CacheClosedError,
    Change,
    ContractMessage,
    IfVersion,
    OperationReusedError,
    Page,
    Session,
    SessionKey,
    StoreError,
    Version,
    VersionMismatchError,
)
from memory_cache.testing._bodies import body_of
from memory_cache.testing.history import Applied, Write, WriteKind
from memory_cache.testing.simulation._engine import Engine, name_of
from memory_cache.testing.simulation._process import Process, ProcessDiedError
from memory_cache.testing.simulation._reader import Reader

Body = dict[str, object]
Call = Callable[[Session], Awaitable[Change]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A change as it was sent, so that it can be sent again."""

    kind: WriteKind
    key: SessionKey
    names: tuple[str, ...]
    call: Call
    operation_id: str | None = None
    if_version: str | None = None
    ttl: int | None = None


class Client:
    """
    Does one thing at a time, on any worker, and remembers what it was told.

    Every answer goes into the history and before the oracle.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        """Know nothing yet."""
        self.name = name
        self.versions: dict[SessionKey, Version] = {}
        self.sent: list[Sent] = []
        self.reader = Reader(engine, name)
        self._engine = engine
        self._made = 0

    # Changes

    async def append(
        self,
        process: Process,
        key: SessionKey,
        sizes: Sequence[int],
        *,
        named: bool = False,
        if_version: IfVersion = None,
        ttl: int | None = None,
    ) -> None:
        """Add messages of these sizes; ``named``: under an operation id."""
        names, bodies = self._bodies(key, sizes)
        operation = self._name() if named else None

        async def call(session: Session) -> Change:
            return await session.append(
                bodies, if_version=if_version, operation_id=operation, ttl_seconds=ttl
            )

        text = _text(if_version)
        sent = Sent(WriteKind.APPEND, key, tuple(names), call, operation, text, ttl)
        await self._change(process, sent)

    async def put(
        self,
        process: Process,
        key: SessionKey,
        sizes: Sequence[int],
        *,
        drop: int = 0,
        change: bool = False,
        named: bool = False,
        ttl: int | None = None,
    ) -> None:
        """
        Read everything, and put it back with messages added, as clients of the contract do.

        ``drop``: without as many of the oldest. ``change``: with the newest in other words.
        """
        page = await self.reader.read(process, key, limit=None)
        if page is None or not process.alive:
            return
        kept = contract_messages(page)[drop:]
        names = [sighting.name for sighting in self._engine.sights(page)][drop:]
        if change and kept:
            kept.pop()
            names.pop()
        added, bodies = self._bodies(key, sizes)
        kept += [ContractMessage(str(body["role"]), str(body["content"])) for body in bodies]
        version: IfVersion = page.version or ABSENT
        operation = self._name() if named else None

        async def call(session: Session) -> Change:
            done, _ = await session.put(
                kept, {}, if_version=version, operation_id=operation, ttl_seconds=ttl
            )
            return done

        text = _text(version)
        sent = Sent(WriteKind.PUT, key, (*names, *added), call, operation, text, ttl)
        await self._change(process, sent)

    async def replace(self, process: Process, key: SessionKey, sizes: Sequence[int]) -> None:
        """Put other messages in place of all, whatever there is."""
        names, bodies = self._bodies(key, sizes)

        async def call(session: Session) -> Change:
            return await session.replace(bodies)

        await self._change(process, Sent(WriteKind.PUT, key, tuple(names), call))

    async def delete(self, process: Process, key: SessionKey, *, named: bool = False) -> None:
        """Delete the session."""
        operation = self._name() if named else None

        async def call(session: Session) -> Change:
            return await session.delete(operation_id=operation)

        await self._change(process, Sent(WriteKind.DELETE, key, (), call, operation))

    async def set_fields(self, process: Process, key: SessionKey) -> None:
        """Change the fields; no message is touched."""
        value = self._name()

        async def call(session: Session) -> Change:
            return await session.set_fields({"context": value})

        await self._change(process, Sent(WriteKind.APPEND, key, (), call))

    async def again(self, process: Process, which: int) -> None:
        """Send an earlier change that has an operation id once more, perhaps elsewhere."""
        named = [sent for sent in self.sent if sent.operation_id]
        if named:
            await self._change(process, named[which % len(named)])

    async def _change(self, process: Process, sent: Sent) -> None:
        engine, key = self._engine, sent.key
        if not process.alive:
            return
        self.sent.append(sent)
        began = engine.clock.now()
        engine.trace(self.name, sent.kind.value, name_of(key), "on", process.name, *sent.names)
        applied, change = Applied.UNKNOWN, None
        given_up = True
        try:
            change = await process.do(lambda: sent.call(process.session(key)))
            applied, given_up = Applied.YES, False
        except (
            StoreError,
            CacheClosedError,
            VersionMismatchError,
            OperationReusedError,
        ) as error:
            applied, given_up = Applied(error.applied), isinstance(error, ProcessDiedError)
            engine.trace(self.name, "fails", error.code, error.applied)
        finally:
            done = None if given_up else engine.clock.now()
            self._note(process, sent, began=began, done=done, applied=applied, change=change)
        if change is not None:
            engine.trace(self.name, "is told", str(change.version), change.replayed)
            engine.oracle.acknowledged(process.life, key, change.version)
            if change.version is not None:
                self.versions[key] = change.version

    def _note(
        self,
        process: Process,
        sent: Sent,
        *,
        began: float,
        done: float | None,
        applied: Applied,
        change: Change | None,
    ) -> None:
        version = change.version if change else None
        self._engine.history.writes.append(
            Write(
                sent.kind,
                name_of(sent.key),
                self.name,
                process.name,
                began,
                done,
                applied,
                names=sent.names,
                operation_id=sent.operation_id,
                if_version=sent.if_version,
                version=str(version) if version else None,
                start=change.start if change and sent.kind is WriteKind.APPEND else None,
                replayed=bool(change and change.replayed),
                ttl_seconds=sent.ttl,
            )
        )

    def _bodies(self, key: SessionKey, sizes: Sequence[int]) -> tuple[list[str], list[Body]]:
        names = [self._name() for _ in sizes]
        made = [body_of(name_of(key), *each) for each in zip(names, sizes, strict=True)]
        return names, made

    def _name(self) -> str:
        self._made += 1
        return f"{self.name}.{self._made}"


def contract_messages(page: Page) -> list[ContractMessage]:
    """Return the messages of a page as a client of the contract sends them back."""
    return [
        ContractMessage(
            role=view["role"],
            content=view["content"],
            id=view["id"],
            created_at=view["created_at"],
            persisted_at=view["persisted_at"],
            extracted=view["discrete_memory_extracted"],
        )
        for view in orjson.loads(page.view_json)
    ]


def _text(version: IfVersion) -> str | None:
    return str(version) if isinstance(version, Version | str) else None
