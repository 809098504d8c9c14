"""What a page of another site can do to a server that its visitor's browser reaches: nothing."""

import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from playwright.sync_api import Browser, Page

from support.in_process import message

PLANTED = '{"messages":[{"role":"user","content":"planted"}]}'
SECRET = "kept from other sites"
WRITES = {
    "a text": f"'{PLANTED}'",
    "a blob": f"new Blob(['{PLANTED}'])",
    "a typed blob": f"new Blob(['{PLANTED}'], {{type: 'text/plain'}})",
    "bytes": f"new TextEncoder().encode('{PLANTED}')",
    "a form": "new URLSearchParams({messages: '[]'})",
    "a form of parts": "new FormData(document.createElement('form'))",
}
READS = {
    "a fetch": "(await fetch(url)).text()",
    "a frame": """new Promise((done) => {
        const frame = Object.assign(document.createElement("iframe"), {src: url});
        frame.onload = () => done(String(frame.contentDocument?.body?.textContent));
        document.body.append(frame);
    })""",
    "a script": """new Promise((done, failed) => {
        const script = Object.assign(document.createElement("script"), {src: url});
        script.onload = () => done("it was loaded");
        script.onerror = failed;
        document.body.append(script);
    })""",
    "events": """new Promise((done, failed) => {
        const source = new EventSource(url);
        source.onopen = () => done("it was opened");
        source.onerror = () => { source.close(); failed(); };
    })""",
}


class _Elsewhere(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<!doctype html><title>elsewhere</title><body>"
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def elsewhere(browser: Browser) -> Iterator[Page]:
    """A page of another origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    page = browser.new_page()
    page.goto(f"http://localhost:{server.server_address[1]}/")
    yield page
    page.close()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("how", WRITES)
def test_nothing_is_written(elsewhere: Page, server: str, how: str) -> None:
    """Whatever body it sends, and no browser asks before these, no session is made or grows."""
    session = f"{server}/v1/working-memory/{uuid.uuid4()}"
    elsewhere.evaluate(
        f"url => fetch(url, {{method: 'POST', mode: 'no-cors', body: {WRITES[how]}}})",
        f"{session}/messages",
    )
    assert httpx.get(session).status_code == 404


@pytest.mark.parametrize("how", READS)
@pytest.mark.parametrize(
    "path", ["data/session?session_id=secret", "data/events?session_id=secret", "page.js"]
)
def test_nothing_is_read(elsewhere: Page, server: str, how: str, path: str) -> None:
    """However it asks for them, it gets neither the page's data nor its parts."""
    sent = {"messages": [message(SECRET)]}
    httpx.post(f"{server}/v1/working-memory/secret/messages", json=sent).raise_for_status()
    got = elsewhere.evaluate(
        f"async (url) => {{ try {{ return await {READS[how]}; }} catch {{ return 'refused'; }} }}",
        f"{server}/inspect/{path}",
    )
    assert got in {"refused", "null", "undefined"}


def test_page_is_not_framed(elsewhere: Page, server: str) -> None:
    """The page does not run within another, where its visitor could be led to use it."""
    elsewhere.evaluate(READS["a frame"].replace("new", "url => new", 1), f"{server}/inspect")
    frame = elsewhere.frames[-1]
    assert frame.evaluate("document.querySelector('#sessions') === null")
