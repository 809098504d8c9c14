"""What is heard on the bus is not what a script of ours publishes."""

from collections.abc import Callable

import pytest

from library.helpers import check, heat, several, until
from memory_cache import Header, Session, SessionCache, Tier
from support.valkey import ValkeyServer

GOOD = b'{"role":"user","content":"never stored"}'
META = b"s1 0"


def change(header: Header, metas: list[bytes], bodies: list[bytes], count: int = 2) -> bytes:
    """What continues the session just so: an append of two messages."""
    after = header._replace(num=header.num + 1, tag="f" * 16, next=header.next + 2)
    first = f"A {header.tag} -1 {count} 0".encode()
    return b"\n".join([first, after.line().encode(), *metas, *bodies])


CASES: dict[str, Callable[[Header], bytes]] = {
    "no delta": lambda _: b"",
    "bytes": lambda _: bytes(range(256)) * 10,
    "no header": lambda h: change(h, [META] * 2, [GOOD] * 2).replace(h.inc.encode(), b"\xff"),
    "second is no JSON": lambda h: change(h, [META] * 2, [GOOD, b'{"role":']),
    "second is no object": lambda h: change(h, [META] * 2, [GOOD, b"[]"]),
    "second is not UTF-8": lambda h: change(h, [META] * 2, [GOOD, b'{"role":"\xff"}']),
    "its own view, no JSON": lambda h: change(h, [b"v1 0"] * 2, [GOOD, b'{"role":']),
    "no time": lambda h: change(h, [META, b"s1 " + b"9" * 20], [GOOD] * 2),
    "no metadata": lambda h: change(h, [META, b"?"], [GOOD] * 2),
    "wrong count": lambda h: change(h, [META] * 2, [GOOD] * 2, count=3),
    "fewer messages": lambda h: change(h, [META], [GOOD], count=1),
    "no fields": lambda h: change(h, [META] * 2, [GOOD] * 2).replace(b" 2 0\n", b" 2 1\n", 1),
}


@pytest.mark.parametrize("case", CASES)
async def test_one_session_is_suspect(
    valkey: ValkeyServer, cache: SessionCache, other_cache: SessionCache, case: str
) -> None:
    """A malformed change makes its session suspect and no other, and nothing of it is answered."""
    chat, sound = cache.session("chat"), cache.session("sound")
    for name in ("chat", "sound"):
        await other_cache.session(name).append(several(0, 5))
    await heat(chat, sound)
    before = cache.statistics()

    await publish(valkey, "chat", CASES[case](header_of(chat)))
    await until(lambda: suspect(chat))

    after = cache.statistics()
    assert after.generations == before.generations
    assert after.suspects == {**before.suspects, "undecodable": 1}
    assert sound.peek(5) is not None
    near = cache._parts.near  # noqa: SLF001  # it has no public name
    near.check()
    await check(chat, several(0, 5))
    await heat(chat)
    await other_cache.session("chat").append(several(5, 6))
    await check(chat, several(0, 6))
    near.check()


async def test_foreign_fences(valkey: ValkeyServer, cache: SessionCache) -> None:
    """A fence of nobody is passed over; what is no text at all ends the subscription, once."""
    chat = cache.session("chat")
    await chat.append(several(0, 3))
    await heat(chat)
    before = cache.statistics()
    await publish(valkey, "fence:", b"0" * 16)
    await publish(valkey, "fence:", b"\xff")
    await until(lambda: generation(cache, before.generations + 1))
    await heat(chat)
    await check(chat, several(0, 3))
    assert cache.statistics().generations == before.generations + 1


async def publish(valkey: ValkeyServer, channel: str, payload: bytes) -> None:
    """Publish on the channels whose names hold this."""
    with valkey.admin as client:
        for name in client.pubsub_channels():
            if channel.encode() in name:
                client.publish(name, payload)


async def suspect(session: Session) -> bool:
    """Whether the near cache answers for it no more."""
    return session.peek(1) is None


async def generation(cache: SessionCache, number: int) -> bool:
    """Whether so many subscriptions were made."""
    return cache.statistics().generations >= number


def header_of(session: Session) -> Header:
    """What the near cache holds of a hot session."""
    page = session.peek(1)
    assert page is not None
    assert page.header is not None
    assert page.tier is Tier.NEAR
    return page.header
