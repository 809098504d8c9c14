"""The ACL users of the documentation."""

import re

from support.project import ROOT

USER, LOOKER = "mc", "looker"
DATABASE = 1


def documented(user: str = USER) -> list[str]:
    """The words of the documentation's ACL SETUSER, for the database that is used here."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    [text] = re.findall(rf"^```text\nACL SETUSER {user} (.*?)^```$", page, re.DOTALL | re.MULTILINE)
    words: list[str] = text.replace("\\\n", " ").replace("&0:", f"&{DATABASE}:").split()
    return words


def commands(user: str = USER) -> list[str]:
    """The commands that it permits."""
    return [word for word in documented(user) if word.startswith("+")]
