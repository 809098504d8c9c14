"""The documents that clients get, as OpenAPI describes them; nothing is validated against these."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, RootModel

from memory_cache_server.schemas import Extracted, MemoryRecord, Strategy


class Health(BaseModel):
    """That the server answers; the store is not asked."""

    now: int = Field(description="milliseconds since the epoch")


class SessionsDocument(BaseModel):
    """A page of session ids, least recently active first."""

    sessions: list[str]
    total: int = Field(description="sessions of this scope, on all pages")


class MessageDocument(BaseModel):
    """A message, in the contract's form."""

    role: str
    content: str
    id: str
    created_at: datetime
    persisted_at: datetime | None
    discrete_memory_extracted: Extracted


class SessionDocument(BaseModel):
    """A session, in the contract's form."""

    messages: list[MessageDocument]
    memories: list[MemoryRecord]
    data: dict[str, Any] | None
    context: str | None
    user_id: str | None
    tokens: int = Field(description="the client's own number")
    session_id: str
    namespace: str | None
    long_term_memory_strategy: Strategy
    ttl_seconds: int | None
    last_accessed: datetime
    created_at: datetime = Field(description="when the session was created")
    updated_at: datetime
    context_percentage_total_used: float | None
    context_percentage_until_summarization: float | None


class ChangeDocument(BaseModel):
    """What a change did, in a few numbers."""

    session_id: str
    namespace: str | None
    user_id: str | None
    start: int = Field(description="seq of the first message written")
    end: int = Field(description="seq after the last message written")
    first: int = Field(description="seq of the oldest message held")
    next: int = Field(description="seq of the next message to come")
    token_count: int = Field(description="tokens of all messages held")
    version: str


class PageDocument(BaseModel):
    """Messages of a transcript as they were sent, at the seqs from `start` to before `end`."""

    messages: list[dict[str, Any]]
    start: int
    end: int
    first: int
    next: int
    version: str


class PromptContent(BaseModel):
    """Text of a prompt."""

    type: Literal["text"]
    text: str


class PromptMessage(BaseModel):
    """A message of a prompt."""

    role: Literal["system", "user", "assistant"]
    content: PromptContent


class PromptDocument(BaseModel):
    """A prompt: summary, messages, question."""

    messages: list[PromptMessage]
    long_term_memories: None


class Acknowledgement(BaseModel):
    """That it is done."""

    status: Literal["ok"]


class ForgetDocument(BaseModel):
    """What became of long-term memories: there are none."""

    scanned: int
    deleted: int
    deleted_ids: list[str]
    dry_run: bool = Field(description="as it was asked for")


class SummaryViewsDocument(RootModel[list[dict[str, Any]]]):
    """All summary views: there are none."""


class FaultDocument(BaseModel):
    """One thing that does not fit, and where; never the input itself."""

    type: str
    loc: list[str | int]
    msg: str
    ctx: dict[str, Any] | None = None


class ErrorDocument(BaseModel):
    """Every error."""

    detail: str | list[FaultDocument]
    code: str
    title: str
    status: int
    applied: Literal["no", "yes", "unknown"] | None = Field(
        default=None, description="what became of the change; not on reads"
    )
