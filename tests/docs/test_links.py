import re
from pathlib import Path

import pytest

from docs.blocks import pages
from support.project import ROOT

# In a checkout; of those on the site, its build in strict mode is the test.
READ = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "perf" / "README.md", *pages()]

LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)[^)]*\)")
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", READ, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page: Path) -> None:
    """Every link of a page that is read in a checkout leads to something that is there."""
    links = LINK.findall(FENCE.sub("", page.read_text()))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_a_dead_link_is_seen() -> None:
    """The pattern finds links with and without an anchor, and none that leave the checkout."""
    text = "[a](b.md) [c](d/e.md#f) [g](#h) [i](https://j.org/k.md) ![l](m.png)"
    assert LINK.findall(text) == ["b.md", "d/e.md", "m.png"]
