import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.project import ROOT

PAGES = ROOT / "docs" / "adapters"
NEEDS = {
    "google-adk": "google.adk",
    "langchain": "langchain_core",
    "langgraph": "langgraph.graph",
    "llama-index": "llama_index.core",
    "openai-agents": "agents",
    "pydantic-ai": "pydantic_ai.conversation_store",
}


@pytest.mark.parametrize("page", NEEDS)
def test_example_runs(page: str, valkey_url: str, tmp_path: Path) -> None:
    """The example of each page runs as it stands there, but for the store's address."""
    pytest.importorskip(NEEDS[page])
    (code,) = re.findall(r"```python\n(.*?)```", (PAGES / f"{page}.md").read_text(), re.DOTALL)
    assert "redis://localhost:6379" in code
    program = tmp_path / "example.py"
    program.write_text(code.replace("redis://localhost:6379", valkey_url))
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_page_is_tried() -> None:
    """No page has an example that is not run here."""
    pages = {path.stem for path in PAGES.glob("*.md") if "```python" in path.read_text()}
    assert pages == set(NEEDS)
