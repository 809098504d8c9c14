import pytest

from library.helpers import check, heat, record_of, said, several, until
from library.holder import Holder
from library.relay import Relay
from memory_cache import CacheConfig, ContractMessage, open_cache
from support.valkey import ValkeyServer

MADE = (b"$4\r\ndone\r\n", b"$8\r\nreplayed\r\n")
"""What the answer to each change that was made holds, now or before."""


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("hot", [False, True])
async def test_change_whose_answer_is_lost_is_made_once(
    valkey: ValkeyServer, valkey_url: str, lost: int, hot: bool
) -> None:
    """A change whose answer got lost is sent again, made once, and answered as if nothing was."""
    assert valkey_url == valkey.url
    async with Relay(valkey.socket_path, *MADE) as relay, open_cache(relay.url) as cache:
        chat = cache.session("chat")
        await chat.append(said(0))
        if hot:
            await heat(chat)
        relay.lose = lost
        change = await chat.append(said(1))
        assert relay.lose == 0
        assert change.replayed
        assert (change.start, change.end, change.next) == (1, 2, 2)
        assert (await chat.recent(9)).messages == several(0, 2)
        relay.lose = lost
        assert await chat.pop() == said(1)
        relay.lose = lost
        await chat.set_fields({"a": 1})
        relay.lose = lost
        await chat.put([ContractMessage("user", "x")], {})
        assert (await chat.recent(9)).next == 1
        relay.lose = lost
        await chat.replace(several(0, 3))
        assert (await chat.recent(9)).messages == several(0, 3)
        relay.lose = lost
        assert (await chat.delete()).existed
        assert relay.lose == 0
        assert not (await chat.recent(9)).exists
        assert cache.statistics().resent == 6 * lost


async def test_caller_may_send_again(valkey: ValkeyServer, valkey_url: str) -> None:
    """A caller that names its change may send it again itself, from anywhere."""
    assert valkey_url == valkey.url
    async with (
        Relay(valkey.socket_path, *MADE) as relay,
        open_cache(relay.url) as cache,
        open_cache(valkey.url) as other,
    ):
        relay.lose = 1
        first = await cache.session("chat").append(said(0), operation_id="op")
        again = await other.session("chat").append(said(0), operation_id="op")
        assert again.replayed
        assert again.version == first.version
        await check(other.session("chat"), [said(0)])


async def test_request_held_until_its_record_is_gone(valkey: ValkeyServer, valkey_url: str) -> None:
    """An attempt that the network delivers when nobody remembers the other changes nothing."""
    assert valkey_url == valkey.url
    config = CacheConfig(store_timeout_seconds=0.2, resend_seconds=1.6)

    async def forgotten() -> bool:
        with valkey.admin as admin:
            return not admin.keys(f"{record_of(valkey, 'chat')}:op:*")

    async with Holder(valkey.socket_path, b":op:") as wire:
        async with open_cache(wire.url, config=config) as cache:
            chat = cache.session("chat")
            await chat.append(said(0))
            for change in (lambda: chat.append(said(1)), chat.pop, lambda: chat.append(said(1))):
                wire.hold = 1
                await change()
            assert wire.held == 3
        await until(forgotten)
        assert await wire.deliver() == ["late"] * 3
    async with open_cache(valkey.url) as cache:
        await check(cache.session("chat"), several(0, 2))
