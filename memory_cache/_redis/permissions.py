"""
What the store must permit its user, tried before anything depends on it.

A permission that is missing would show in the middle of a script, when a part of a change has been
made. So every command is sent once, in a form that does nothing, on a key that nobody uses. The
keys are all that begin with the prefix, the channels all that begin with database and prefix.
"""

import asyncio
from typing import Final

from redis.exceptions import NoPermissionError, RedisError

from memory_cache._redis.errors import RefusedError, not_permitted
from memory_cache._redis.keys import Keys
from memory_cache._redis.lane import Lane

_NO_SHA: Final = "0" * 40

AT_CONNECT: Final = ("CLIENT SETNAME", "INFO", "SELECT", "SUBSCRIBE", "UNSUBSCRIBE")
"""Sent by a connection or a subscription in any case, and so not tried here."""


def probes(keys: Keys) -> list[tuple[str, ...]]:
    """Return each command with arguments that leave nothing behind."""
    key, channel = keys.probe, keys.probe_channel
    return [
        ("SCRIPT", "LOAD", "return 1"),
        ("EVALSHA", _NO_SHA, "0"),
        ("EVAL", "return 1", "0"),
        ("PUBLISH", channel, ""),
        ("TIME",),
        ("HSET", key, "f", "1"),
        ("HGET", key, "f"),
        ("HMGET", key, "f"),
        ("HEXISTS", key, "f"),
        ("HLEN", key),
        ("HSTRLEN", key, "f"),
        ("HDEL", key, "f"),
        ("UNLINK", key),
        ("EXISTS", key),
        ("GET", key),
        ("SET", key, "1", "XX"),
        ("RENAME", key, key),
        ("PERSIST", key),
        ("PTTL", key),
        ("PEXPIRE", key, "1"),
        ("PEXPIREAT", key, "1"),
        ("PEXPIRETIME", key),
        ("ZADD", key, "XX", "1", "m"),
        ("ZCARD", key),
        ("ZRANGE", key, "0", "0"),
        ("ZREVRANGE", key, "0", "0"),
        ("ZRANGEBYSCORE", key, "0", "0"),
        ("ZREM", key, "m"),
    ]


def refusal(reason: str, keys: Keys) -> RefusedError:
    """Return the error of `not_permitted`'s words, with the pattern of what the ACL lacks."""
    if reason.endswith("a channel"):
        reason += f" (it needs &{keys.channels})"
    elif reason.endswith("a key"):
        reason += f" (it needs ~{keys.all})"
    return RefusedError(reason)


async def check(lane: Lane, keys: Keys) -> None:
    """
    Try every command once.

    Raises:
        RefusedError: one of them, or the keys or channels, are not permitted.
        StoreError: there is no store.
    """
    sent = [lane.call(*command) for command in probes(keys)]
    replies = await asyncio.gather(*sent, return_exceptions=True)
    for reply in replies:
        if isinstance(reply, NoPermissionError):
            raise refusal(not_permitted(str(reply)), keys) from reply
        if isinstance(reply, BaseException) and not isinstance(reply, RedisError):
            raise reply
