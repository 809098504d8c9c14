"""The inspector in motion: the live tail, and the keyboard alone."""

import os
import signal

from playwright.sync_api import Route, expect

from support.in_process import message
from support.inspected import Inspector
from support.serving import ServerProcess, wait_for


def follow(inspector: Inspector) -> None:
    """Follow the open session; from here on nothing that is appended is missed."""
    with inspector.page.expect_response("**/events?**") as answer:
        inspector.page.locator("#tail").click()
    assert answer.value.headers["cache-control"] == "no-store"
    expect(inspector.page.locator("#tail")).to_have_attribute("aria-pressed", "true")


def test_tail_shows_what_is_appended(inspector: Inspector) -> None:
    """While it is followed, a session shows each message that is appended, once and in order."""
    inspector.append("s", message("before"))
    inspector.open("s")
    inspector.append("s", message("unseen yet"))
    follow(inspector)
    inspector.shows(0, 1)
    for n in range(20):
        inspector.append("s", message(f"m{n}"))
    inspector.shows(0, 21)
    expect(inspector.page.get_by_text("m19", exact=True)).to_be_in_viewport()
    expect(inspector.page.locator("#about-line")).to_contain_text("22 messages")


def test_tail_joins_the_page_without_seam(inspector: Inspector) -> None:
    """What comes while the page is being read again, and is told as well, is shown once."""
    inspector.append("s", message("before"))
    inspector.open("s")

    def meanwhile(route: Route) -> None:
        inspector.append("s", message("both ways"))
        route.continue_()

    inspector.page.route("**/data/session?*", meanwhile, times=1)
    follow(inspector)
    expect(inspector.page.get_by_text("both ways")).to_be_visible()
    inspector.append("s", message("after"))
    inspector.shows(0, 2)


def test_tail_keeps_the_page_small(inspector: Inspector) -> None:
    """However much comes, the page holds the newest two hundred."""
    inspector.append("s", *(message(f"m{n}") for n in range(60)))
    inspector.open("s")
    follow(inspector)
    inspector.append("s", message("m60"))
    expect(inspector.page.get_by_text("m60", exact=True)).to_be_visible()
    for start in range(61, 360, 23):
        inspector.append("s", *(message(f"m{n}") for n in range(start, start + 23)))
    inspector.shows(160, 359)
    inspector.page.locator("#older").click()
    inspector.shows(110, 159)


def test_paging_ends_the_tail(inspector: Inspector) -> None:
    """Who turns to older messages is not thrown back by new ones."""
    inspector.append("s", *(message(f"m{n}") for n in range(60)))
    inspector.open("s")
    follow(inspector)
    inspector.page.locator("#older").click()
    inspector.shows(0, 9)
    expect(inspector.page.locator("#tail")).to_have_attribute("aria-pressed", "false")
    inspector.append("s", message("new"))
    inspector.page.locator("#newer").click()
    inspector.shows(10, 59)
    inspector.page.locator("#newer").click()
    inspector.shows(60, 60)


def test_tail_tells_of_edits_and_of_the_end(inspector: Inspector) -> None:
    """An edit is shown as what the transcript is now; a deletion is said, and a new start shown."""
    whole = [message(f"m{n}", id=f"{n}") for n in range(3)]
    inspector.append("s", *whole)
    inspector.open("s")
    follow(inspector)
    body = {"namespace": inspector.namespace, "messages": [message("other", id="0")]}
    inspector.request("PUT", "s", body)
    expect(inspector.page.get_by_role("alert")).to_contain_text("was edited")
    expect(inspector.page.locator("#messages .text")).to_have_text(["other"])
    inspector.request("DELETE", "s")
    expect(inspector.page.get_by_role("alert")).to_contain_text("was deleted")
    assert inspector.seqs() == []
    inspector.append("s", message("again"))
    expect(inspector.page.locator("#messages .text")).to_have_text(["again"])


def test_tail_outlives_its_worker(inspector: Inspector, process: ServerProcess) -> None:
    """When the worker that feeds it is killed the tail goes on with the next, and misses none."""
    inspector.append("s", message("before"))
    inspector.open("s")
    follow(inspector)
    workers = process.workers()
    os.kill(workers[-1], signal.SIGKILL)
    wait_for(lambda: len(process.workers()) > len(workers), "another worker")
    inspector.append("s", message("after"))
    expect(inspector.page.locator("#messages .text")).to_have_text(["before", "after"])
    expect(inspector.page.get_by_role("alert")).to_be_hidden()
    assert inspector.troubles
    assert all("net::ERR" in trouble for trouble in inspector.troubles)
    inspector.troubles.clear()


def test_keyboard_alone(inspector: Inspector) -> None:
    """Search, choose, open, turn, follow and go back need no pointer."""
    inspector.append("other", message("x"))
    inspector.append("talk b", message("x"))
    inspector.append("talk a", *(message(f"m{n}") for n in range(70)))
    inspector.visit()
    press = inspector.page.keyboard.press
    inspector.page.locator("#namespace").blur()
    press("/")
    expect(inspector.page.locator("#query")).to_be_focused()
    inspector.page.keyboard.type("talk t/j")
    press("Escape")
    expect(inspector.page.locator("#query")).to_have_value("")
    inspector.page.keyboard.type("talk")
    press("Escape")
    expect(inspector.page.locator("#query")).to_have_value("")
    press("Escape")
    for key, chosen in [
        ("j", "talk a"),
        ("j", "talk b"),
        ("j", "other"),
        ("k", "talk b"),
        ("k", "talk a"),
    ]:
        press(key)
        expect(inspector.page.locator("#sessions a:focus")).to_contain_text(chosen)
    press("Enter")
    inspector.shows(20, 69)
    press("[")
    inspector.shows(0, 19)
    press("]")
    inspector.shows(20, 69)
    with inspector.page.expect_response("**/events?**"):
        press("t")
    inspector.append("talk a", message("live"))
    expect(inspector.page.get_by_text("live", exact=True)).to_be_visible()
    press("t")
    expect(inspector.page.locator("#tail")).to_have_attribute("aria-pressed", "false")
    press("Escape")
    expect(inspector.page.locator("#sessions a:focus")).to_contain_text("talk a")
    press("Enter")
    expect(inspector.page.get_by_text("live", exact=True)).to_be_visible()
