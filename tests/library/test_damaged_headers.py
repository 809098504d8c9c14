"""Headers that promise what is not there, and what else a change must not be led by."""

from collections.abc import Awaitable, Callable

import pytest

from library.helpers import record_of, said, several
from memory_cache import ContractMessage, DamagedSessionError, Header, Session, SessionCache
from support.valkey import ValkeyServer


async def made(valkey: ValkeyServer, cache: SessionCache) -> tuple[Session, str, bytes]:
    """A session of one message, its record and its header."""
    chat = cache.session("chat")
    await chat.append(said(0))
    name = record_of(valkey, "chat")
    with valkey.admin as client:
        line = client.hget(name, "h")
    assert isinstance(line, bytes)
    return chat, name, line


@pytest.mark.parametrize(
    "changes",
    [
        {"next": 10**20},
        {"next": 10**8},
        {"next": 10**8, "size": 10**9},
        {"next": 2**52, "size": 2**53 - 1, "first": 2**51},
        {"eras": (("e" * 5000, 1),)},
        {"eras": (("e" * 1500, 1),)},
    ],
)
async def test_nonsense_ends(
    valkey: ValkeyServer, cache: SessionCache, changes: dict[str, object]
) -> None:
    """A header that promises more than there is neither loops, nor is written behind."""
    chat, name, line = await made(valkey, cache)
    text = Header.parse(line)._replace(**changes).line()  # type: ignore[arg-type] # nonsense
    with valkey.admin as client:
        client.hset(name, "h", text)
        before = client.dump(name)
        for ask in (
            chat.recent(2**31),
            chat.transcript(),
            chat.append(said(1)),
            chat.append(several(0, 3000)),
            chat.put([ContractMessage("user", "a")], {}),
        ):
            with pytest.raises(DamagedSessionError):
                await ask
        assert client.dump(name) == before


async def test_early_times_in_a_large_append(cache: SessionCache) -> None:
    """Messages from before 1970, written in slices: no time of a header is below 0."""
    chat, time = cache.session("chat"), "1969-01-01T00:00:00Z"
    await chat.put([ContractMessage("user", "x" * 1000, str(at), time) for at in range(1500)], {})
    await chat.append(said(0))
    assert (await chat.recent(1)).messages == [said(0)]


async def test_pop_of_what_is_no_json(valkey: ValkeyServer, cache: SessionCache) -> None:
    """A last message that cannot be given out is not taken away."""
    chat, name, _ = await made(valkey, cache)
    with valkey.admin as client:
        body = client.hget(name, "m0")
        assert isinstance(body, bytes)
        client.hset(name, "m0", body.replace(b'"user"', b":user:"))
        before = client.dump(name)
        with pytest.raises(DamagedSessionError):
            await chat.pop()
        assert client.dump(name) == before


@pytest.mark.parametrize(
    ("changes", "ask"),
    [
        ({"token_count": 2**53 - 1}, lambda chat: chat.append(said(1))),
        ({"token_count": 2**53 - 1}, lambda chat: chat.append(several(0, 3000))),
        ({"token_count": 0}, lambda chat: chat.pop()),
        ({"size": 2**53 - 1}, lambda chat: chat.pop()),
        ({"num": 2**53 - 1}, lambda chat: chat.append(said(1))),
        ({"num": 2**53 - 1}, lambda chat: chat.set_fields({"a": 1})),
        ({"num": 2**53 - 1}, lambda chat: chat.put([ContractMessage("user", "a")], {})),
    ],
)
async def test_numbers_that_cannot_go_on(
    valkey: ValkeyServer,
    cache: SessionCache,
    changes: dict[str, int],
    ask: Callable[[Session], Awaitable[object]],
) -> None:
    """No change makes a header that is none of one that is, whatever its numbers say."""
    chat, name, line = await made(valkey, cache)
    text = Header.parse(line)._replace(**changes).line()  # type: ignore[arg-type] # plain numbers
    with valkey.admin as client:
        client.hset(name, "h", text)
        with pytest.raises(DamagedSessionError):
            await ask(chat)
        assert client.hget(name, "h") == text.encode()
        assert not client.hexists(name, "f")
        assert (await chat.delete()).existed
        assert not client.exists(name)


async def test_large_append_waits_for_nobody_for_ever(
    valkey: ValkeyServer, cache: SessionCache
) -> None:
    """One that is said to be under way for years is given up: it is not asked for again."""
    chat, name, _ = await made(valkey, cache)
    with valkey.admin as client:
        client.hset(name, "w", "t 1 9999999999999999 1 0")
        client.config_resetstat()
        await chat.append(several(1, 3001))
        calls = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert calls < 20, "it was asked again and again whether it is done"
    assert (await chat.recent(2)).messages == several(2999, 3001)


async def test_sweep_is_bounded(valkey: ValkeyServer, cache: SessionCache) -> None:
    """What is left of a large append goes a bounded part at a time, in whatever form it is."""
    chat, name, _ = await made(valkey, cache)
    blocks, most = 2000, 20_000
    with valkey.admin as client:
        # Blocks that are kept in single messages, of which there may be 64 in each.
        client.hset(name, mapping={f"m{64 * at}": "{}" for at in range(1, blocks)})
        client.hset(name, "w", f"t 1 1 64 {blocks - 1}")
        for at in range(1, 4):
            before = client.hlen(name)
            await chat.append(said(at))
            assert 0 < before - client.hlen(name) < most // 64, "some, and not all"
        while client.hexists(name, "w"):
            await chat.append(said(0))
    assert client.hlen(name) < blocks
    assert (await chat.transcript()).messages[:4] == several(0, 4)


async def test_block_later_than_the_header(valkey: ValkeyServer, cache: SessionCache) -> None:
    """What no message is later than makes nobody look for a later one among all that there are."""
    chat = cache.session("chat")
    await chat.append(several(0, 300))
    name = record_of(valkey, "chat")
    with valkey.admin as client:
        for field in ("t3", "t4"):
            head, _, rest = bytes(client.hget(name, field)).partition(b"\n")
            lines = rest.split(b"\n")
            since = int(lines[0].split(b" ")[1], 16)
            before, *about = head.split(b" ")
            # The messages keep their times.
            later = int(before) + 10**9
            words = lines[0].split(b" ")
            words[1] = b"%x" % (since - 10**9) if since >= 10**9 else b"-%x" % (10**9 - since)
            lines[0] = b" ".join(words)
            client.hset(name, field, b" ".join((b"%d" % later, *about)) + b"\n" + b"\n".join(lines))
    with pytest.raises(DamagedSessionError):
        await chat.recent(20, by_created_at=True)


async def test_blocks_that_a_header_makes_up(valkey: ValkeyServer, cache: SessionCache) -> None:
    """Of a block that has no sidecar nobody asks for 64 messages: there may be very many."""
    chat = cache.session("chat")
    await chat.append(several(0, 130))
    name = record_of(valkey, "chat")
    with valkey.admin as client:
        client.hdel(name, "t0", "b0")
        client.config_resetstat()
        with pytest.raises(DamagedSessionError):
            await chat.transcript()
        # Two within the script that reads the newest block, and one for the two before it.
        assert client.info("commandstats")["cmdstat_hmget"]["calls"] == 3


async def test_newest_block_that_is_large(valkey: ValkeyServer, cache: SessionCache) -> None:
    """One that lacks a message was not sealed meanwhile: nobody asks for it again in one piece."""
    chat = cache.session("chat")
    await chat.append([said(at, text="x" * 100_000) for at in range(20)])
    name = record_of(valkey, "chat")
    with valkey.admin as client:
        client.hdel(name, "m5")
        client.config_resetstat()
        with pytest.raises(DamagedSessionError):
            await chat.recent(1)
        scripts = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert scripts < 4, "the one that reads, one that measures, and perhaps a fence"
