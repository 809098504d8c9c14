"""A lock that the kernel lets go when its holder ends, however it ends."""

import fcntl
from pathlib import Path
from typing import IO


def take(path: Path) -> IO[str] | None:
    """
    Lock a file; None if another holds it.

    It stays locked for as long as the answer is open, here or in a process that inherited it.
    Raises OSError if the file cannot be opened or locked at all.
    """
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:
        file.close()
        raise
    return file
