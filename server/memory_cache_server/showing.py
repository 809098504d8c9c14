"""Sessions and messages on a terminal, or as lines of a file."""

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from memory_cache import Page, SessionKey
from memory_cache_server.looking import Seen
from memory_cache_server.message_text import Kind, clean, one_line, said

_PIPE_WIDTH: Final = 100_000
_LEAST_FULL: Final = 100
_LEAST_SCOPE: Final = 60
"""Columns that the table of sessions needs for all it can tell, and for a scope of its own."""

_INDENT: Final = 8
_LONGEST_FIELD: Final = 600
_STYLES: Final[dict[Kind, str]] = {
    "text": "",
    "call": "cyan",
    "result": "green",
    "other": "dim",
}
_MARKS: Final[dict[Kind, str]] = {"text": "", "call": "→ ", "result": "← ", "other": ""}
_ROLE_STYLES: Final = {"user": "bold yellow", "assistant": "bold blue", "system": "bold magenta"}
_COUNTS: Final = ("messages", "tokens", "bytes", "ttl")


def console() -> Console:
    """Return a console on standard output; into a file or a pipe a line is a line, however long."""
    terminal = sys.stdout.isatty()
    return Console(
        highlight=False,
        markup=False,
        emoji=False,
        width=None if terminal else _PIPE_WIDTH,
        soft_wrap=not terminal,
    )


def table(found: Sequence[Seen], width: int) -> Table:
    """Return sessions as a table, with less beside each where the terminal is narrow."""
    full, narrow = width >= _LEAST_FULL, width < _LEAST_SCOPE
    made = Table(box=None, pad_edge=False, header_style="bold")
    made.add_column("session", overflow="fold")
    for name in ("namespace", "user") if full else () if narrow else ("namespace / user",):
        made.add_column(name, overflow="fold")
    for name in _COUNTS if full else _COUNTS[:1]:
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("changed", no_wrap=True)
    for seen in found:
        counts, changed = _counted(seen)
        if full:
            made.add_row(*(Text(clean(part)) for part in _parts(seen.key)), *counts, changed)
            continue
        name, *scope = map(clean, _parts(seen.key))
        names = [Text(name), Text(" / ".join(filter(None, scope)))]
        if narrow and any(scope):
            names = [Text.assemble(names[0], "\n  ", (names[1].plain, "dim"))]
        made.add_row(*names[: 1 if narrow else 2], counts[0], changed[5:16])
    return made


def _parts(key: SessionKey) -> tuple[str, str, str]:
    return key.session_id, key.namespace, key.user_id


def _counted(seen: Seen) -> tuple[list[str], str]:
    page = seen.page
    if page is None:
        return ["damaged", *[""] * (len(_COUNTS) - 1)], ""
    numbers = (page.next - page.first, page.token_count, page.header.size if page.header else 0)
    ttl = "" if page.ttl_seconds is None else f"{page.ttl_seconds:,} s"
    return [*(f"{number:,}" for number in numbers), ttl], moment(page.updated_at)


def headline(page: Page, expires_in: float | None, *, wrapped: bool) -> RenderableType:
    """Return what a session is, and its fields, before its messages."""
    about = {
        "namespace": page.key.namespace,
        "user": page.key.user_id,
        "messages": f"{page.next - page.first:,}",
        "token count": f"{page.token_count:,}",
        "created": moment(page.created_at),
        "changed": moment(page.updated_at),
        "time to live": ""
        if page.ttl_seconds is None
        else f"{page.ttl_seconds:,} s after each change",
        "expires in": "" if expires_in is None else f"{expires_in:,.0f} s",
        "version": str(page.version),
    }
    fields = {name: _brief(value) for name, value in page.fields.items() if value or value == 0}
    rows = [(one_line(k), clean(v)) for k, v in (*about.items(), *fields.items()) if v]
    title = Text(clean(page.key.session_id), style="bold")
    wide = max(len(name) for name, _ in rows)
    if not wrapped:
        indent = "\n" + " " * (wide + 2)
        lines = (f"{name:<{wide}}  " + value.replace("\n", indent) for name, value in rows)
        return Group(title, *map(Text, lines))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(Text(name), Text(value))
    return Group(title, grid)


def _brief(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= _LONGEST_FIELD:
        return text
    return f"{text[:_LONGEST_FIELD]}… ({len(text):,} characters; --json shows all)"


def rendered(
    seq: int, message: dict[str, Any], created_at: int | None, *, wrapped: bool
) -> RenderableType:
    """Return a message: who, when, and what was said, called and answered."""
    what = said(message)
    head = Text(f"{seq:>6}  ", style="dim")
    head.append(what.role, style=f"not dim {_ROLE_STYLES.get(what.role, 'bold green')}")
    for beside in (what.about, "" if created_at is None else moment(created_at)):
        head.append(f"  {beside}" if beside else "")
    if not wrapped:
        return Group(head, *(line for kind, text in what.parts for line in _lines(kind, text)))
    parts = Group(*(_part(kind, text) for kind, text in what.parts))
    return Group(head, Padding(parts, (0, 0, 0, _INDENT), expand=False))


def _lines(kind: Kind, text: str) -> Iterator[Text]:
    mark = _MARKS[kind]
    for at, line in enumerate(text.split("\n")):
        text = " " * _INDENT + (" " * len(mark) if at else mark) + line
        yield Text(text.rstrip(), style=_STYLES[kind])


def _part(kind: Kind, text: str) -> RenderableType:
    if not _MARKS[kind]:
        return Text(text, style=_STYLES[kind])
    # The mark has a column of its own: what is folded stands behind it.
    grid = Table.grid()
    grid.add_column(width=len(_MARKS[kind]))
    grid.add_column(overflow="fold")
    grid.add_row(Text(_MARKS[kind], style=_STYLES[kind]), Text(text, style=_STYLES[kind]))
    return grid


def moment(micros: int) -> str:
    """Return a time as it is here, to the second."""
    return datetime.fromtimestamp(micros / 1e6, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
