"""
What mkdocs calls while it builds the site.

Parts of pages are made from the program itself, so that they cannot disagree with it: a line
``<!-- generated: NAME -->`` in a page becomes what the function of that name returns.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import http_reference
import picture
import settings_reference
import shown
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_MARK = re.compile(r"^<!-- generated: (\S+) -->$", re.MULTILINE)
_PARTS: dict[str, Callable[[], str]] = {
    "consistency-picture": picture.consistency,
    "http": lambda: http_reference.markdown(http_reference.document()),
    "openapi-file": lambda: "As a file: [openapi.json](openapi.json).",
    "settings": settings_reference.markdown,
}
_OUTSIDE = {"../README.md": "index.md", "../perf/README.md": "measurements.md"}
"""Links to what is in the checkout and not in the site, and where the site says the same."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of a folder where the navigation names the folder."""
    config.nav = [_unfolded(item, Path(config.docs_dir)) for item in config.nav or ()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what does not lie in the folder of the pages."""
    measurements = (shown.ROOT / "perf" / "README.md").read_text()
    files.append(File.generated(config, "measurements.md", content=measurements))
    api = json.dumps(http_reference.document(), indent=2)
    files.append(File.generated(config, "reference/openapi.json", content=api))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what is generated."""
    del config, files

    def part(mark: re.Match[str]) -> str:
        if mark[1] not in _PARTS:
            raise PluginError(f"{page.file.src_uri}: nothing generates {mark[1]!r}")
        return _PARTS[mark[1]]()

    for outside, inside in _OUTSIDE.items():
        markdown = markdown.replace(f"]({outside})", f"]({inside})")
    return _MARK.sub(part, shown.with_files(markdown))


def _unfolded(item: object, docs: Path) -> object:
    """Replace ``folder/`` by its pages, the one called index first."""
    if isinstance(item, dict):
        return {title: _unfolded(inside, docs) for title, inside in item.items()}
    if isinstance(item, list):
        return [_unfolded(inside, docs) for inside in item]
    if isinstance(item, str) and item.endswith("/"):
        pages = sorted((docs / item).glob("*.md"), key=lambda page: (page.stem != "index", page))
        return [page.relative_to(docs).as_posix() for page in pages]
    return item
