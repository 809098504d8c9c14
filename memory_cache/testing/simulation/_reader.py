"""Reads of a client: what it is told goes into the history and before the oracle."""

from collections.abc import Callable

from memory_cache import (
    BOUNDED,
    NEWEST,
    CacheClosedError,
    Consistency,
    Page,
    SessionKey,
    StoreError,
    TranscriptEditedError,
    VersionLostError,
    VersionTimeoutError,
)
from memory_cache._types import Header
from memory_cache.testing.history import Answer, Asked, Read
from memory_cache.testing.simulation._engine import Engine, name_of
from memory_cache.testing.simulation._process import Process


class Reader:
    """Asks workers, and judges each answer as it comes."""

    def __init__(self, engine: Engine, client: str) -> None:
        """Read for this client."""
        self._engine = engine
        self._client = client
        self._answered: dict[tuple[str, SessionKey], tuple[Callable[[Header], bool], Page]] = {}

    async def read(
        self,
        process: Process,
        key: SessionKey,
        *,
        limit: int | None = 20,
        consistency: Consistency = BOUNDED,
    ) -> Page | None:
        """Read the newest, or (``limit`` None) the whole transcript; None: there was no answer."""
        engine = self._engine
        if not process.alive:
            return None
        asked = NEWEST if limit is None else consistency
        began, since = engine.clock.now(), engine.oracle.newest(key)
        written = engine.oracle.written(process.life, key)
        engine.trace(self._client, "reads", asked.guarantee.value, name_of(key), "on", process.name)

        async def call() -> Page:
            session = process.session(key)
            if limit is None:
                return await session.transcript()
            return await session.recent(limit, consistency=asked)

        try:
            page = await process.do(call)
        except (
            StoreError,
            CacheClosedError,
            VersionTimeoutError,
            TranscriptEditedError,
        ) as error:
            self._note(process, key, asked, Answer.REFUSED, began=began, limit=limit)
            engine.trace(self._client, "is refused", error.code)
            return None
        except VersionLostError:
            self._note(process, key, asked, Answer.LOST, began=began, limit=limit)
            version = asked.version
            if version and not engine.oracle.never_held(key, version, since):
                self._wrong(process, key, "told that a version is lost, which is there")
            return None
        answer = Answer.PAGE if page.exists else Answer.ABSENT
        self._note(process, key, asked, answer, began=began, limit=limit, page=page)
        due = since if asked is NEWEST else written
        self._judge(process, page, asked, due=due, began=began)
        return page

    def peek(self, process: Process, key: SessionKey, limit: int) -> None:
        """Take what the near cache answers at this moment, if it does; the last answer, first."""
        valid, last = self._answered.get((process.life, key), (None, None))
        if valid is not None and last is not None and last.header and valid(last.header):
            self._peeked(process, last, len(last.bodies))
        page = process.session(key).peek(limit)
        if page is not None:
            self._peeked(process, page, limit)
            if valid is None:
                valid = process.session(key).validator()
            self._answered[process.life, key] = valid, page

    def _peeked(self, process: Process, page: Page, limit: int) -> None:
        engine, now = self._engine, self._engine.clock.now()
        self._note(process, page.key, BOUNDED, Answer.PAGE, began=now, limit=limit, page=page)
        due = engine.oracle.written(process.life, page.key)
        self._judge(process, page, BOUNDED, due=due, began=now)

    def _judge(
        self, process: Process, page: Page, asked: Consistency, *, due: int, began: float
    ) -> None:
        engine = self._engine
        oldest = 0.0
        if asked is not NEWEST:
            oldest = engine.clock.wall_at(began - process.config.staleness_seconds)
        fault = engine.oracle.fault(page, since=due, at=oldest)
        version = asked.version
        if version and not (page.header and page.header.holds(version)):
            fault = f"is older than the version asked for, {version}"
        if page.end != page.next:
            fault = "does not end where the session does"
        if fault:
            self._wrong(process, page.key, f"{asked.guarantee.value} read {fault}")

    def _wrong(self, process: Process, key: SessionKey, fault: str) -> None:
        self._engine.wrong(f"{self._client} on {process.name}, {name_of(key)}: {fault}")

    def _note(
        self,
        process: Process,
        key: SessionKey,
        asked: Consistency,
        answer: Answer,
        *,
        began: float,
        limit: int | None,
        page: Page | None = None,
    ) -> None:
        engine, told = self._engine, page is not None and page.exists
        if page is not None:
            engine.trace(
                self._client,
                "is answered",
                page.tier.value,
                str(page.version),
                page.start,
                page.end,
            )
        engine.history.reads.append(
            Read(
                name_of(key),
                self._client,
                process.name,
                began,
                engine.clock.now(),
                Asked(asked.guarantee.value),
                answer,
                limit=limit,
                asked_version=str(asked.version) if asked.version else None,
                version=str(page.version) if page and told else None,
                first=page.first if page else 0,
                next=page.next if page else 0,
                start=page.start if page else 0,
                sightings=engine.sights(page) if page else (),
                tier=page.tier.value if page else "",
            )
        )
