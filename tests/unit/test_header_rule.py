"""One rule of what a header is, in the scripts and in `Header.parse`."""

import redis

from memory_cache._redis.script import READ
from memory_cache._types import Header
from support.damaging import headers
from support.valkey import ValkeyServer

HEADER = Header("i" * 16, 3, "t" * 16, 0, 1, 0, 40, 10, 0, 1, 1, 0, 2, (("e" * 10, 1),))


def by_script(client: redis.Redis, name: str) -> bool:
    """Whether the script that reads takes the header."""
    try:
        client.eval(READ.text, 1, name, "tail", "0", "0", "", "", "", "-1", "0", "1000")
    except redis.ResponseError as error:
        if "MC_DAMAGED header" not in str(error):
            raise
        return False
    return True


def by_parser(line: bytes) -> bool:
    """Whether `Header.parse` takes it."""
    try:
        Header.parse(line)
    except ValueError:
        return False
    return True


def test_scripts_and_parser_agree(valkey: ValkeyServer) -> None:
    """What the one refuses the other does, too; and they take what is at the bounds."""
    header, most, name = HEADER, 2**53 - 1, "rule"
    right = [
        header,
        header._replace(num=most, updated=most, created=most, ttl_ms=most, token_count=most),
        header._replace(num=7, edits=6, fields_num=0, size=2, max_created=10**18 - 1000),
        header._replace(first=1, size=0),
        header._replace(num=9, eras=(("e", 1), ("f", 5), ("0a", 9))),
        header._replace(num=9999, eras=tuple(("e" * 10, at + 1) for at in range(130))),
        header._replace(eras=(("e" * 62, 1),)),
        header._replace(first=10**14 - 2, next=10**14 - 1),
    ]
    with valkey.admin as client:
        wrong = [case.value for case in headers(header) if case.part == "h" and case.value]
        # Fields enough for a block.
        client.hset(name, mapping={"f": "{}", "t0": "0", "m0": "{}"})
        for text in wrong:
            client.hset(name, "h", text)
            assert (by_parser(text), by_script(client, name)) == (False, False), text
        for one in right:
            client.hset(name, "h", one.line())
            assert (by_parser(one.line().encode()), by_script(client, name)) == (True, True), one
