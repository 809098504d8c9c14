"""
The command line: every setting is a flag.

Exit codes: 0 done, 1 failed while running, 2 the command or the settings are wrong.
Those of the commands on sessions are in `cli_commands`.
"""

import argparse
import asyncio
import json
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, get_args

from memory_cache_server import logs
from memory_cache_server.cli_commands import (
    IMPORT,
    IMPORT_EXITS,
    LOOK_EXITS,
    LOOKS,
    STORE_EPILOG,
    STORE_FIELDS,
    USAGES,
    add_import_flags,
    add_look_flags,
)
from memory_cache_server.embedded import EmbeddedError
from memory_cache_server.printing import printed
from memory_cache_server.settings import (
    ConfigurationError,
    Loaded,
    Settings,
    env_name,
    flag_name,
    load,
    shown,
)
from memory_cache_server.supervisor import Supervisor
from memory_cache_server.worker_process import ServeError

_EPILOG = """\
Each flag is a setting, and each setting a variable of the environment or a
line of the file .env in the working directory: a flag beats the environment,
which beats .env. `memory-cache config` lists them with their values and where
those came from.

exit codes: 0 done, 1 failed while running, 2 the command or the settings are
wrong
"""

_log = logging.getLogger(__name__)


def run(words: Sequence[str]) -> int:
    """Run the command with these arguments; answers its exit code."""
    begun = printed(lambda: _begin(words))
    return begun if isinstance(begun, int) else _serve(begun)


def _begin(words: Sequence[str]) -> int | Loaded:
    """Run a command that ends by itself; of `serve` answer the settings."""
    arguments = vars(_parser().parse_args(words))
    flags = {name: value for name, value in arguments.items() if name in Settings.model_fields}
    try:
        loaded = load(flags)
    except ConfigurationError as error:
        return _fail(error, 2)
    command = arguments["command"]
    if command == "import" or command in LOOKS:
        return _on_sessions(command, arguments, loaded.settings)
    if command == "config":
        print(_as_json(loaded) if arguments["json"] else _as_table(loaded))
        return 0
    return loaded


def _on_sessions(command: str, arguments: dict[str, Any], settings: Settings) -> int:
    # They bring what the workers of a server need, and its parent does not.
    if command == "import":
        from memory_cache_server.cli_import import import_  # noqa: PLC0415

        return import_(arguments, settings)
    from memory_cache_server.cli_look import look  # noqa: PLC0415

    return look(command, arguments, settings)


class _Version(argparse.Action):
    """As argparse's own, but looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"{parser.prog} {version('agent-memory-cache')}")
        parser.exit()


def _serve(loaded: Loaded) -> int:
    logs.configure(loaded.settings.log_level)
    for remark in loaded.remarks:
        _log.warning("%s", remark)
    try:
        asyncio.run(_supervise(loaded.settings))
    except (ServeError, EmbeddedError) as error:
        return _fail(error, 1)
    return 0


async def _supervise(settings: Settings) -> None:
    await Supervisor(settings).run()


def _fail(error: Exception, code: int) -> int:
    print(f"memory-cache: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="memory-cache",
        description="Working memory for LLM agents: transcripts in Redis or Valkey, over HTTP.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    serve = _command(
        commands,
        "serve",
        "Run the server. Standard output gets one line, the URL, when it is ready; the log goes to"
        " standard error. SIGTERM and Ctrl-C finish what is in flight; Ctrl-C again does not wait.",
    )
    config = _command(
        commands, "config", "List every setting, its value here, and where that came from."
    )
    config.add_argument("--json", action="store_true", help="answer one JSON object")
    for command in (serve, config):
        for field in Settings.model_fields:
            _add_flag(command, field)
    for name, what in LOOKS.items():
        look = _command(commands, name, what, STORE_EPILOG + LOOK_EXITS, USAGES.get(name, ""))
        add_look_flags(name, look)
        _add_store_flags(look)
    import_ = _command(commands, "import", IMPORT, STORE_EPILOG + IMPORT_EXITS, "SOURCE ")
    add_import_flags(import_)
    _add_store_flags(import_)
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    what: str,
    epilog: str = _EPILOG,
    usage: str | None = None,
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        usage=None if usage is None else f"%(prog)s {usage}[options]",
        help=re.split(r"[.;:](\s|$)", what)[0],
        description=what,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_store_flags(parser: argparse.ArgumentParser) -> None:
    store = parser.add_argument_group("the store")
    for field in STORE_FIELDS:
        _add_flag(store, field)


def _add_flag(parser: argparse._ActionsContainer, field: str) -> None:
    """Add the flag of a setting. Its value stays text: `load` checks all origins alike."""
    info = Settings.model_fields[field]
    default = info.get_default(call_default_factory=True, validated_data={})
    usual = "" if default is None else f"default: {default}; "
    said = f"{info.description} ({usual}{env_name(field)})".replace("%", "%%")
    if info.annotation is bool:
        parser.add_argument(
            flag_name(field),
            action=argparse.BooleanOptionalAction,
            default=argparse.SUPPRESS,
            help=said,
        )
        return
    choices = [choice for choice in get_args(info.annotation) if isinstance(choice, str)]
    parser.add_argument(
        flag_name(field),
        default=argparse.SUPPRESS,
        metavar="|".join(choices) or field.rpartition("_")[2].upper(),
        help=said,
    )


def _rows(loaded: Loaded) -> Mapping[str, Mapping[str, object]]:
    return {
        env_name(field): {
            "flag": flag_name(field),
            "value": value,
            "origin": loaded.origins[field],
        }
        for field, value in shown(loaded.settings)
    }


def _as_json(loaded: Loaded) -> str:
    return json.dumps(_rows(loaded), indent=2)


def _as_table(loaded: Loaded) -> str:
    table = [("SETTING", "FLAG", "VALUE", "ORIGIN")]
    for name, row in _rows(loaded).items():
        value = "" if row["value"] is None else str(row["value"])
        table.append((name, str(row["flag"]), value, str(row["origin"])))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in table)
