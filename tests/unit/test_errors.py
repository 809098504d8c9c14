"""What an error of redis-py is called."""

import errno
import os

import pytest
import redis.exceptions as theirs
from redis.exceptions import ClusterDownError, NoPermissionError, ResponseError

from memory_cache import MemoryCacheError, StoreError
from memory_cache._redis.errors import RefusedError, translated


@pytest.mark.parametrize("number", [errno.EHOSTUNREACH, errno.ENETUNREACH])
def test_no_network(number: int) -> None:
    """Where no network leads is said."""
    assert "no network" in str(translated(OSError(number, os.strerror(number))))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ClusterDownError("Hash slot not served", status_code="CLUSTERDOWN"), "cluster is down"),
        (ResponseError("MISCONF Errors writing to the AOF file"), "cannot persist"),
        (theirs.ConnectionError("max number of clients reached", status_code="ERR"), "maxclients"),
        (ResponseError("DB index is out of range", status_code="ERR"), "no database"),
        (ResponseError("SELECT is not allowed in cluster mode", status_code="ERR"), "cluster"),
        (ResponseError("something else", status_code="ERR"), "refused the command"),
    ],
)
def test_codes(error: Exception, said: str) -> None:
    """The word that a reply begins with says what it is, whether redis-py cut it off or not."""
    assert said in str(translated(error))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("User channel-key has no permissions to run the 'hset' command", "the command HSET"),
        (
            "this user has no permissions to run the 'client|info' command",
            "the command CLIENT INFO",
        ),
        ("No permissions to access a key", "a key"),
        ("No permissions to access a channel", "a channel"),
        ("this user has no permissions to access one of the keys used as arguments", "a key"),
    ],
)
def test_what_is_not_permitted(text: str, said: str) -> None:
    """It is named, whatever the user is called."""
    refused: MemoryCacheError = translated(NoPermissionError(text, status_code="NOPERM"))
    assert isinstance(refused, RefusedError)
    assert refused.reason.endswith(f": {said}")


def test_not_permitted_in_a_script() -> None:
    """A script asks beforehand for what it will write, so a refusal in it comes before that."""
    text = "ACL failure in script: User channel has no permissions to run the 'hset' command"
    refused = translated(ResponseError(f"{text} script: on @user_script:2.", status_code="ERR"))
    assert isinstance(refused, StoreError)
    assert refused.reason.endswith("the command HSET")
    assert refused.applied == "no"
