"""A real server, and a real browser without a screen that looks at its inspector."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from support.inspected import Inspector
from support.serving import ServerProcess
from support.valkey import ValkeyServer

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
SIZES = {"wide": (1280, 800), "phone": (390, 844)}


@pytest.fixture(scope="module")
def process(
    valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server with its inspector on."""
    folder: Path = tmp_path_factory.mktemp("inspector")
    with ServerProcess("--redis-url", valkey.url, "--inspect", cwd=folder) as process:
        yield process


@pytest.fixture(scope="module")
def server(process: ServerProcess) -> str:
    """The URL of the server."""
    return process.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The machine's own browser; nothing is downloaded."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser on this machine: none of {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        # Its sandbox needs rights that containers and build machines do not give.
        browser = playwright.chromium.launch(
            executable_path=path, args=list(QUIET), chromium_sandbox=False
        )
        yield browser
        browser.close()


@pytest.fixture(params=list(SIZES))
def inspector(request: pytest.FixtureRequest, browser: Browser, server: str) -> Iterator[Inspector]:
    """The inspector on a desktop, then on a phone; errors in its console fail the test."""
    width, height = SIZES[request.param]
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_default_timeout(10_000)
    with httpx.Client(base_url=server) as http:
        inspector = Inspector(page, http, request.param == "phone")
        page.on("pageerror", lambda error: inspector.troubles.append(str(error)))
        page.on("console", lambda said: inspector.troubles.append(said.text))
        page.on("request", lambda asked: _at_home(asked.url, server, inspector.troubles))
        yield inspector
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()
    assert inspector.troubles == []


def _at_home(url: str, server: str, troubles: list[str]) -> None:
    if not url.startswith(f"{server}/inspect"):
        troubles.append(f"asked for {url}")
