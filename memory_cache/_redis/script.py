"""The scripts, as text and digest."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final


@dataclass(frozen=True, slots=True)
class Script:
    """A script; EVALSHA takes its digest, EVAL its text."""

    text: str
    sha: str


def _load(*names: str, flags: str = "") -> Script:
    folder = files("memory_cache._redis") / "scripts"
    text = "\n".join((folder / f"{name}.lua").read_text() for name in names)
    if flags:
        text = text.replace("#!lua", f"#!lua flags={flags}", 1)
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Script(text, sha)


APPEND: Final = _load("header", "change", "append")
REWRITE: Final = _load("header", "change", "rewrite")
# A full store must let go of what it has.
DELETE: Final = _load("header", "change", "delete", flags="allow-oom")
READ: Final = _load("header", "read", flags="no-writes")
ASK: Final = _load("header", "change", "ask")
BEYOND: Final = _load("header", "change", "beyond")
COPY: Final = _load("header", "copy")
SIZES: Final = _load("sizes")
FENCE: Final = _load("fence")
FORGET: Final = _load("forget")
ALL: Final = (APPEND, REWRITE, DELETE, READ, ASK, BEYOND, COPY, SIZES, FENCE, FORGET)
