"""
Files that a page shows.

A line ``<!-- file: PATH -->`` in a page becomes a block of code with this file of the checkout.
"""

import re
from pathlib import Path
from textwrap import indent
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]

MARK: Final = re.compile(r"^( *)<!-- file: (\S+) -->$", re.MULTILINE)
LANGUAGES: Final = {".java": "java", ".mjs": "javascript", ".py": "python"}


def with_files(markdown: str) -> str:
    """Return a page with its files in it."""
    return MARK.sub(_block, markdown)


def _block(mark: re.Match[str]) -> str:
    code = (ROOT / mark[2]).read_text()
    language = LANGUAGES[Path(mark[2]).suffix]
    return indent(f'```{language} title="{mark[2]}"\n{code}```', mark[1])
