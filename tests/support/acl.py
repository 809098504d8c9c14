"""The ACL user of the documentation."""

import re

from support.project import ROOT

USER = "mc"
DATABASE = 1


def documented() -> list[str]:
    """The words of the documentation's ACL SETUSER, for the database that is used here."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    [text] = re.findall(r"^```text\n(ACL SETUSER.*?)^```$", page, re.DOTALL | re.MULTILINE)
    words: list[str] = text.replace("\\\n", " ").replace("&0:", f"&{DATABASE}:").split()
    assert words[:3] == ["ACL", "SETUSER", USER]
    return words[3:]


def commands() -> list[str]:
    """The commands that it permits."""
    return [word for word in documented() if word.startswith("+")]
