"""
Each adapter with something stored, and every way to ask it. For who has the frameworks.

A kit says how an adapter is made, how it fills a session named ``s``, and what it may be asked
then. An answer is a value that compares equal when the same is asked of the same store.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from memory_cache import SessionCache

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CARRIED = 10**21
"""A number that is stored as text."""

Fill = Callable[[Any, str, int], Awaitable[None]]
Way = Callable[[Any], Awaitable[object]]


@dataclass(frozen=True)
class Kit:
    """
    One adapter.

    ``fill`` stores a session of a name with so many messages or more. ``reads`` and ``writes`` are
    asked of the session ``s``; ``deletes`` must end it, whatever state it is in; ``lists`` are
    asked of all sessions, and ``sound`` of the session ``sound``. ``whole``: which of the reads
    gives all messages, so its answer has a length that no damage changes. ``own``: errors by which
    the framework says that what a session leads to is not there.
    """

    make: Callable[[SessionCache], Any]
    fill: Fill
    reads: dict[str, Way]
    writes: dict[str, Way]
    deletes: dict[str, Way]
    lists: dict[str, Way]
    sound: Way
    whole: str | None = None
    own: tuple[type[Exception], ...] = ()


def openai_agents() -> Kit:
    """The session of the OpenAI Agents SDK."""
    module = import_module("memory_cache.adapters.openai_agents")

    async def fill(cache: Any, name: str, count: int) -> None:  # noqa: ANN401
        items = [{"role": "user", "content": f"message {at}"} for at in range(count)]
        items[-1]["n"] = items[0]["n"] = CARRIED  # type: ignore[assignment]  # any JSON
        await module.MemoryCacheSession(name, cache).add_items(items)

    def asked(call: Way) -> Way:
        return lambda cache: call(module.MemoryCacheSession("s", cache))

    return Kit(
        make=lambda cache: cache,
        fill=fill,
        reads={
            "get_items": asked(lambda session: session.get_items()),
            "get_items(3)": asked(lambda session: session.get_items(3)),
        },
        writes={
            "add_items": asked(lambda session: session.add_items([{"role": "user"}])),
            "pop_item": asked(lambda session: session.pop_item()),
        },
        deletes={"clear_session": asked(lambda session: session.clear_session())},
        lists={},
        sound=lambda cache: module.MemoryCacheSession("sound", cache).get_items(),
        whole="get_items",
    )


def langchain() -> Kit:
    """The chat message history of LangChain."""
    module = import_module("memory_cache.adapters.langchain")
    of = import_module("langchain_core.messages")

    async def fill(cache: Any, name: str, count: int) -> None:  # noqa: ANN401
        some = [of.HumanMessage(f"message {at}") for at in range(count - 2)]
        call = {"name": "f", "args": {"n": CARRIED}, "id": "c", "type": "tool_call"}
        said = [
            of.AIMessage("message", tool_calls=[call]),
            *some,
            of.ToolMessage("message", tool_call_id="c", artifact={"n": CARRIED}),
        ]
        await module.MemoryCacheChatMessageHistory(name, cache).aadd_messages(said)

    def asked(call: Way) -> Way:
        return lambda cache: call(module.MemoryCacheChatMessageHistory("s", cache))

    return Kit(
        make=lambda cache: cache,
        fill=fill,
        reads={"aget_messages": asked(lambda history: history.aget_messages())},
        writes={
            "aadd_messages": asked(lambda history: history.aadd_messages([of.HumanMessage("hi")]))
        },
        deletes={"aclear": asked(lambda history: history.aclear())},
        lists={},
        sound=lambda cache: module.MemoryCacheChatMessageHistory("sound", cache).aget_messages(),
        whole="aget_messages",
    )


def llama_index() -> Kit:
    """The chat store of LlamaIndex."""
    module = import_module("memory_cache.adapters.llama_index")
    of = import_module("llama_index.core.base.llms.types")
    status = import_module("llama_index.core.storage.chat_store.base_db").MessageStatus

    def said(at: int) -> Any:  # noqa: ANN401
        call = of.ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs={"n": CARRIED})
        blocks = [of.TextBlock(text=f"message {at}"), call]
        return of.ChatMessage(role="user", blocks=blocks[: 1 + (at % 9 == 0)])

    async def fill(store: Any, name: str, count: int) -> None:  # noqa: ANN401
        await store.add_messages(name, [said(at) for at in [*range(count - 1), 0]])
        await store.archive_oldest_messages(name, count // 2)

    return Kit(
        make=module.MemoryCacheChatStore,
        fill=fill,
        reads={
            "get_messages": lambda store: store.get_messages("s"),
            "get_messages(None)": lambda store: store.get_messages("s", None),
            "get_messages(ARCHIVED)": lambda store: store.get_messages("s", status.ARCHIVED),
            "get_messages(limit)": lambda store: store.get_messages("s", limit=2, offset=1),
            "count_messages": lambda store: store.count_messages("s"),
            "count_messages(ARCHIVED)": lambda store: store.count_messages("s", status.ARCHIVED),
        },
        writes={
            "add_message": lambda store: store.add_message("s", said(1)),
            "add_message(ARCHIVED)": lambda store: store.add_message("s", said(1), status.ARCHIVED),
            "set_messages": lambda store: store.set_messages("s", [said(1)]),
            "delete_message": lambda store: store.delete_message("s", 1),
            "delete_messages(ACTIVE)": lambda store: store.delete_messages("s", status.ACTIVE),
            "delete_oldest_messages": lambda store: store.delete_oldest_messages("s", 1),
            "archive_oldest_messages": lambda store: store.archive_oldest_messages("s", 1),
        },
        deletes={
            "delete_messages": lambda store: store.delete_messages("s"),
            "set_messages([])": lambda store: store.set_messages("s", []),
        },
        lists={"get_keys": lambda store: store.get_keys()},
        sound=lambda store: store.get_messages("sound"),
        whole="get_messages(None)",
    )


def _event(at: int) -> Any:  # noqa: ANN401
    """An event of Google's ADK; each ninth has a result, and all change the state."""
    events = import_module("google.adk.events")
    types = import_module("google.genai.types")
    result = types.FunctionResponse(id="c", name="f", response={"n": CARRIED})
    parts = [types.Part(text=f"message {at}"), types.Part(function_response=result)]
    return events.Event(
        id=f"e{at}",
        author="user",
        timestamp=float(at),
        content=types.Content(role="user", parts=parts[: 1 + (at % 9 == 0)]),
        actions=events.EventActions(state_delta={f"k{at % 9}": CARRIED if at % 2 else [at]}),
    )


async def _events(service: Any, name: str, count: int) -> None:  # noqa: ANN401
    """Fill a session of Google's ADK."""
    here = {"app_name": name, "user_id": name, "session_id": name}
    state = {"a": CARRIED}
    if name == "s":
        state |= {"user:b": CARRIED, "app:c": 1, 'user:"d': 2}
    session = await service.create_session(**here, state=state)
    for at in [*range(count - 1), 9 * count]:
        await service.append_event(session, _event(at))


def google_adk() -> Kit:
    """The session service of Google's ADK."""
    module = import_module("memory_cache.adapters.google_adk")
    events = import_module("google.adk.events")
    sessions = import_module("google.adk.sessions")
    config = import_module("google.adk.sessions.base_session_service").GetSessionConfig

    def got(name: str = "s", **which: Any) -> Way:  # noqa: ANN401
        async def asked(service: Any) -> object:  # noqa: ANN401
            found = await service.get_session(
                app_name=name, user_id=name, session_id=name, config=config(**which)
            )
            return found and [*found.events, found.state, found.last_update_time]

        return asked

    async def appended(service: Any, delta: dict[str, Any]) -> object:  # noqa: ANN401
        session = sessions.Session(id="s", app_name="s", user_id="s")
        one = _event(7000).model_copy(update={"actions": events.EventActions(state_delta=delta)})
        await service.append_event(session, one)
        return session.model_dump()

    async def created(service: Any) -> object:  # noqa: ANN401
        made = await service.create_session(
            app_name="s", user_id="s", session_id="new", state={"user:e": 1, "app:f": 1}
        )
        return made.state

    async def listed(service: Any, **which: Any) -> object:  # noqa: ANN401
        found = await service.list_sessions(app_name="s", **which)
        return [each.model_dump() for each in found.sessions]

    return Kit(
        make=lambda cache: module.MemoryCacheSessionService(cache, ttl_seconds=1000),
        fill=_events,
        reads={
            "get_session": got(),
            "get_session(3)": got(num_recent_events=3),
            "get_session(after)": got(after_timestamp=60.0),
            "get_session(after, 2)": got(after_timestamp=2.0, num_recent_events=2),
            "get_user_state": lambda service: service.get_user_state(app_name="s", user_id="s"),
        },
        writes={
            "append_event": lambda service: appended(service, {"k": 1}),
            "append_event(user:)": lambda service: appended(service, {"user:k": 1, "app:k": 1}),
            "create_session": created,
        },
        deletes={
            "delete_session": lambda service: service.delete_session(
                app_name="s", user_id="s", session_id="s"
            )
        },
        lists={
            "list_sessions": listed,
            "list_sessions(s)": lambda service: listed(service, user_id="s"),
        },
        sound=got("sound"),
        whole="get_session",
    )


def _entries(name: str, start: int, end: int) -> list[Any]:
    """Entries of Pydantic AI, each after the one before."""
    of = import_module("pydantic_ai.conversation_store")
    messages = import_module("pydantic_ai.messages")
    made = []
    for at in range(start, end):
        if at % 2:
            call = messages.ToolCallPart("f", {"n": CARRIED}, tool_call_id="c")
            message = messages.ModelResponse(parts=[call], timestamp=NOON)
        else:
            part = messages.UserPromptPart(content=f"message {at}", timestamp=NOON)
            message = messages.ModelRequest(parts=[part], timestamp=NOON)
        before = f"{name}{at - 1}" if at else None
        made.append(of.ConversationEntry(id=f"{name}{at}", parent_id=before, message=message))
    return made


def _record(name: str, head: str, revision: str) -> Any:  # noqa: ANN401
    """A record of Pydantic AI."""
    of = import_module("pydantic_ai.conversation_store")
    return of.ConversationRecord(
        conversation_id=name, head_id=head, revision=revision, updated_at=NOON, scope="message"
    )


async def _conversation(store: Any, name: str, count: int) -> None:  # noqa: ANN401
    """Fill a conversation of Pydantic AI, in two writes."""
    half = count // 2
    await store.write_record(
        _record(name, f"{name}{half - 1}", "1"),
        new_entries=_entries(name, 0, half),
        expected_revision=None,
    )
    await store.write_record(
        _record(name, f"{name}{count - 1}", "2"),
        new_entries=_entries(name, half, count),
        expected_revision="1",
    )


def pydantic_ai() -> Kit:
    """The conversation store of Pydantic AI."""
    module = import_module("memory_cache.adapters.pydantic_ai")
    of = import_module("pydantic_ai.conversation_store")
    user_error = import_module("pydantic_ai.exceptions").UserError

    async def saved(store: Any) -> object:  # noqa: ANN401
        found = await store.load("s")
        found.messages.append(_entries("s", 0, 1)[0].message)
        return [each.message for each in await store.save(found)]

    async def loaded(store: Any) -> object:  # noqa: ANN401
        return [await store.load("s", limit=2), await store.load_entries("s")]

    async def branched(store: Any) -> object:  # noqa: ANN401
        return (await store.branch("s", at=2, expected_revision="2")).messages

    def written(store: Any) -> Awaitable[object]:  # noqa: ANN401
        made: Awaitable[object] = store.write_record(_record("s", "s0", "3"), expected_revision="2")
        return made

    def anew(call: Way) -> Way:
        # A store remembers where entries are; a new one has to look for them.
        return lambda cache: call(module.MemoryCacheConversationStore(cache))

    return Kit(
        make=lambda cache: cache,
        fill=lambda cache, name, count: _conversation(
            module.MemoryCacheConversationStore(cache), name, count
        ),
        reads={
            "read_record": anew(lambda store: store.read_record("s")),
            "read_history": anew(lambda store: store.read_history("s4")),
            "read_history(2)": anew(lambda store: store.read_history("s4", limit=2)),
            "read_entry": anew(lambda store: store.read_entry("s2")),
            "load": anew(loaded),
        },
        writes={
            "write_record": anew(written),
            "save": anew(saved),
            "branch": anew(branched),
            "delete_record": anew(lambda store: store.delete_record("s", expected_revision="2")),
        },
        deletes={"delete": anew(lambda store: store.delete("s"))},
        lists={"list_conversations": anew(lambda store: store.list_conversations())},
        sound=anew(lambda store: store.read_history("sound1")),
        own=(LookupError, of.ConversationConflict, user_error),
    )


def langgraph() -> Kit:
    """The checkpointer of LangGraph."""
    module = import_module("memory_cache.adapters.langgraph")
    put = import_module("support.checkpoints").put
    here = {"configurable": {"thread_id": "s", "checkpoint_ns": ""}}

    async def fill(saver: Any, name: str, count: int) -> None:  # noqa: ANN401
        place: Any = {"configurable": {"thread_id": name, "checkpoint_ns": ""}}
        for at in range(1, 5):
            listed = [f"message {each}" for each in range(max(8, count * at // 4))]
            values = {"a": listed, "b": "message" * 100, "c": at}
            made = put(values, {"a": at, "b": 1, "c": at}, f"{at:04}")
            made["ts"] = "message"
            place = await saver.aput(place, made, {"step": at}, {})
            for task in range(count // 4):
                await saver.aput_writes(place, [("c", task)], f"task {task}")

    def at(name: str) -> Any:  # noqa: ANN401
        return {"configurable": {**here["configurable"], "checkpoint_id": name}}

    async def put_next(saver: Any) -> object:  # noqa: ANN401
        made = put({"a": [*range(9)], "b": "message" * 100}, {"a": 9, "b": 1}, "0005")
        return await saver.aput(at("0004"), made, {}, {})

    async def listed(saver: Any, *of: Any, **which: Any) -> object:  # noqa: ANN401
        return [each async for each in saver.alist(*of, **which)]

    return Kit(
        make=module.MemoryCacheSaver,
        fill=fill,
        reads={
            "aget_tuple": lambda saver: saver.aget_tuple(here),
            "aget_tuple(0001)": lambda saver: saver.aget_tuple(at("0001")),
            "alist": lambda saver: listed(saver, here),
            "alist(filter)": lambda saver: listed(saver, here, filter={"step": 2}),
            "alist(before)": lambda saver: listed(saver, here, before=at("0003"), limit=1),
            "delta": lambda saver: saver.aget_delta_channel_history(
                config=at("0004"), channels=["c", "a", "x"]
            ),
        },
        writes={
            "aput": put_next,
            "aput_writes": lambda saver: saver.aput_writes(at("0004"), [("c", 1)], "task"),
        },
        deletes={"adelete_thread": lambda saver: saver.adelete_thread("s")},
        lists={"alist(None)": lambda saver: listed(saver, None)},
        sound=lambda saver: saver.aget_tuple({"configurable": {"thread_id": "sound"}}),
        whole="alist",
    )


KITS: dict[str, Callable[[], Kit]] = {
    each.__name__: each
    for each in (google_adk, langchain, langgraph, llama_index, openai_agents, pydantic_ai)
}
