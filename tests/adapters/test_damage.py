"""
Damage, told by the adapters: a record that is damaged, and one that is none of an adapter's.

Whatever an adapter is asked of such a session it raises `DamagedSessionError`, and then nothing
was written; or it answers as if the session were sound. Never is it another error or a shorter
conversation, other sessions go on, and a framework's own way to delete a session always ends it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
import redis

from memory_cache import CacheConfig, DamagedSessionError, SessionCache, open_cache
from support.adapted import KITS, Kit, Way
from support.damaging import cases
from support.misshapen import misshapen
from support.valkey import ValkeyServer

# LangChain's, by the class that it is of: its own may not be there to be named.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

DAMAGED = "damaged"
EPOCH = b"mc:epoch"
BESIDE = "the session beside it"
# With all the time that a busy machine needs: a call that was given up would be a finding.
COLD = CacheConfig(
    near_cache_bytes=0, store_timeout_seconds=20, connect_timeout_seconds=10, resend_seconds=160
)
BELIEVES = {
    # Records of a user and an app follow the event in a change of their own. What a large append
    # left in one is met only then.
    ("append_event(user:)", "w"),
    ("create_session", "w"),
    # Counted by the header, which is right in itself.
    ("count_messages", "h end"),
}


class Store:
    """All that is stored, as it was at the beginning."""

    def __init__(self, admin: redis.Redis) -> None:
        self.admin = admin
        names = [name for name in self._names() if name != EPOCH]
        self._dumps = {name: admin.dump(name) for name in names}

    def _names(self, like: bytes = b"*") -> list[bytes]:
        found: Any = self.admin.keys(like)
        return sorted(found)

    @property
    def damageable(self) -> list[bytes]:
        """The records that are none of the session beside it."""
        return [name for name in self._names(b"mc:{*}") if b"sound" not in name]

    def reset(self, changed: dict[bytes, Any] | None = None) -> None:
        """Make all as it was, but for what was changed, which is dumped."""
        with self.admin.pipeline() as pipe:
            pipe.delete(b"none", *(name for name in self._names() if name != EPOCH))
            for name, dump in {**self._dumps, **(changed or {})}.items():
                pipe.restore(name, 0, dump)
            pipe.execute()

    def records(self) -> dict[bytes, dict[str, bytes]]:
        """What the sessions are now."""
        return {name: self.record(name) for name in self._names(b"mc:{*}")}

    def record(self, name: bytes) -> dict[str, bytes]:
        """What one session is now."""
        fields: Any = self.admin.hgetall(name)
        return {key.decode(): value for key, value in fields.items()}

    def changed(self, name: bytes, field: str, value: bytes | None) -> dict[bytes, Any]:
        """A record in which a field is another one, or is missing."""
        if value is None:
            self.admin.hdel(name, field)
        else:
            self.admin.hset(name, field, value)
        return {name: self.admin.dump(name)}


class World(NamedTuple):
    """An adapter that holds nothing in memory, and its store."""

    kit: Kit
    adapter: Any
    store: Store
    cache: SessionCache

    def ways(self) -> Iterator[tuple[str, Way]]:
        """Every way to ask."""
        for some in (self.kit.reads, self.kit.writes, self.kit.deletes, self.kit.lists):
            yield from some.items()
        yield BESIDE, self.kit.sound

    async def tried(self, way: str, ask: Way, changed: dict[bytes, Any]) -> tuple[Any, str]:
        """What comes of asking for a session that is damaged, and what is wrong with that."""
        self.store.reset(changed)
        before = self.store.records()
        got = await asked(ask, self.adapter)
        if way in self.kit.deletes:
            ended = got != DAMAGED and len(self.store.records()) < len(before)
            return got, "" if ended or way.startswith("set") else "not deleted"
        if got != DAMAGED:
            return got, ""
        if way == BESIDE:
            return got, "does not go on"
        return got, "" if self.store.records() == before else "written"


@asynccontextmanager
async def filled(server: ValkeyServer, adapter: str, count: int) -> AsyncIterator[World]:
    """A session of an adapter, and one beside it; skipped where its framework is not there."""
    pytest.importorskip(f"memory_cache.adapters.{adapter}", exc_type=ImportError)
    kit = KITS[adapter]()
    async with AsyncExitStack() as stack:
        admin = stack.enter_context(server.admin)
        admin.flushall()
        cache = await stack.enter_async_context(open_cache(server.url, config=COLD))
        made = kit.make(cache)
        await kit.fill(made, "s", count)
        await kit.fill(made, "sound", 3)
        yield World(kit, made, Store(admin), cache)


async def asked(way: Way, adapter: Any) -> Any:  # noqa: ANN401  # an answer or an error
    """What is answered, or that it is damaged, or which other error it was."""
    try:
        async with asyncio.timeout(60):
            return await way(adapter)
    except DamagedSessionError:
        return DAMAGED
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the finding
        return error


@pytest.mark.parametrize("count", [5, 140])
@pytest.mark.parametrize("adapter", KITS)
async def test_every_damage_on_every_way(valkey: ValkeyServer, adapter: str, count: int) -> None:
    """Of each field of each record, wrong in each way."""
    faults: list[str] = []
    async with filled(valkey, adapter, count) as here:
        every = []
        for name in here.store.damageable:
            for case in cases(here.store.record(name)):
                here.store.reset()
                every.append((name, case, here.store.changed(name, case.field, case.value)))
        for way, ask in here.ways():
            here.store.reset()
            want = await asked(ask, here.adapter)
            assert not isinstance(want, Exception), way
            assert want != DAMAGED, way
            for name, case, changed in every:
                got, fault = await here.tried(way, ask, changed)
                if got not in (DAMAGED, want):
                    fault = f"another answer: {got!r}"
                if fault and (way, case.part) not in BELIEVES:
                    faults.append(f"{way}: {name!r} {case.field} {case.name}: {fault[:200]}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("adapter", KITS)
async def test_every_shape_on_every_way(valkey: ValkeyServer, adapter: str) -> None:
    """Of messages and fields that are JSON, and not as the adapter stores them."""
    faults: list[str] = []
    async with filled(valkey, adapter, 12) as here:
        sound, lengths = await here.kit.sound(here.adapter), {}
        if here.kit.whole is not None:
            lengths[here.kit.whole] = len_of(await here.kit.reads[here.kit.whole](here.adapter))
        async for what, changed, plain in wrong(here):
            for way, ask in here.ways():
                got, fault = await here.tried(way, ask, changed)
                if isinstance(got, Exception) and not (plain and isinstance(got, here.kit.own)):
                    fault = repr(got)
                elif "fields" not in what and got != DAMAGED and len_of(got) < lengths.get(way, 0):
                    fault = f"shorter: {got!r}"
                elif way == BESIDE and got != sound:
                    fault = "another answer"
                if fault:
                    faults.append(f"{way}: {what}: {fault[:200]}")
    assert not faults, "\n".join(faults)


def len_of(answer: Any) -> int:  # noqa: ANN401  # a way's that gives all messages, or any
    """How many messages there are."""
    return len(answer) if isinstance(answer, list) else 0


async def wrong(here: World) -> AsyncIterator[tuple[str, dict[bytes, Any], bool]]:
    """Each record of a session with a message, or with fields, that have another shape."""
    for name in here.store.damageable:
        parts = name.decode().removeprefix("mc:{").removesuffix("}").split("/")
        namespace, user_id, session_id = map(unquote, parts)
        session = here.cache.session(session_id, namespace=namespace, user_id=user_id).large()
        page = await session.transcript()
        messages, fields = page.messages, page.fields
        # Of those that have the same keys one is enough.
        kinds = {"".join(each): at for at, each in enumerate(messages)}
        for at in kinds.values():
            for what, value, plain in misshapen(messages[at]):
                here.store.reset()
                await session.replace([*messages[:at], value, *messages[at + 1 :]], fields)
                changed = {name: here.store.admin.dump(name)}
                yield f"{name!r} message {at}: {what}", changed, plain
        for what, value, plain in misshapen(fields) if fields else ():
            here.store.reset()
            held = {key: each for key, each in value.items() if each is not None}
            await session.replace(messages, held)
            yield f"{name!r} fields: {what}", {name: here.store.admin.dump(name)}, plain
