"""
Every setting of the server, and where its value came from.

A flag beats the environment, which beats the file `.env` of the working directory. A setting
that agent-memory-server has too, with the same meaning, has its name; the others are called
``MEMORY_CACHE_…``. The flag of a setting is its field with dashes.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote_plus

import platformdirs
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    SettingsConfigDict,
)

from memory_cache import open_cache

KIB = 1024
MIB = 1024 * KIB
DAY = 24 * 60 * 60
MOST_BYTES = 2**53 - 1
"""What the store's scripts can count: their numbers are doubles."""

_REFUSED: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Controls, halves of surrogate pairs, and the two separators that break lines."""

Durability = Literal["always", "everysec", "none"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
Origin = Literal["flag", "environment", ".env", "default"]


class ConfigurationError(Exception):
    """The settings contradict each other, or ask for what we do not do; says what to change."""


class Settings(BaseModel):
    """
    The settings of one server, all processes of it.

    Making one reads neither environment nor files: `load` does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(
        default=8000,
        ge=0,
        le=65535,
        description="port to listen on; 0 picks one",
        validation_alias="port",
    )
    workers: int = Field(default=1, ge=1, le=1024, description="processes that answer requests")
    spare_workers: int = Field(
        default=1,
        ge=0,
        le=64,
        description="processes ready to take the place of a worker that ends",
    )
    worker_start_seconds: float = Field(
        default=60.0,
        gt=0,
        le=DAY,
        description="how long a worker may take to come up; then it is killed, and another one is"
        " tried",
    )
    worker_stall_seconds: float = Field(
        default=30.0,
        ge=0,
        le=DAY,
        description="how long a worker may give no sign of life; then it is killed, and another"
        " takes its place; 0 waits for ever",
    )
    redis_url: str | None = Field(
        default=None,
        description="store to use, such as redis://host:6379/0; without it Valkey is embedded",
        repr=False,
        validation_alias="redis_url",
    )
    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("memory-cache", appauthor=False),
        description="where the embedded Valkey keeps the transcripts",
    )
    durability: Durability = Field(
        default="everysec",
        description="when the embedded Valkey writes to disk: before each answer, once a second,"
        " not at all",
    )
    prefix: str = Field(
        default="mc", pattern="^[^{}]*$", description="first part of every key and channel"
    )
    log_level: Annotated[LogLevel, BeforeValidator(lambda level: str(level).upper())] = Field(
        default="INFO", description="what goes to the log", validation_alias="log_level"
    )
    grace_seconds: int = Field(
        default=10,
        ge=0,
        le=DAY,
        description="how long requests in flight may take to finish at the end",
    )
    near_cache_bytes: int = Field(
        default=64 * MIB,
        ge=0,
        le=MOST_BYTES,
        description="near cache of each worker, ready answers and names included; 0 turns it off",
    )
    staleness_seconds: float = Field(
        default=1.0,
        gt=0,
        le=DAY,
        description="no answer is older than this unless the newest is asked for",
    )
    store_timeout_seconds: float = Field(
        default=2.0, gt=0, le=DAY, description="how long one call may wait for the store"
    )
    slow_reader_seconds: float = Field(
        default=30.0,
        gt=0,
        le=DAY,
        description="how long a follower may take nothing before it is cut off",
    )
    inspect: bool = Field(
        default=False, description="offer /inspect, a page that shows every session"
    )
    max_message_bytes: int = Field(default=MIB, ge=1, le=MOST_BYTES, description="largest message")
    max_session_bytes: int = Field(
        default=256 * MIB,
        ge=1,
        le=MOST_BYTES,
        description="largest sum of the messages of a session",
    )
    max_body_bytes: int = Field(
        default=64 * MIB, ge=1, le=MOST_BYTES, description="largest body of a request"
    )
    require_message_timestamps: bool = Field(
        default=False,
        description="refuse messages without a created_at that can be read",
        validation_alias="require_message_timestamps",
    )
    max_future_timestamp_seconds: int = Field(
        default=300,
        ge=0,
        le=100 * 365 * DAY,
        description="how far ahead of our clock a created_at may be",
        validation_alias="max_future_timestamp_seconds",
    )

    @field_validator("host", "redis_url", "data_dir", "prefix")
    @classmethod
    def _is_printable(cls, value: str | Path | None) -> str | Path | None:
        if any(unicodedata.category(char) in _REFUSED for char in str(value)):
            raise ValueError("must not hold control characters")
        return value

    @field_validator("host")
    @classmethod
    def _names_a_host(cls, host: str) -> str:
        try:
            host.encode("idna")  # as it is looked up
        except UnicodeError:
            raise ValueError("is not the name of a host") from None
        return host

    # How a worker divides `near_cache_bytes`. What it remembers of names it needs for writing, so
    # it has some bytes for that without a near cache, too.

    @property
    def ready_bytes(self) -> int:
        """Budget of the fast path's ready answers."""
        return self.near_cache_bytes // 4

    @property
    def presence_bytes(self) -> int:
        """Budget of what is remembered of sessions entered into the index lately."""
        return max(MIB, self.near_cache_bytes // 16)

    @property
    def scopes_bytes(self) -> int:
        """Budget of what is remembered of the scopes of sessions that were PUT."""
        return max(256 * KIB, self.near_cache_bytes // 64)

    @property
    def rings_bytes(self) -> int:
        """Budget of rings and sealed blocks: the rest."""
        whole = self.near_cache_bytes
        return whole - whole // 4 - whole // 16 - whole // 64


class _Names(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        env_prefix="MEMORY_CACHE_",
        extra="ignore",
    )


class _Ours(_Names, Settings):  # type: ignore[misc]  # its model_config is that of both
    """How the sources find the fields of `Settings`."""


class _Theirs(_Names):
    """Settings of agent-memory-server that are not ours, and must not be passed over silently."""

    disable_auth: bool | None = Field(default=None, validation_alias="disable_auth")
    auth_mode: str | None = Field(default=None, validation_alias="auth_mode")
    token_auth_enabled: bool | None = Field(default=None, validation_alias="token_auth_enabled")
    long_term_memory: bool | None = Field(default=None, validation_alias="long_term_memory")
    enable_working_memory_summarization: bool | None = Field(
        default=None, validation_alias="enable_working_memory_summarization"
    )


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, the origin of each by field name, and what the log should say about them."""

    settings: Settings
    origins: Mapping[str, Origin]
    remarks: tuple[str, ...]


def load(flags: Mapping[str, str | bool]) -> Loaded:
    """
    Read the settings of this process; ``flags`` by field name.

    `ConfigurationError` names the setting that cannot be, never its value.
    """
    sources: dict[Origin, Mapping[str, Any]] = {"flag": flags, **_read(_Ours)}
    origins: dict[str, Origin] = {}
    values: dict[str, Any] = {}
    for name in Settings.model_fields:
        origins[name] = next((o for o, found in sources.items() if name in found), "default")
        if origins[name] != "default":
            values[name] = sources[origins[name]][name]
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, origins)) from None
    theirs = _read_theirs()
    _refuse_unprotected(theirs)
    if settings.redis_url is not None and (wrong := _wrong_url(settings.redis_url)):
        raise ConfigurationError(f"{wrong} ({env_name('redis_url')}, {origins['redis_url']})")
    if settings.redis_url is not None and origins["durability"] != "default":
        raise ConfigurationError(
            f"--durability is for the embedded Valkey; with a Redis URL ({env_name('redis_url')},"
            f" {origins['redis_url']}) that server decides: leave one of them out"
        )
    return Loaded(settings, origins, _remarks(theirs))


def env_name(field: str) -> str:
    """Name of a setting, as the environment has it."""
    alias = Settings.model_fields[field].validation_alias
    return field.upper() if alias else f"MEMORY_CACHE_{field}".upper()


def flag_name(field: str) -> str:
    """Name of a setting, as the command line has it."""
    return "--" + field.replace("_", "-")


def shown(settings: Settings) -> Iterator[tuple[str, str | int | float | bool | None]]:
    """Each field and its value as people may see it: without passwords."""
    for field, value in settings.model_dump(mode="json").items():
        yield field, mask(value) if field == "redis_url" and value else value


def _wrong_url(url: str) -> str | None:
    try:
        open_cache(url)  # nothing is connected before it is entered
    except ValueError as error:
        return str(error)
    return None


def mask(url: str) -> str:
    """Take the passwords out of a Redis URL."""
    url = re.sub(r"(?<=://)([^:@/]*):.*@", r"\1:***@", url)
    where, mark, query = url.partition("?")
    return where + mark + "&".join(map(_masked, query.split("&")))


def _masked(option: str) -> str:
    name, is_given, _ = option.partition("=")
    # As it is read: any letter of it may be written by its number.
    is_secret = is_given and unquote_plus(name).lower().endswith("password")
    return f"{name}=***" if is_secret else option


def _read(model: type[_Names]) -> dict[Origin, Mapping[str, Any]]:
    return {"environment": EnvSettingsSource(model)(), ".env": DotEnvSettingsSource(model)()}


def _explain(error: ValidationError, origins: Mapping[str, Origin]) -> str:
    reasons = []
    for detail in error.errors(include_input=False, include_url=False):
        field = str(detail["loc"][0])
        origin = origins[field]
        name = flag_name(field) if origin == "flag" else f"{env_name(field)} ({origin})"
        reasons.append(f"{name}: {detail['msg'].removeprefix('Value error, ')}")
    return "; ".join(reasons)


def _read_theirs() -> _Theirs:
    read = _read(_Theirs)
    try:
        return _Theirs.model_validate({**read[".env"], **read["environment"]})
    except ValidationError as error:
        names = ", ".join(str(detail["loc"][0]).upper() for detail in error.errors())
        raise ConfigurationError(f"{names}: cannot be read as a setting") from None


def _refuse_unprotected(theirs: _Theirs) -> None:
    asked = [
        name
        for name, wanted in (
            ("AUTH_MODE", (theirs.auth_mode or "disabled").lower() != "disabled"),
            ("TOKEN_AUTH_ENABLED", theirs.token_auth_enabled),
            ("DISABLE_AUTH=false", theirs.disable_auth is False),
        )
        if wanted
    ]
    # DISABLE_AUTH=true beats the others there too: that operator has no protection to lose.
    if asked and not theirs.disable_auth:
        raise ConfigurationError(
            f"{', '.join(asked)} asks for authentication, which this server does not have yet."
            " It will not start unprotected unasked: let something in front of it authenticate,"
            " and set DISABLE_AUTH=true"
        )


def _remarks(theirs: _Theirs) -> tuple[str, ...]:
    return tuple(
        f"{name.upper()} is set, and ignored: this server keeps working memory only"
        for name in ("enable_working_memory_summarization", "long_term_memory")
        if getattr(theirs, name)
    )
