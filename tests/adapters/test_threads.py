import asyncio
import inspect
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import pytest
from pydantic import BaseModel

from memory_cache import CacheConfig, SessionCache, StoreError, open_cache
from support.valkey import ValkeyServer

# LangChain's, by the class that it is of: its own may not be there to be named.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Call = Callable[[Any], Any]

CLASSES = {
    "google_adk": "MemoryCacheSessionService",
    "langchain": "MemoryCacheChatMessageHistory",
    "langgraph": "MemoryCacheSaver",
    "llama_index": "MemoryCacheChatStore",
    "openai_agents": "MemoryCacheSession",
    "pydantic_ai": "MemoryCacheConversationStore",
}

ROOT: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
HERE: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "1"}}
CHECKPOINT: Any = {"v": 1, "id": "2", "ts": "", "channel_values": {}, "channel_versions": {}}

# Each with the awaited method that its errors must name.
WAITING: dict[str, dict[str, tuple[str, Call]]] = {
    "langchain": {
        "__str__": ("aget_messages", str),
        "add_ai_message": ("aadd_messages", lambda history: history.add_ai_message("hi")),
        "add_message": ("aadd_messages", lambda history: history.add_message(said("hi"))),
        "add_messages": ("aadd_messages", lambda history: history.add_messages([said("hi")])),
        "add_user_message": ("aadd_messages", lambda history: history.add_user_message("hi")),
        "clear": ("aclear", lambda history: history.clear()),
        "messages": ("aget_messages", lambda history: history.messages),
    },
    "langgraph": {
        "delete_thread": ("adelete_thread", lambda saver: saver.delete_thread("t")),
        "get": ("aget_tuple", lambda saver: saver.get(HERE)),
        "get_delta_channel_history": (
            "aget_delta_channel_history",
            lambda saver: saver.get_delta_channel_history(config=HERE, channels=["a"]),
        ),
        "get_tuple": ("aget_tuple", lambda saver: saver.get_tuple(HERE)),
        "list": ("alist", lambda saver: [*saver.list(HERE)]),
        "put": ("aput", lambda saver: saver.put(HERE, CHECKPOINT, {}, {})),
        "put_writes": ("aput_writes", lambda saver: saver.put_writes(HERE, [("a", 1)], "task")),
    },
}

# What asks the store nothing; of a checkpointer also what is there in neither form.
OTHERS = {
    "google_adk": {"from_url"},
    "langchain": set[str](),
    "langgraph": {
        "config_specs",
        "copy_thread",
        "delete_for_runs",
        "from_url",
        "get_next_version",
        "prune",
        "with_allowlist",
    },
    "llama_index": {"class_name", "from_url"},
    "openai_agents": {"from_url"},
    "pydantic_ai": {"from_url"},
}

# The frameworks' own, how both are filled first, and what both hold in the end.
OWN: dict[str, tuple[str, str, Call, Call]] = {
    "langchain": (
        "langchain_core.chat_history",
        "InMemoryChatMessageHistory",
        lambda history: history.add_messages([said("before")]),
        lambda history: history.messages,
    ),
    "langgraph": (
        "langgraph.checkpoint.memory",
        "InMemorySaver",
        lambda saver: saver.put(ROOT, {**CHECKPOINT, "id": "1"}, {}, {}),
        lambda saver: [*saver.list(ROOT)],
    ),
}

each_call = pytest.mark.parametrize(
    ("adapter", "name"), [(adapter, name) for adapter, names in WAITING.items() for name in names]
)


def said(text: str) -> Any:  # noqa: ANN401  LangChain's
    """A message."""
    return import_module("langchain_core.messages").HumanMessage(text)


def class_of(adapter: str) -> Any:  # noqa: ANN401  a class of whichever framework
    """The class of an adapter, where its framework is installed."""
    module = pytest.importorskip(f"memory_cache.adapters.{adapter}", exc_type=ImportError)
    return getattr(module, CLASSES[adapter])


def made(adapter: str, cache: object, **given: object) -> Any:  # noqa: ANN401  an adapter
    """An adapter over a cache."""
    names = ["s"] if adapter in {"langchain", "openai_agents"} else []
    return class_of(adapter)(*names, cache, **given)


def not_awaited(adapter: type) -> Iterator[str]:
    """The public methods and properties of a class, the framework's ones too, that are no async."""
    for name in sorted({*dir(adapter)} - {*dir(BaseModel)}):
        member = inspect.getattr_static(adapter, name)
        if isinstance(member, property):
            yield name
            continue
        function = getattr(member, "__func__", member)
        is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        if inspect.isfunction(function) and not name.startswith("_") and not is_async:
            yield name


@pytest.mark.parametrize("adapter", CLASSES)
def test_all_are_known(adapter: str) -> None:
    """No method of an adapter that is not awaited is left out here, whichever class it is of."""
    waiting = {name for name in WAITING.get(adapter, {}) if not name.startswith("_")}
    assert {*not_awaited(class_of(adapter))} == waiting | OTHERS[adapter]


@each_call
async def test_on_the_loop(cache: SessionCache, adapter: str, name: str) -> None:
    """On the event loop of the cache it is refused at once, and the awaited method is named."""
    awaited, call = WAITING[adapter][name]
    with pytest.raises(RuntimeError, match=rf"block the event loop.*\b{awaited}\("):
        call(made(adapter, cache))


@each_call
async def test_in_another_thread(cache: SessionCache, adapter: str, name: str) -> None:
    """In another thread it answers, and does, what the framework's own in memory does."""
    ours = made(adapter, cache)
    module, of, fill, held = OWN[adapter]
    reference = getattr(import_module(module), of)()
    _, call = WAITING[adapter][name]
    for step in (fill, call, held):
        assert await asyncio.to_thread(step, ours) == step(reference)


@each_call
async def test_beside_a_blocked_loop(cache: SessionCache, adapter: str, name: str) -> None:
    """
    Where the loop waits for the thread that waits for the loop, the thread gives up.

    It says which awaited method to use, and what it has given up is not done later.
    """
    awaited, call = WAITING[adapter][name]
    _, _, fill, held = OWN[adapter]
    ours = made(adapter, cache)
    await asyncio.to_thread(fill, ours)
    before = await asyncio.to_thread(held, ours)
    blocked = made(adapter, cache, wait_seconds=0.05)
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(raised, call, blocked).result()  # not awaited: the loop stands still
    assert isinstance(error, TimeoutError)
    assert f"{awaited}(" in str(error)
    assert "not made" in str(error)
    assert await asyncio.to_thread(held, ours) == before


def raised(call: Call, adapter: object) -> BaseException | None:
    """What a call raises."""
    try:
        call(adapter)
    except Exception as error:  # noqa: BLE001  whichever it is, it is looked at
        return error
    return None


async def test_a_chain_on_the_loop(cache: SessionCache) -> None:
    """LangChain's own runnable reads a history in a thread; called on the loop it does not hang."""
    pytest.importorskip("langchain_core")
    runnables = import_module("langchain_core.runnables")
    chain = import_module("langchain_core.runnables.history").RunnableWithMessageHistory(
        runnables.RunnableLambda(lambda given: said(given["q"])),
        lambda name: class_of("langchain")(name, cache, wait_seconds=0.05),
        input_messages_key="q",
        history_messages_key="h",
    )
    config = {"configurable": {"session_id": "s"}}
    with pytest.raises(TimeoutError, match=r"await chain\.ainvoke"):
        chain.invoke({"q": "hi"}, config=config)
    assert (await chain.ainvoke({"q": "hi"}, config=config)).content == "hi"
    assert len(await class_of("langchain")("s", cache).aget_messages()) == 2


async def test_a_slow_store_answers_first() -> None:
    """Of a store that does not answer a thread hears the store's error, not that of the wait."""
    with ValkeyServer() as server:
        config = CacheConfig(store_timeout_seconds=0.1)
        async with open_cache(server.url, config=config) as cache:
            history = made("langchain", cache)
            await history.aadd_messages([said("hi")])
            os.kill(server.pid, signal.SIGSTOP)
            with pytest.raises(StoreError):
                await asyncio.to_thread(lambda: history.messages)
            os.kill(server.pid, signal.SIGCONT)


async def test_a_call_that_was_begun() -> None:
    """A call that is given up after it began is cancelled, and the error says it may be done."""
    with ValkeyServer() as server:
        config = CacheConfig(store_timeout_seconds=7)
        async with open_cache(server.url, config=config) as cache:
            history = made("langchain", cache, wait_seconds=0.05)
            await history.aadd_messages([said("hi")])
            tasks = asyncio.all_tasks()
            os.kill(server.pid, signal.SIGSTOP)
            with pytest.raises(TimeoutError, match=r"may be stored or not.*aadd_messages"):
                await asyncio.to_thread(history.add_user_message, "hi")
            async with asyncio.timeout(5):
                while asyncio.all_tasks() - tasks:  # noqa: ASYNC110  what else tells of it
                    await asyncio.sleep(0)
            os.kill(server.pid, signal.SIGCONT)


async def test_of_a_url(valkey_url: str) -> None:
    """A saver of a URL works in threads beside a loop that uses it; without one it says so."""
    saver = made("langgraph", valkey_url)
    with pytest.raises(RuntimeError, match=r"no event loop.*aget_tuple"):
        await asyncio.to_thread(saver.get_tuple, HERE)
    assert await saver.aget_tuple(HERE) is None
    await asyncio.to_thread(saver.put, HERE, CHECKPOINT, {}, {})
    here = {"configurable": {"thread_id": "t"}}
    found = await asyncio.to_thread(lambda: [*saver.list(here)])
    assert [each.checkpoint["id"] for each in found] == ["2"]
    with pytest.raises(RuntimeError, match=r"block the event loop.*aget_tuple"):
        saver.get_tuple(here)
    await saver.close()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
async def test_a_wait_that_is_none(cache: SessionCache, seconds: float) -> None:
    """A time that no thread can wait is refused where it is given."""
    for adapter in WAITING:
        with pytest.raises(ValueError, match="wait_seconds"):
            made(adapter, cache, wait_seconds=seconds)


@pytest.mark.parametrize("adapter", CLASSES)
def test_what_is_no_cache(adapter: str) -> None:
    """What is no cache, such as one that was not entered, is refused where it is given."""
    for wrong in (open_cache(), None):
        with pytest.raises(TypeError, match=r"async with open_cache\(url\) as cache"):
            made(adapter, wrong)


def test_a_history_of_a_url() -> None:
    """A history of LangChain opens no cache, and says what to give it in place of a URL."""
    with pytest.raises(TypeError, match=r"async with open_cache\(url\) as cache.* not str"):
        made("langchain", "redis://localhost:6379")
