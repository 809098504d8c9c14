"""What clients send: queries and bodies, field by field as the contract has them."""

import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from memory_cache import read_time
from memory_cache_server.models import ModelName

LONGEST_TTL_SECONDS: Final = 315_360_000
INT64: Final = 2**63 - 1
LARGEST_PAGE: Final = 1000
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_ulid() -> str:
    """Return a new ULID: 26 characters, ordered by millisecond (github.com/ulid/spec)."""
    number = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def zoned(moment: datetime) -> datetime:
    """Return the same time with a zone: one without means UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _now() -> datetime:
    return datetime.now(UTC)


def _without_commas(values: list[str] | None) -> list[str] | None:
    if any("," in value for value in values or ()):
        raise ValueError("values must not hold commas")
    return values


def _message_time(given: object, words: ValidatorFunctionWrapHandler) -> datetime:
    moment = read_time(given)
    if moment is None:
        words(given)  # says what is wrong with it, as the contract does
        raise ValueError("is no time")
    return moment


Time = Annotated[datetime, AfterValidator(zoned)]
MessageTime = Annotated[datetime, WrapValidator(_message_time)]
"""When a message was created: read as the library reads it, which is what orders messages."""

Tags = Annotated[list[str] | None, AfterValidator(_without_commas)]
TtlSeconds = Annotated[int, Field(ge=1, le=LONGEST_TTL_SECONDS)]
Count = Annotated[int, Field(ge=-INT64, le=INT64)]
Extracted = Literal["t", "f"]


class ScopeQuery(BaseModel):
    """The scope of a session; an empty one is the same as none."""

    namespace: str | None = None
    user_id: str | None = None


class ListQuery(ScopeQuery):
    """Which sessions to list."""

    limit: int = Field(default=20, ge=1, le=100)
    offset: int = Field(default=0, ge=0)


class WindowQuery(BaseModel):
    """The window that an answer is measured against; ``context_window_max`` goes first."""

    model_name: ModelName | None = None
    context_window_max: int | None = None


class SessionQuery(ScopeQuery, WindowQuery):
    """What of a session to answer."""

    recent_messages_limit: int | None = Field(
        default=None, description="newest messages by created_at; none or below 1: all"
    )


class PageQuery(ScopeQuery):
    """Which page of a transcript to answer; without a cursor the newest."""

    before: int | None = Field(default=None, ge=0, le=INT64, description="seqs below this one")
    after: int | None = Field(default=None, ge=-1, le=INT64, description="seqs above this one")
    limit: int = Field(default=50, ge=1, le=LARGEST_PAGE)

    @model_validator(mode="after")
    def _one_cursor(self) -> Self:
        if self.before is not None and self.after is not None:
            raise ValueError("give before or after, not both")
        return self


class Message(BaseModel):
    """One message of a transcript; an id or a time that is left out is made by the server."""

    role: str
    content: str
    id: str = ""
    created_at: MessageTime = Field(default_factory=_now)
    persisted_at: datetime | None = None
    discrete_memory_extracted: Extracted = "f"


class ClientMemoryRecord(BaseModel):
    """A memory record without an id, which is made here."""

    id: str = Field(default_factory=new_ulid)
    text: str
    session_id: str | None = None
    user_id: str | None = None
    namespace: str | None = None
    last_accessed: Time = Field(default_factory=_now)
    created_at: Time = Field(default_factory=_now)
    updated_at: Time = Field(default_factory=_now)
    pinned: bool = False
    access_count: int = Field(default=0, ge=0, le=INT64)
    topics: Tags = None
    entities: Tags = None
    memory_hash: str | None = None
    discrete_memory_extracted: Extracted = "f"
    memory_type: Literal["episodic", "semantic", "message"] = "message"
    persisted_at: Time | None = None
    extracted_from: Tags = None
    event_date: Time | None = None
    extraction_strategy: str = "discrete"
    extraction_strategy_config: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)


class MemoryRecord(ClientMemoryRecord):
    """A memory record."""

    id: str


class Strategy(BaseModel):
    """How long-term memory would be made of the session; kept for the client."""

    strategy: Literal["discrete", "summary", "preferences", "custom"] = "discrete"
    config: dict[str, Any] = Field(default_factory=dict)


# In this order an error names the arms as the contract does.
Memories = list[MemoryRecord | ClientMemoryRecord]


class PutSession(BaseModel):
    """A whole session: what it holds from now on."""

    messages: list[Message] = Field(default_factory=list)
    memories: Memories = Field(default_factory=list)
    data: dict[str, Any] | None = None
    context: str | None = None
    user_id: str | None = None
    tokens: Count = 0
    namespace: str | None = None
    long_term_memory_strategy: Strategy = Field(default_factory=Strategy)
    ttl_seconds: TtlSeconds | None = None
    last_accessed: Time = Field(default_factory=_now)
    created_at: datetime = Field(default_factory=_now, description="checked, then ignored")
    updated_at: datetime = Field(default_factory=_now, description="checked, then ignored")

    @model_validator(mode="after")
    def _memories_say_something(self) -> Self:
        _check_memories(self.memories)
        return self


class PatchSession(BaseModel):
    """Fields of a session: what is given replaces, null clears, what is absent stays."""

    model_config = ConfigDict(extra="forbid")

    memories: Memories | None = None
    data: dict[str, Any] | None = None
    context: str | None = None
    tokens: Count | None = None
    long_term_memory_strategy: Strategy | None = None
    ttl_seconds: TtlSeconds | None = None
    last_accessed: Time | None = None

    @model_validator(mode="after")
    def _memories_say_something(self) -> Self:
        _check_memories(self.memories or ())
        return self


class PostMessages(BaseModel):
    """Messages to append: any JSON objects."""

    model_config = ConfigDict(extra="forbid")

    messages: list[dict[str, Any]] = Field(min_length=1)
    ttl_seconds: TtlSeconds | None = None


class PromptSession(WindowQuery):
    """The session that a prompt is made of."""

    session_id: str
    namespace: str | None = None
    user_id: str | None = None
    long_term_memory_strategy: Strategy | None = None


class PromptBody(BaseModel):
    """What to make a prompt of."""

    query: str
    session: PromptSession | None = None
    long_term_search: bool | dict[str, Any] | None = None


class PromptQuery(BaseModel):
    """Checked, then ignored: there is no long-term memory to search."""

    optimize_query: bool = False


class ForgetBody(BaseModel):
    """Which long-term memories to forget; checked, then ignored: there are none."""

    policy: dict[str, Any]
    pinned_ids: list[str] | None = None


class ForgetQuery(BaseModel):
    """Checked, then ignored, but for ``dry_run``."""

    namespace: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    limit: int = 1000
    dry_run: bool = True


def _check_memories(memories: Sequence[ClientMemoryRecord]) -> None:
    for index, memory in enumerate(memories):
        if not memory.id:
            raise ValueError(f"Memory at index {index} has empty id")
        if not memory.text:
            raise ValueError(f"Memory at index {index} has empty text")
