"""The inspector as a test uses it: its page in a browser, and the API that feeds what it shows."""

import uuid
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

import httpx
from playwright.sync_api import Page

_LISTED = """namespace => {
    const links = [...document.querySelectorAll("#sessions a")];
    return links.length > 0 && links.every((link) => link.hash.includes(namespace));
}"""


@dataclass
class Inspector:
    """One page in a browser; the sessions of its test are in a namespace of their own."""

    page: Page
    http: httpx.Client
    narrow: bool
    namespace: str = field(default_factory=lambda: uuid.uuid4().hex)
    troubles: list[str] = field(default_factory=list)

    def append(self, session_id: str, *messages: object) -> None:
        """Append messages to a session of this test."""
        url = f"/v1/working-memory/{quote(session_id, safe='')}/messages"
        scope = {"namespace": self.namespace}
        self.http.post(url, params=scope, json={"messages": messages}).raise_for_status()

    def request(
        self, method: str, session_id: str, body: object = None, **query: int
    ) -> httpx.Response:
        """Ask the API for something about a session of this test."""
        url = f"/v1/working-memory/{quote(session_id, safe='')}"
        asked: dict[str, str | int] = {"namespace": self.namespace, **query}
        return self.http.request(method, url, params=asked, json=body).raise_for_status()

    def visit(self) -> None:
        """Go to the list, of this test's sessions."""
        self.page.goto(f"{self.http.base_url}/inspect")
        self.page.get_by_text("Scope").click()
        self.page.get_by_label("Namespace").fill(self.namespace)
        self.page.get_by_label("Namespace").press("Enter")
        self.page.wait_for_function(_LISTED, arg=self.namespace)

    def open(self, session_id: str) -> None:
        """Go to a session."""
        name = urlencode({"session_id": session_id, "namespace": self.namespace})
        self.page.goto(f"{self.http.base_url}/inspect#{name}")
        self.page.locator("#range").get_by_text(" ").wait_for()

    def seqs(self) -> list[int]:
        """The seqs of the messages that are in the page."""
        found = self.page.locator("#messages > li").evaluate_all(
            "all => all.map(i => i.dataset.seq)"
        )
        return [int(seq) for seq in found]

    def shows(self, first: int, last: int) -> None:
        """Wait until just these messages are shown."""
        said = f"{first}–{last} of "
        self.page.locator("#range").get_by_text(said).wait_for()
        assert self.seqs() == list(range(first, last + 1))
