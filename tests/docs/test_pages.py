import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.blocks import OUTPUT, Block, blocks, pages, served_port
from docs.story import SHELLS, Story
from support.project import ROOT
from support.serving import ServerProcess
from support.valkey import ValkeyServer, free_port

LANGUAGES = {"console", "java", "javascript", "json", "python", "text"} | SHELLS
COMPILED = {"java", "javascript"}
BEFORE = {"importing.md": "memory-cache serve"}
"""What a page takes for granted."""

SAID = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]

each_page = pytest.mark.parametrize(
    "page", pages(), ids=lambda page: page.relative_to(ROOT / "docs").as_posix()
)


@pytest.fixture(scope="module")
def server(
    valkey_tcp: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """One server for the pages that start none."""
    folder = tmp_path_factory.mktemp("server")
    with ServerProcess("--redis-url", valkey_tcp.url, cwd=folder) as server:
        yield server


@pytest.mark.slow
@each_page
def test_blocks_do_what_the_page_says(
    page: Path, tmp_path: Path, valkey_tcp: ValkeyServer, server: ServerProcess
) -> None:
    """Every block of a page runs, from top to bottom, and prints what the page says it prints."""
    told = blocks(page)
    if not told:
        return
    if page.name in BEFORE:
        told.insert(0, Block(page, 0, "sh", "", BEFORE[page.name]))
    with valkey_tcp.admin as client:
        client.flushall()
        for name in ("old-1", "old-2"):  # as an agent-memory-server left them
            session = {"session_id": name, "messages": SAID}
            client.set(f"working_memory:{name}", json.dumps(session))
    started = {served_port(block.code) for block in told}
    ports = {6379: free_port() if 6379 in started else valkey_tcp.port}
    ports[8000] = free_port() if 8000 in started else server.port
    with Story(tmp_path, valkey_tcp.url, ports) as story:
        for block in told:
            story.tell(block)
    if story.left_out:
        pytest.skip(f"all but: {'; '.join(story.left_out)}")


@each_page
def test_no_block_is_of_a_kind_that_nothing_runs(page: Path) -> None:
    """Each block is in a language that is run here, and a file that is shown is run, too."""
    told = blocks(page)
    commands = "\n".join(block.code for block in told if block.language in SHELLS)
    for block in told:
        assert block.language in LANGUAGES, block
        if block.language == "json":
            json.loads(block.code)
        if block.title != OUTPUT and (block.title or block.language in COMPILED):
            assert block.title, block
            assert Path(block.title).stem in commands, block


def test_blocks_are_found_inside_tabs_and_with_the_files_they_show(tmp_path: Path) -> None:
    """A block inside a tab is found without its indentation, and so is a file that is shown."""
    page = tmp_path / "page.md"
    page.write_text(
        '=== "A"\n\n    ```sh\n    echo 1\n    ```\n\n    <!-- file: examples/Append.java -->\n'
    )
    shown = (ROOT / "examples" / "Append.java").read_text()
    assert blocks(page) == [
        Block(page, 3, "sh", "", "echo 1\n"),
        Block(page, 7, "java", "examples/Append.java", shown),
    ]
