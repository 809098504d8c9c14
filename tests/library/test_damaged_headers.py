"""Headers that promise what is not there, and what else a change must not be led by."""

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
