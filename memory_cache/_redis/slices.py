"""
What is large, in slices: no command of ours keeps the server from others for long.

What a script copies costs the server some milliseconds a MiB, what a plain command copies a
fraction of one. So a large change is written aside by plain commands, into a key of its own
that expires, and one small script puts it in place; and what is large is read by HMGET.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import chain
from typing import Any, Final

from memory_cache._blocks import Block, block_of, block_start, is_digest, is_object
from memory_cache._errors import DamagedSessionError
from memory_cache._redis.errors import translating
from memory_cache._redis.lane import Argument, Lane
from memory_cache._redis.plans import Pair, Plan
from memory_cache._redis.script import BEYOND, COPY, SIZES, Script
from memory_cache._sidecar import all_own_views
from memory_cache._types import BLOCK, Header

_SLICE_BYTES: Final = 1024 * 1024
_WRITTEN_BYTES: Final = 256 * 1024
"""Written at once: to pack a megabyte would keep the event loop from others, too."""

_SLICE_FIELDS: Final = 2048
_TURNS: Final = 2
"""Slices on their way at once: the server does them in one go, and is not idle in between."""

_UNMEASURED_BYTES: Final = 4 * 1024 * 1024
"""Of a session that has no more, blocks are read without asking for their sizes first."""

_PAUSE_SECONDS: Final = 0.02

_SMALL: Final = _SLICE_BYTES // BLOCK
_WEIGHTS: Final = {"b": _SMALL, "m": _SMALL, "t": 64 * BLOCK, "d": BLOCK}
"""Bytes by the kind of field, of what is small or whose size nobody asked for."""

_NEVER_IN_TEXT: Final = 0xFF
"""A byte that is in no UTF-8, and in much of what is none."""


class Slices:
    """Reads and writes many fields of one record, over the lane for bulk."""

    def __init__(self, lane: Lane) -> None:
        """Use the lane; it is the owner's to close."""
        self._lane = lane
        self._turns = asyncio.Semaphore(_TURNS)

    async def blocks(
        self, name: str, numbers: Sequence[int], header: Header
    ) -> dict[int, Block] | None:
        """
        Return blocks up to the header's end; None if the transcript was edited since, or lost.

        An active block may have been sealed since: then None, too.
        """
        sizes: dict[str, int] = {}
        measured = header.size > _UNMEASURED_BYTES
        sealed = [number for number in numbers if (number + 1) * BLOCK <= header.next]
        if measured:
            sizes = await self._sizes(name, [f"b{number}" for number in sealed])
        wanted = [f"{kind}{number}" for number in sealed for kind in "tbd"]
        active = [number for number in numbers if (number + 1) * BLOCK > header.next]
        wanted.extend(f"t{number}" for number in active)
        found = await self.values(name, wanted, header, sizes)
        loose = [number for number in numbers if found and found.get(f"b{number}") is None]
        if found and any(found[f"t{number}"] is None for number in loose):
            # Or one would ask for 64 messages of each block that a header makes up.
            raise DamagedSessionError("a block is missing")
        singles = [f"m{seq}" for number in loose for seq in _seqs(number, header)]
        if found is None or not singles:
            return None if found is None else _assembled(numbers, header, found)
        if measured:
            sizes = await self._sizes(name, singles)
        more = await self.values(name, singles, header, sizes)
        if more is None:
            return None
        if (
            active
            and any(value is None for value in more.values())
            and await self._moved(name, header)
        ):
            return None
        return _assembled(numbers, header, found | more)

    async def values(
        self, name: str, names: Sequence[str], header: Header, sizes: dict[str, int] | None = None
    ) -> dict[str, bytes | None] | None:
        """Return fields; None if the transcript was edited since the header, or lost."""
        parts = await asyncio.gather(
            *(self._values(name, some, header) for some in _cut(names, sizes or {}))
        )
        found: dict[str, bytes | None] = {}
        for part in parts:
            if part is None:
                return None
            found.update(part)
        return found

    async def write(self, staged: str, pairs: Iterable[Pair], expire_ms: int) -> int:
        """Write a record aside; return how many fields it has got."""
        count = 0
        with translating(applied="no"):
            for some in _cut_pairs(pairs):
                parts: list[Argument] = list(chain.from_iterable(some))
                async with self._turns:
                    # In one turn: a key without a deadline would stay for ever.
                    await asyncio.gather(
                        self._lane.call("HSET", staged, *parts),
                        self._lane.call("PEXPIRE", staged, expire_ms),
                    )
                count += len(some)
        return count

    async def copy(
        self, name: str, staged: str, version: str, stop: int, expire_ms: int
    ) -> int | None:
        """
        Copy the fields, and the blocks before seq ``stop``, of a record at a version.

        Returns how many fields the copy has; None if there is another version by now.
        """
        at, count, more = 0, 0, True
        with translating(applied="no"):
            while more:
                args: list[Argument] = [version, at, stop, _SLICE_BYTES, expire_ms]
                reply = await self._script(COPY, [name, staged], args)
                if not reply:
                    return None
                at, copied, more = reply
                count += copied
        return count

    async def beyond(
        self, name: str, plan: Plan, tag: str, wait_ms: int, patience_seconds: float
    ) -> int | None:
        """
        Write what a large append adds into the record itself, where nobody looks yet.

        Waits while another large append is being written, for as long as told. Returns the
        number of slices; None if somebody was faster.
        """
        loop = asyncio.get_running_loop()
        until, count = loop.time() + patience_seconds, 0
        with translating(applied="no"):
            for some in _cut_pairs(plan.pairs):
                parts: list[Argument] = list(chain.from_iterable(some))
                args: list[Argument] = [plan.base, tag, count, wait_ms, _block(some[-1][0]), *parts]
                while (reply := await self._script(BEYOND, [name], args)) < 0:
                    if loop.time() > until:
                        return None
                    await asyncio.sleep(_PAUSE_SECONDS)
                if not reply:
                    return None
                count += 1
        return count

    async def forget(self, staged: str) -> None:
        """Drop a record that was written aside."""
        with translating(applied="no"):
            await self._lane.call("UNLINK", staged)

    async def _script(self, script: Script, keys: list[str], args: Sequence[Argument]) -> Any:  # noqa: ANN401  # replies have no type
        async with self._turns:
            return await self._lane.run_script(script, keys, *args)

    async def _values(
        self, name: str, names: Sequence[str], header: Header
    ) -> dict[str, bytes | None] | None:
        # Of a session that is not so large all slices may be on their way at once.
        turn = self._turns if header.size > _UNMEASURED_BYTES else nullcontext()
        with translating(applied="no"):
            async with turn:
                line, *values = await self._lane.call("HMGET", name, "h", *names)
        now = header_of(line) if line else None
        if now is None or now.edits != header.edits or not now.holds(header.version):
            return None
        return dict(zip(names, values, strict=True))

    async def _moved(self, name: str, header: Header) -> bool:
        """Whether the session was changed since; if not, what is missing is damage."""
        with translating(applied="no"):
            line = await self._lane.call("HGET", name, "h")
        return line is None or header_of(line).tag != header.tag

    async def _sizes(self, name: str, names: Sequence[str]) -> dict[str, int]:
        sizes: dict[str, int] = {}
        with translating(applied="no"):
            for at in range(0, len(names), _SLICE_FIELDS):
                some = names[at : at + _SLICE_FIELDS]
                sizes.update(zip(some, await self._script(SIZES, [name], some), strict=True))
        return sizes


def header_of(line: bytes) -> Header:
    """
    Return the header of a record.

    Raises:
        DamagedSessionError: it cannot be read.
    """
    try:
        return Header.parse(line)
    except ValueError as error:
        raise DamagedSessionError("the header cannot be read") from error


def _seqs(number: int, header: Header) -> range:
    return range(block_start(number, header.first), min((number + 1) * BLOCK, header.next))


def _assembled(
    numbers: Sequence[int], header: Header, found: dict[str, bytes | None]
) -> dict[int, Block]:
    blocks: dict[int, Block] = {}
    for number in numbers:
        bodies, digest = found.get(f"b{number}"), found.get(f"d{number}")
        sidecar = found[f"t{number}"]
        start, end = block_start(number, header.first), min((number + 1) * BLOCK, header.next)
        if bodies is None:
            parts = [part for seq in range(start, end) if (part := found[f"m{seq}"])]
            bodies = b"\n".join(parts) if len(parts) == end - start else None
            sidecar = sidecar and _cut_to(end - start, sidecar)
        if bodies is None or sidecar is None:
            raise DamagedSessionError("a block is missing")
        block = Block(start, bodies, sidecar, digest or b"")
        if digest == b"" or not _may_be(block, end - start):
            raise DamagedSessionError("a block is not what its sidecar says")
        blocks[number] = block
    return blocks


def _may_be(block: Block, count: int) -> bool:
    """
    Whether a block may be so many messages.

    It is not looked through: that would cost a tenth of the read.
    """
    _, bodies, sidecar, digest = block
    return (
        is_object(bodies)
        and _NEVER_IN_TEXT not in bodies
        and sidecar.count(b"\n") == count
        and sidecar[:1].isdigit()
        and sidecar.isascii()
        and (not digest or (is_digest(digest) and all_own_views(sidecar)))
    )


def _cut_to(count: int, sidecar: bytes) -> bytes:
    """Return a sidecar without lines of messages added since the header was read."""
    head, *lines = sidecar.split(b"\n")
    if len(lines) <= count:
        return sidecar
    return b"\n".join((head.split(b" ", 1)[0], *lines[:count]))


def _block(field: str) -> int:
    number = int(field[1:])
    return block_of(number) if field[0] == "m" else number


def _cut(names: Sequence[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    some: list[str] = []
    size = 0
    for field in names:
        weight = sizes.get(field, _WEIGHTS[field[0]])
        if some and (size + weight > _SLICE_BYTES or len(some) >= _SLICE_FIELDS):
            yield some
            some, size = [], 0
        some.append(field)
        size += weight
    if some:
        yield some


def _cut_pairs(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    some: list[Pair] = []
    size = 0
    for pair in pairs:
        if some and (size + len(pair[1]) > _WRITTEN_BYTES or len(some) >= _SLICE_FIELDS):
            yield some
            some, size = [], 0
        some.append(pair)
        size += len(pair[1])
    if some:
        yield some
