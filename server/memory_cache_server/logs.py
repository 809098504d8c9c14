"""One log for all processes of the server: standard error, a line per event, with the pid."""

import logging
import sys
import time


def configure(level: str) -> None:
    """Send the log of this process to standard error, from ``level`` (a name) upwards."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s [%(process)d] %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
