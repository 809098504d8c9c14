"""A way to a unix socket that is short enough for the kernel."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

# 104 bytes on macOS, 108 on Linux, with the zero at the end.
LONGEST_BYTES = 100


def short_path(socket: Path) -> Path:
    """
    Answer ``socket``, or a path to it through a link to its directory if that is too long.

    The socket stays where it is, so it is found again even if the link has gone. Raises
    OSError if no directory for the link can be trusted.
    """
    if _fits(socket):
        return socket
    name = hashlib.sha256(os.fsencode(socket.parent)).hexdigest()[:16]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    for base in (*([runtime] if runtime else []), tempfile.gettempdir(), "/tmp"):  # noqa: S108
        folder = Path(base) / f"memory-cache-{os.getuid()}"
        link = folder / name
        if Path(base).is_dir() and _fits(link / socket.name):
            _make_private(folder)
            if not link.is_symlink() or link.readlink() != socket.parent:
                link.unlink(missing_ok=True)
                link.symlink_to(socket.parent)
            return link / socket.name
    raise OSError(f"no folder for temporary files has a path short enough for {socket.name}")


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= LONGEST_BYTES


def _make_private(folder: Path) -> None:
    """Make the folder, or make sure that nobody else made it for us."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    private = stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
    if not private or found.st_uid != os.getuid():
        raise PermissionError(f"{folder} is not a folder of this user alone")
