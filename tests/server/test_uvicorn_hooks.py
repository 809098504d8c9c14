"""What is used of uvicorn beyond its documentation: there, or done without, and said."""

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from uvicorn.protocols.http import httptools_impl

from memory_cache_server import uvicorn_hooks
from support.serving import ServerProcess, end_valkey

RENAMED = {
    "_start_asgi_task": "_start_asgi_task(cycle, app)",
    "_unset_keepalive_if_required": "_unset_keepalive_if_required()",
    "STATUS_LINE": "STATUS_LINE",
    "response_complete": "cycle.response_complete",
    "pipeline": "pipeline",
}
"""Names of uvicorn that we use, and what is said of one that is not there."""

SITE = """
# At the start of each process: a uvicorn that has another name for something.
import importlib.util, pathlib, sys, types

NAME = "uvicorn.protocols.http.httptools_impl"
try:
    found = importlib.util.find_spec(NAME)
except ModuleNotFoundError:
    found = None
if found is not None:
    source = pathlib.Path(found.origin).read_text().replace({old!r}, "renamed")
    module = types.ModuleType(NAME)
    exec(compile(source, found.origin, "exec"), module.__dict__)
    sys.modules[NAME] = module
"""


def test_all_is_there() -> None:
    """The uvicorn that is installed has all of it."""
    assert uvicorn_hooks.missing() == []


@pytest.mark.parametrize("name", ["_start_asgi_task", "_should_upgrade", "on_message_begin"])
def test_method_that_is_gone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that is not there, or takes something else, is named."""
    protocol = httptools_impl.HttpToolsProtocol
    monkeypatch.setattr(protocol, name, lambda self, other: (self, other))
    assert [each.partition("(")[0] for each in uvicorn_hooks.missing()] == [name]
    monkeypatch.undo()
    monkeypatch.delattr(protocol, name)
    assert [each.partition("(")[0] for each in uvicorn_hooks.missing()] == [name]


def test_call_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that uvicorn itself does not call any more is named."""
    monkeypatch.setattr(httptools_impl.HttpToolsProtocol, "on_headers_complete", lambda _: None)
    assert "a call of _start_asgi_task" in uvicorn_hooks.missing()


@pytest.fixture(params=RENAMED)
def renamed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, ServerProcess]]:
    """A server over a uvicorn that calls something otherwise, and what that is."""
    (tmp_path / "sitecustomize.py").write_text(SITE.format(old=request.param))
    folder = tmp_path / "d"
    try:
        with ServerProcess(
            "--data-dir", str(folder), cwd=tmp_path, PYTHONPATH=str(tmp_path)
        ) as server:
            yield RENAMED[request.param], server
    finally:
        end_valkey(folder)


def test_served_without(renamed: tuple[str, ServerProcess]) -> None:
    """Without one of them uvicorn's own protocol serves, and the worker says so once."""
    what, server = renamed
    session = "/v1/working-memory/chat"
    with httpx.Client(base_url=server.url) as client:
        message = {"role": "user", "content": "hi"}
        assert client.post(f"{session}/messages", json={"messages": [message]}).is_success
        for _ in range(20):
            read = client.get(f"{session}?recent_messages_limit=2")
            assert [each["content"] for each in read.json()["messages"]] == ["hi"]
    (line,) = re.findall(r"WARNING .*", server.log())
    assert f" uvicorn {version('uvicorn')} has no {what}: its own protocol serves" in line
