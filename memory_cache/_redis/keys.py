"""
Names of keys and channels: one function each.

The braces are the hash tag: the session, its operation and staged records and its channel
share a slot of a cluster. Parts are percent-encoded, so a brace never comes from a name.
"""

import hashlib
from typing import Final

from memory_cache._names import encode_key, encode_part
from memory_cache._types import SessionKey

PUBLISH: Final = "PUBLISH"
"""The one place that chooses how a script publishes; in a cluster it is SPUBLISH."""


class Keys:
    """Names under one prefix, in one database."""

    def __init__(self, prefix: str, database: int) -> None:
        """Channels begin with the database, which pub/sub ignores."""
        self._prefix = prefix
        self._channel_prefix = f"{database}:{prefix}:"
        self.epoch = f"{prefix}:epoch"
        self.probe = f"{prefix}:probe"
        self.probe_channel = f"{self._channel_prefix}probe"
        self.all = f"{prefix}:*"
        self.channels = f"{self._channel_prefix}*"

    def session(self, key: SessionKey) -> str:
        """Return the key of the session's record."""
        return f"{self._prefix}:{{{encode_key(key)}}}"

    def operation(self, key: SessionKey, operation_id: str) -> str:
        """Return the key of an operation record; the id may be any text, so it is hashed."""
        short = hashlib.blake2b(operation_id.encode(), digest_size=16).hexdigest()
        return f"{self.session(key)}:op:{short}"

    def staged(self, key: SessionKey, tag: str) -> str:
        """Return the key of a record that is being written aside."""
        return f"{self.session(key)}:staged:{tag}"

    def channel(self, key: SessionKey) -> str:
        """Return the channel of the session's changes."""
        return f"{self._channel_prefix}{{{encode_key(key)}}}"

    def fence_channel(self, listener: str) -> str:
        """Return the channel on which one listener hears its own fences."""
        return f"{self._channel_prefix}fence:{listener}"

    def scopes(self, key: SessionKey) -> list[str]:
        """Return the scopes of the index that the session is entered in."""
        names = [""]
        if key.namespace:
            names.append(f":n:{encode_part(key.namespace)}")
        if key.user_id:
            names.append(f":u:{encode_part(key.user_id)}")
        if key.namespace and key.user_id:
            names.append(f":b:{encode_part(key.namespace)}/{encode_part(key.user_id)}")
        return names

    def active(self, scope: str) -> str:
        """Return the sorted set of a scope's sessions by activity, in microseconds."""
        return f"{self._prefix}:active{scope}"

    def expires(self, scope: str) -> str:
        """Return the sorted set of a scope's sessions by deadline, in milliseconds."""
        return f"{self._prefix}:expires{scope}"

    def ids(self, session_id: str) -> str:
        """Return the sorted set of the sessions that have this id."""
        return f"{self._prefix}:id:{encode_part(session_id)}"
