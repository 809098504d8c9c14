"""
Copy sessions from one server that speaks the working-memory contract to another.

    python examples/migrate.py http://old-server:8000 http://localhost:8000 --namespace demo

The old server is only read. A session that the new server has already is left alone, so a run that
was interrupted is just started again. Each session is read back and compared, message by message.
It is a pattern to adapt, where `memory-cache import` does not know your source.
"""

import argparse
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx

PAGE = 100
KEPT = ("role", "content", "id", "created_at")
"""What is compared; a server may fill in the rest."""


def main() -> None:
    """Copy, and say what was done; exit code 1 if a session is not the same afterwards."""
    arguments = _arguments()
    scope = {
        name: value
        for name in ("namespace", "user_id")
        if (value := getattr(arguments, name)) is not None
    }
    made = skipped = messages = 0
    different = []
    with (
        httpx.Client(base_url=arguments.source, timeout=60) as source,
        httpx.Client(base_url=arguments.target, timeout=60) as target,
    ):
        for session_id in session_ids(source, scope):
            session = read(source, session_id, scope)
            if not write(target, session_id, session, scope):
                skipped += 1
                continue
            made += 1
            messages += len(session["messages"])
            if essence(read(target, session_id, scope)) != essence(session):
                different.append(session_id)
    print(f"{made} sessions, {messages} messages; {skipped} were there already")
    if different:
        raise SystemExit(f"not the same: {', '.join(different)}")


def session_ids(source: httpx.Client, scope: dict[str, str]) -> Iterator[str]:
    """Yield the id of each session of this scope."""
    offset = 0
    while True:
        query: dict[str, str | int] = {**scope, "limit": PAGE, "offset": offset}
        ids = source.get("/v1/working-memory/", params=query).raise_for_status().json()["sessions"]
        yield from ids
        offset += len(ids)
        if len(ids) < PAGE:
            return


def read(server: httpx.Client, session_id: str, scope: dict[str, str]) -> dict[str, Any]:
    """Return a whole session."""
    session: dict[str, Any] = server.get(_path(session_id), params=scope).raise_for_status().json()
    return session


def write(
    target: httpx.Client, session_id: str, session: dict[str, Any], scope: dict[str, str]
) -> bool:
    """Make a session; False if there was one."""
    answer = target.put(
        _path(session_id),
        json={**session, **scope},
        headers={"If-None-Match": "*", "Prefer": "return=minimal"},
    )
    if answer.status_code == httpx.codes.PRECONDITION_FAILED:
        return False
    answer.raise_for_status()
    return True


def essence(session: dict[str, Any]) -> list[list[Any]]:
    """Return what must be the same on both sides."""
    return [[message[name] for name in KEPT] for message in session["messages"]]


def _path(session_id: str) -> str:
    return f"/v1/working-memory/{quote(session_id, safe='')}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Copy sessions from one server to another.")
    parser.add_argument("source", help="URL of the server to read")
    parser.add_argument("target", help="URL of the server to write")
    parser.add_argument("--namespace")
    parser.add_argument("--user-id")
    return parser.parse_args()


if __name__ == "__main__":
    main()
