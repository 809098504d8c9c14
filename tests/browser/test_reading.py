"""What the inspector shows of what is stored: list, pages, messages of every form."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Error, expect

from memory_cache import open_cache
from support.in_process import message
from support.inspected import Inspector
from support.serving import wait_for
from support.valkey import ValkeyServer

ATTACK = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'
NAME_ATTACK = '<img src=x onerror="window.pwned=1">'
BIG = "12345678901234567890"
CALL = {"name": "look", "arguments": f'{{"n":{BIG},"a":[1.50,{{}},[]]}}'}

on_one_screen = pytest.mark.parametrize("inspector", ["wide"], indirect=True)


def test_list_and_open(inspector: Inspector) -> None:
    """Sessions stand in order of activity; a click opens one, on a phone in place of the list."""
    for session in ("first", "second"):
        inspector.append(session, message(f"of the {session}"))
    inspector.visit()
    links = inspector.page.locator("#sessions a > bdi")
    expect(links).to_have_text(["second", "first"])
    links.nth(1).click()
    expect(inspector.page.get_by_text("of the first")).to_be_visible()
    expect(inspector.page.locator("#list")).to_be_visible(visible=not inspector.narrow)
    expect(inspector.page.locator("[aria-current]")).to_contain_text("first")
    inspector.page.go_back()
    expect(inspector.page.locator("#list")).to_be_visible()
    expect(inspector.page.get_by_text("of the first")).to_be_hidden()


def test_search(inspector: Inspector) -> None:
    """Typing narrows the list to what has the text; Enter asks for exactly this id."""
    for session in ("apple", "apples", "pear"):
        inspector.append(session, message("x"))
    inspector.visit()
    search = inspector.page.get_by_role("searchbox")
    links = inspector.page.locator("#sessions a:visible > bdi")
    search.fill("APP")
    expect(links).to_have_text(["apples", "apple"])
    search.fill("apple")
    search.press("Enter")
    expect(inspector.page.get_by_text("1 with exactly this id")).to_be_visible()
    expect(links).to_have_text(["apple"])
    search.fill("pea")
    expect(links).to_have_text(["pear"])


def test_list_in_pages(inspector: Inspector) -> None:
    """The list turns by fifty, both ways."""
    for n in range(53):
        inspector.append(f"s{n:02}", message("x"))
    inspector.visit()
    links = inspector.page.locator("#sessions a")
    inspector.page.get_by_text("Less recent").click()
    expect(links).to_have_count(3)
    expect(links.first).to_contain_text("s02")
    inspector.page.get_by_text("More recent").click()
    expect(links).to_have_count(50)


def test_pages_both_ways(inspector: Inspector) -> None:
    """A transcript opens at its newest fifty and turns both ways; only fifty are in the page."""
    inspector.append("long", *(message(f"m{n}") for n in range(130)))
    inspector.open("long")
    inspector.shows(80, 129)
    expect(inspector.page.get_by_text("m129", exact=True)).to_be_in_viewport()
    older, newer = inspector.page.locator("#older"), inspector.page.locator("#newer")
    older.click()
    inspector.shows(30, 79)
    older.click()
    inspector.shows(0, 29)
    expect(older).to_be_disabled()
    newer.click()
    inspector.shows(30, 79)
    expect(inspector.page.get_by_text("m30", exact=True)).to_be_in_viewport()
    inspector.page.locator("#seq").fill("101")
    inspector.page.locator("#seq").press("Enter")
    inspector.shows(101, 129)
    inspector.page.locator("#oldest").click()
    inspector.shows(0, 49)
    inspector.page.locator("#newest").click()
    inspector.shows(80, 129)


def test_about(inspector: Inspector) -> None:
    """Fields, counts and version of a session are told, and the worker's near cache."""
    inspector.append("s", message("a"))
    inspector.request("PATCH", "s", {"data": {"plan": "pro"}, "ttl_seconds": 60})
    wait_for(lambda: hot(inspector, "s"), "the near cache")
    inspector.open("s")
    inspector.page.locator("#about-line").click()
    facts = inspector.page.locator("#facts")
    expect(facts).to_contain_text("60 s after a change")
    expect(facts).to_contain_text("1, seq 0 to before 1")
    expect(inspector.page.locator("#fields")).to_have_text('{ "data": { "plan": "pro" } }')
    inspector.page.locator("#worker-line").click()
    expect(inspector.page.locator("#worker-line")).to_contain_text("session is hot")
    expect(inspector.page.locator("#worker-table")).to_contain_text("lease seconds")


def hot(inspector: Inspector, session_id: str) -> bool:
    """Read a session; whether the near cache has answered."""
    answer = inspector.request("GET", session_id, recent_messages_limit=1)
    return answer.headers["cache-status"] == "memory-cache; hit"


@on_one_screen
@pytest.mark.parametrize(
    ("form", "title", "within"),
    [
        ({"role": "assistant", "tool_calls": [{"id": "1", "function": CALL}]}, "call look", BIG),
        ({"type": "function_call", "call_id": "1", **CALL}, "call look", "1.50"),
        ({"role": "assistant", "function_call": CALL}, "call look", BIG),
        ({"content": [{"type": "tool_use", "name": "look", "input": {"n": 7}}]}, "call look", "7"),
        (
            {"content": {"parts": [{"function_call": {"name": "g", "args": {"k": 1}}}]}},
            "call g",
            "k",
        ),
        ({"parts": [{"part_kind": "tool-call", "tool_name": "g", "args": "{}"}]}, "call g", "{}"),
        ({"role": "tool", "tool_call_id": "c1", "content": '{"t":3.50}'}, "result c1", "3.50"),
        ({"type": "function_call_output", "call_id": "c1", "output": "warm"}, "result c1", "warm"),
        (
            {"content": [{"type": "tool_result", "tool_use_id": "c1", "content": "no"}]},
            "result c1",
            "no",
        ),
        ({"content": [{"type": "image_url", "image_url": {"url": "h:x"}}]}, "image_url", "h:x"),
        ({"event": "x", "deep": [{"b": None}]}, "object", "null"),
    ],
)
def test_forms_are_folded(inspector: Inspector, form: object, title: str, within: str) -> None:
    """Calls, results and what has no text are one line, and unfold to all of it."""
    inspector.append("s", form)
    inspector.open("s")
    item = inspector.page.locator("#messages > li > details, #messages > li > div > details")
    fold = item.and_(inspector.page.locator(":not(.raw)"))
    expect(fold).to_have_count(1)
    expect(fold.locator("pre")).to_have_count(0)
    fold.locator("summary").click()
    expect(fold.locator("b")).to_have_text(title)
    expect(fold.locator("pre")).to_contain_text(within)


@on_one_screen
@pytest.mark.parametrize(
    "form",
    [
        {"role": "user", "content": "the words"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "the words"}]},
        {"content": {"role": "model", "parts": [{"text": "the words"}]}},
        {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "the words"}]},
        {"role": "user", "blocks": [{"block_type": "text", "text": "the words"}]},
        {"type": "human", "data": {"content": "the words"}},
        {"role": "tool", "content": None, "text": "the words"},
    ],
)
def test_json_is_shown_as_it_is_stored(inspector: Inspector, form: dict[str, object]) -> None:
    """Whatever a message looks like, its JSON is there, letter for letter."""
    inspector.append("s", {**form, "n": int(BIG), "x": 1.50, "empty": [{}, []]})
    inspector.open("s")
    if "text" not in form:
        expect(inspector.page.get_by_text("the words", exact=True)).to_be_visible()
    inspector.page.locator(".raw summary").click()
    shown = inspector.page.locator(".raw pre").inner_text()
    assert f'"n": {BIG}' in shown
    stored = {**form, "n": int(BIG), "x": 1.5, "empty": [{}, []]}
    assert json.dumps(json.loads(shown), sort_keys=True) == json.dumps(stored, sort_keys=True)


@on_one_screen
def test_a_long_text_is_shown_in_two_steps(inspector: Inspector) -> None:
    """Of a very long text the beginning is shown, and the rest when asked for."""
    inspector.append("s", message("a" * 4000 + "THE END"))
    inspector.open("s")
    assert "THE END" not in inspector.page.locator("#messages").inner_text()
    inspector.page.get_by_text("7 more characters").click()
    expect(inspector.page.get_by_text("THE END")).to_be_visible()


@on_one_screen
@pytest.mark.parametrize(
    "odd",
    [
        {"type": {"toString": 1}},
        {"part_kind": {"valueOf": {}, "toString": {}}, "role": 7},
        {"tool_calls": [{"function": {"name": {"toString": 1}, "arguments": {"toString": 1}}}]},
        {"role": "tool", "name": {"toString": 1}, "content": {"toJSON": 1}},
        {"content": [{"function_response": {"name": {"toString": 1}}}, {"id": {"toString": 1}}]},
        {"type": "x_call", "call_id": {"toString": 1}, "input": {"__proto__": {"a": 1}}},
        {"data": {"content": {"parts": 5}}, "type": "ai"},
        {"content": {"parts": {"a": 1}}, "tool_calls": {"length": 3}, "created_at": {}},
    ],
)
def test_odd_message_hides_no_other(inspector: Inspector, odd: object) -> None:
    """Whatever a message holds, it is shown, and unfolds, and so do those beside it."""
    inspector.append("s", message("before"), odd, message("after"))
    inspector.open("s")
    inspector.shows(0, 2)
    for text in ("before", "after"):
        expect(inspector.page.get_by_text(text, exact=True)).to_be_visible()
    item = inspector.page.locator("#messages > li").nth(1)
    for summary in item.locator("summary").all():
        summary.click()
    stored = json.loads(item.locator(".raw pre").inner_text())
    assert stored == odd


def test_what_cannot_be_seen_is_told(inspector: Inspector) -> None:
    """Characters without a look, or that turn the text around them, are told by their numbers."""
    unseen = "pay \u202e100\u202c now\u200b\x1b[2J \U000e0041 👨\u200d👩 a\u00a0b"
    call = {"name": f"f{unseen}", "arguments": unseen}
    inspector.append(
        f"s\u202e{'x' * 20}",
        {"role": f"user{unseen}", "content": unseen},
        {"role": "assistant", "tool_calls": [{"id": unseen, "function": call}]},
        {"role": "tool", "tool_call_id": "c", "content": unseen},
        {unseen: unseen},
    )
    inspector.visit()
    inspector.page.locator("#sessions a").click()
    inspector.shows(0, 3)
    for fold in inspector.page.locator("#messages summary").all():
        fold.click()
    expect(inspector.page.locator(".text").first).to_have_text(
        "pay U+202E100U+202C nowU+200BU+001B[2J U+E0041 👨\u200d👩 a\u00a0b"
    )
    shown = inspector.page.locator("#panes").evaluate("all => all.textContent")
    assert not set(shown) & set("\u202e\u202c\u200b\x1b\U000e0041")
    raw = inspector.page.locator(".raw pre").first.inner_text()
    assert json.loads(raw)["content"] == unseen


def test_session_opens_at_its_end(inspector: Inspector) -> None:
    """A session is opened where its newest message is, and the keys scroll it from there."""
    inspector.append("s", *(message(f"m{n}") for n in range(60)))
    inspector.open("s")
    expect(inspector.page.get_by_text("m59", exact=True)).to_be_in_viewport(ratio=1)
    inspector.page.keyboard.press("Home")
    expect(inspector.page.get_by_text("m10", exact=True)).to_be_in_viewport(ratio=1)


def test_markup_stays_text(inspector: Inspector) -> None:
    """Markup in a message, a name, a role or a tool's name is shown as text and makes nothing."""
    inspector.append(
        NAME_ATTACK,
        {"role": ATTACK, "content": ATTACK, "name": ATTACK},
        {
            "role": "a",
            "tool_calls": [{"id": ATTACK, "function": {"name": ATTACK, "arguments": ATTACK}}],
        },
        {
            "role": "tool",
            "tool_call_id": ATTACK,
            "content": [{"type": ATTACK, "x": ATTACK}, ATTACK],
        },
        {ATTACK: ATTACK},
    )
    inspector.visit()
    inspector.page.locator("#sessions a").click()
    inspector.shows(0, 3)
    for fold in inspector.page.locator("#messages summary").all():
        fold.click()
    expect(inspector.page.locator(".text").first).to_have_text(ATTACK)
    expect(inspector.page.locator("#name")).to_contain_text(NAME_ATTACK)
    assert inspector.page.locator("#panes :is(img, script, iframe, style)").count() == 0
    assert inspector.page.evaluate("window.pwned === undefined")


@on_one_screen
@pytest.mark.parametrize(
    "attempt",
    [
        "document.body.innerHTML = '<b>x</b>'",
        "document.body.append(Object.assign(document.createElement('script'), {text: '1'}))",
    ],
)
def test_the_page_could_not_if_it_wanted_to(inspector: Inspector, attempt: str) -> None:
    """The browser itself refuses to turn text into markup or code here."""
    inspector.append("s", message("a"))
    inspector.open("s")
    with pytest.raises(Error, match=r"Trusted(HTML|Script)|Content Security Policy"):
        inspector.page.evaluate(attempt)
    inspector.troubles.clear()


@on_one_screen
@pytest.mark.parametrize("name", ["a/b", "..", "%2F ü?#&=+"])
def test_any_name_opens(inspector: Inspector, valkey: ValkeyServer, name: str) -> None:
    """A session whose id no path could carry opens, and can be followed."""

    async def write(text: str) -> None:
        async with open_cache(valkey.url) as cache:
            await cache.session(name, namespace=inspector.namespace).append(message(text))

    with ThreadPoolExecutor(1) as pool:  # the browser's loop runs in this thread
        pool.submit(asyncio.run, write("one")).result()
        inspector.visit()
        inspector.page.locator("#sessions a").click()
        expect(inspector.page.get_by_text("one", exact=True)).to_be_visible()
        expect(inspector.page.locator("#name bdi").first).to_have_text(name)
        with inspector.page.expect_response("**/events?**"):
            inspector.page.locator("#tail").click()
        pool.submit(asyncio.run, write("two")).result()
        expect(inspector.page.get_by_text("two", exact=True)).to_be_visible()


def test_what_is_not_there(inspector: Inspector) -> None:
    """A session that does not exist is answered in the API's words."""
    inspector.append("s", message("a"))
    inspector.visit()
    inspector.request("DELETE", "s")
    inspector.page.locator("#sessions a").click()
    expect(inspector.page.get_by_role("alert")).to_contain_text("Session s not found")
    assert all("404" in each for each in inspector.troubles)
    inspector.troubles.clear()
