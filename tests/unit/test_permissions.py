"""The commands that are tried at start, and the pauses where one is refused."""

import itertools
import re

from memory_cache._redis.bus import _pause
from memory_cache._redis.keys import Keys
from memory_cache._redis.permissions import AT_CONNECT, probes
from support.acl import commands
from support.project import ROOT
from support.valkey import ValkeyServer


def test_every_command_is_known(valkey: ValkeyServer) -> None:
    """What scripts and modules send, what is tried at start and what is documented are the same."""
    folder = ROOT / "memory_cache" / "_redis"
    written = "".join(
        path.read_text()
        for path in (*folder.glob("scripts/*.lua"), *folder.glob("*.py"))
        if path.stem != "permissions"
    )
    known = {" ".join(probe[: 1 + (probe[0] == "SCRIPT")]) for probe in probes(Keys("mc", 0))}
    names = {command[1:].replace("|", " ").upper() for command in commands()}
    assert names == known | set(AT_CONNECT)
    with valkey.admin as client:
        listed = client.execute_command("COMMAND LIST")
    theirs = {name.decode().upper() for name in listed}
    sent = set(re.findall(r"""["']([A-Z]+)["']""", written)) & theirs
    assert {"HSET", "EVALSHA", "SUBSCRIBE", "ZADD"} <= sent
    # Words that errors begin with, and names of things, are commands as well. redis-py names the
    # connection and selects its database.
    words = {name.split()[0] for name in names} - {"CLIENT", "SELECT"}
    assert sent - {"ASK", "AUTH", "READONLY", "SELECT"} == words


def test_pauses() -> None:
    """A subscription that is refused is tried less and less often; one that ended, soon."""
    refused = [_pause(failures, refused=True) for failures in range(1, 20)]
    assert all(before <= after for before, after in itertools.pairwise(refused))
    assert sum(refused[:6]) > 5
    assert refused[-1] == 5
    assert max(_pause(failures, refused=False) for failures in range(100)) < 1
