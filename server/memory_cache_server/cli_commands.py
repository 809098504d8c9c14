"""
The commands on sessions, as the command line has them: what they are for, and their flags.

What they do is in `cli_look` and `cli_import`, which need more than a server's parent process.
"""

import argparse
from pathlib import Path
from typing import Final

from memory_cache_server.importing.layouts import AGENT_MEMORY, LAYOUT_NAMES

STORE_FIELDS: Final = (
    "redis_url",
    "data_dir",
    "prefix",
    "store_timeout_seconds",
    "max_message_bytes",
    "max_session_bytes",
)
"""Settings of these commands; they mean what they mean to `serve`."""

STORE_EPILOG: Final = """\
The store is the one that `memory-cache serve` uses with the same settings: the
Redis of --redis-url, or else the Valkey in --data-dir, which runs while a
server does. Nothing goes over HTTP, and a server need not be stopped: it sees
every change. Settings come from flags, the environment or .env, as for
`serve`; `memory-cache config` shows them.
"""

LOOKS: Final = {
    "sessions": "List sessions, the most recently active first.",
    "show": "Show the newest messages of a session, and what else it holds.",
    "tail": "Show the newest messages of a session; with -f, go on as they are added by anybody.",
    "export": "Write sessions as lines of JSON, which `memory-cache import` reads.",
    "delete": "Delete a session.",
    "stats": "Show what the store holds; with --url, also what the workers of a server count.",
}

USAGES: Final = {"show": "ID ", "tail": "ID ", "delete": "ID ", "export": "[ID ...] "}
"""What they take before options."""

LOOK_EXITS: Final = """
exit codes: 0 done, 1 failed while running, 2 the command is wrong, or there
is no store
"""

IMPORT: Final = """\
Carry sessions over from another store; nothing is written there.

SOURCE is one of
  redis://host:6379/0  the Redis of an agent-memory-server; with --layout the
                       lists of OpenAI's RedisSession, LangChain or LlamaIndex
                       (rediss:// and unix:// too)
  http://host:8000     the API of an agent-memory-server, or of this server; a
                       bearer token is taken from the variable
                       MEMORY_CACHE_SOURCE_TOKEN
  sessions.jsonl       what `memory-cache export` wrote; - is standard input

Killed or stopped, it is run again and goes on: a session that is here already
is compared, not written. One that is here and is another is left alone and
listed; --overwrite replaces it. What cannot be carried over is listed on
standard error with the reason; the rest is carried over.
"""

IMPORT_EXITS: Final = """
examples:
  memory-cache import redis://old-host:6379 --dry-run
  memory-cache import redis://old-host:6379 --verify
  memory-cache import redis://old-host:6379 --layout langchain --namespace chat
  memory-cache export --redis-url redis://one | \\
    memory-cache import - --redis-url redis://two --verify

exit codes: 0 all is here, 1 something is not (it is listed), 2 the command is
wrong, or the source or the store cannot be reached
"""


def add_look_flags(name: str, parser: argparse.ArgumentParser) -> None:
    """Add what one of the commands takes, beside the store."""
    if name in {"show", "tail", "delete"}:
        parser.add_argument("id", metavar="ID", help="the id of the session")
    elif name == "export":
        parser.add_argument("id", metavar="ID", nargs="*", help="sessions; none: all")
        parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="not standard output")
    if name == "stats":
        parser.add_argument("--url", help="a running server, such as http://127.0.0.1:8000")
    else:
        _add_scope(parser, "sessions" if name in {"sessions", "export"} else "the session")
    if name == "sessions":
        parser.add_argument("--id", help="only those with this id")
        parser.add_argument(
            "--limit", type=_positive, default=20, metavar="N", help="how many (default: 20)"
        )
        parser.add_argument("--oldest-first", action="store_true", help="least recently active")
    if name in {"show", "tail"}:
        least = 20 if name == "show" else 10
        parser.add_argument(
            *(("--last",) if name == "show" else ("-n", "--last")),
            type=_positive,
            default=least,
            metavar="N",
            help=f"how many messages (default: {least})",
        )
    if name == "tail":
        parser.add_argument("-f", "--follow", action="store_true", help="wait for more")
    if name == "delete":
        parser.add_argument("--yes", action="store_true", help="do not ask")
    if name not in {"export", "delete"}:
        parser.add_argument("--json", action="store_true", help="JSON, as it is stored")


def add_import_flags(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes, beside the store."""
    parser.add_argument("source", metavar="SOURCE", help="where the sessions are; see above")
    parser.add_argument(
        "--layout",
        choices=(AGENT_MEMORY, *LAYOUT_NAMES),
        default=AGENT_MEMORY,
        metavar="NAME",
        help=f"who wrote that Redis: {AGENT_MEMORY} (the default), {', '.join(LAYOUT_NAMES)}",
    )
    parser.add_argument(
        "--namespace",
        metavar="NAME",
        help="only sessions of this namespace; the lists of a framework have none, and are put"
        " into it (default: where the adapter for that framework looks)",
    )
    parser.add_argument(
        "--key-prefix",
        metavar="TEXT",
        help="what the keys begin with over there, if that was configured",
    )
    parser.add_argument("--dry-run", action="store_true", help="read and compare, write nothing")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read each session again when it is written, here and there, and compare it message"
        " by message",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace sessions that are here and differ"
    )


def _add_scope(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the flags of a scope."""
    parser.add_argument("--namespace", metavar="NAME", help=f"{what} of this namespace")
    parser.add_argument("--user-id", metavar="NAME", help=f"{what} of this user")


def _positive(text: str) -> int:
    """Read a number of things."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a number, 1 or more")
    return int(text)
