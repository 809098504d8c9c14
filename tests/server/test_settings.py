"""Settings: where each value comes from, and what is refused."""

import os
from pathlib import Path

import pytest

from memory_cache_server.settings import (
    ConfigurationError,
    Settings,
    env_name,
    flag_name,
    load,
    mask,
    shown,
)
from support.serving import OURS, run


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory and an environment without settings."""
    for name in os.environ:
        if OURS.match(name):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_origins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag beats the environment, which beats `.env`, which beats the default."""
    (tmp_path / ".env").write_text("PORT=1\nLOG_LEVEL=debug\nMEMORY_CACHE_WORKERS=2\n")
    monkeypatch.setenv("PORT", "3")
    monkeypatch.setenv("LOG_LEVEL", "error")
    loaded = load({"port": "4"})
    found = loaded.settings
    assert (found.port, found.log_level, found.workers, found.host) == (4, "ERROR", 2, "127.0.0.1")
    origins = [loaded.origins[name] for name in ("port", "log_level", "workers", "host")]
    assert origins == ["flag", "environment", ".env", "default"]
    assert loaded.origins.keys() == Settings.model_fields.keys()


def test_names() -> None:
    """Settings that agent-memory-server has too keep its names; ours have our prefix."""
    names = {env_name(field) for field in Settings.model_fields}
    assert {name for name in names if not name.startswith("MEMORY_CACHE_")} == {
        "REDIS_URL",
        "PORT",
        "LOG_LEVEL",
        "REQUIRE_MESSAGE_TIMESTAMPS",
        "MAX_FUTURE_TIMESTAMP_SECONDS",
    }
    assert env_name("near_cache_bytes") == "MEMORY_CACHE_NEAR_CACHE_BYTES"
    assert flag_name("near_cache_bytes") == "--near-cache-bytes"


@pytest.mark.parametrize("field", list(Settings.model_fields))
def test_every_name_is_read(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting is read from the variable it is said to have."""
    special = {"redis_url": "redis://h:1", "log_level": "DEBUG", "durability": "always"}
    monkeypatch.setenv(env_name(field), special.get(field, "1"))
    assert load({}).origins[field] == "environment"


@pytest.mark.parametrize("name", ["HOST", "WORKERS", "PREFIX", "MEMORY_CACHE_PORT"])
def test_other_names_are_not_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that only looks like a setting, as HOST does, is not one."""
    monkeypatch.setenv(name, "7")
    assert set(load({}).origins.values()) == {"default"}


def test_empty_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is none, as composed environments have them."""
    monkeypatch.setenv("REDIS_URL", "")
    assert load({}).settings.redis_url is None


def test_a_bad_value_is_named_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which setting and from where, and does not show the value."""
    monkeypatch.setenv("PORT", "sesame")
    with pytest.raises(ConfigurationError, match=r"PORT \(environment\): .*integer") as refused:
        load({"workers": "0"})
    assert "--workers: " in str(refused.value)
    assert "sesame" not in str(refused.value)


NUMBERS = [
    field for field, info in Settings.model_fields.items() if info.annotation in {int, float}
]


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "Infinity", "1e400", "1e300", "9" * 30])
@pytest.mark.parametrize("origin", ["flag", "environment"])
def test_number_that_is_none(
    field: str, value: str, origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no clock and no counter can hold is refused, wherever it stands."""
    if origin == "environment":
        monkeypatch.setenv(env_name(field), value)
    with pytest.raises(ConfigurationError) as refused:
        load({field: value} if origin == "flag" else {})
    name = flag_name(field) if origin == "flag" else f"{env_name(field)} (environment)"
    assert str(refused.value).startswith(f"{name}: ")


@pytest.mark.parametrize("field", ["host", "redis_url", "data_dir", "prefix"])
@pytest.mark.parametrize("char", ["\x01", "\n", "\x7f", "\x9b", "\u2028", "\udcff"])
def test_control_characters(field: str, char: str) -> None:
    """A text that would break a line, a key or a file's name is refused, and not repeated."""
    start = "redis://h:1/" if field == "redis_url" else "/sesame"
    with pytest.raises(ConfigurationError, match=f"^{flag_name(field)}: .*") as refused:
        load({field: f"{start}{char}x"})
    assert str(refused.value).isprintable()
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize("host", ["a" * 64, "a..b", "."])
def test_host_that_is_none(host: str) -> None:
    """A text that cannot be the name of a host is refused, before it is looked up."""
    with pytest.raises(ConfigurationError, match=r"^--host: is not the name of a host$"):
        load({"host": host})


@pytest.mark.parametrize("host", ["::", "fe80::1%eth0", "0.0.0.0", "büro.example", "localhost."])
def test_hosts(host: str) -> None:
    """Names and addresses of all kinds are hosts."""
    assert load({"host": host}).settings.host == host


@pytest.mark.parametrize("words", [("--staleness-seconds", "inf"), ("--prefix", "a\x01b")])
@pytest.mark.parametrize("command", ["serve", "config"])
def test_value_that_is_none(tmp_path: Path, command: str, words: tuple[str, str]) -> None:
    """A value that nothing can be done with is one line that names the setting, exit 2."""
    ended = run(command, *words, cwd=tmp_path)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"memory-cache: {words[0]}: ")


@pytest.mark.parametrize("url", ["redis://[", "redis://h:99999", "redis://:sesame#x@h:1"])
def test_redis_url_that_is_none(url: str) -> None:
    """A URL whose address cannot be one is refused at once; nothing of it is shown."""
    with pytest.raises(ConfigurationError, match=r"\(REDIS_URL, flag\)") as refused:
        load({"redis_url": url})
    assert "sesame" not in str(refused.value)


def test_durability_needs_the_embedded_valkey(monkeypatch: pytest.MonkeyPatch) -> None:
    """Durability is refused with a Redis URL, wherever the two come from."""
    monkeypatch.setenv("MEMORY_CACHE_DURABILITY", "everysec")
    assert load({}).settings.durability == "everysec"
    with pytest.raises(ConfigurationError, match="--durability is for the embedded Valkey"):
        load({"redis_url": "redis://127.0.0.1"})


@pytest.mark.parametrize(
    "theirs",
    [
        {"AUTH_MODE": "token"},
        {"AUTH_MODE": "oauth2", "DISABLE_AUTH": "false"},
        {"TOKEN_AUTH_ENABLED": "true"},
        {"DISABLE_AUTH": "false"},
    ],
)
def test_protection_is_not_passed_over(
    theirs: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that would protect the server is refused, from the environment and from `.env`."""
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in theirs.items()))
    with pytest.raises(ConfigurationError, match="asks for authentication"):
        load({})
    (tmp_path / ".env").unlink()
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match="asks for authentication"):
        load({})


@pytest.mark.parametrize(
    "theirs",
    [
        {"AUTH_MODE": "disabled", "TOKEN_AUTH_ENABLED": "false"},
        {"AUTH_MODE": "token", "DISABLE_AUTH": "true"},
        {"OAUTH2_ISSUER_URL": "https://issuer.example"},
    ],
)
def test_no_protection_is_asked_for(
    theirs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would not protect there either is no reason to refuse."""
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    assert load({}).remarks == ()


def test_unprotecting_settings_are_remarked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What we leave undone and does not protect is accepted, and said."""
    monkeypatch.setenv("LONG_TERM_MEMORY", "true")
    monkeypatch.setenv("ENABLE_WORKING_MEMORY_SUMMARIZATION", "false")
    (remark,) = load({}).remarks
    assert remark.startswith("LONG_TERM_MEMORY is set, and ignored")


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://:pw@h", "redis://:***@h"),
        ("redis://u:p@:/w@h:1/0", "redis://u:***@h:1/0"),
        ("redis://u:a@h1,redis://u:b@h2", "redis://u:***@h2"),
        ("unix://u:pw@/run/s?db=1&password=pw&x=1", "unix://u:***@/run/s?db=1&password=***&x=1"),
        ("redis://h?p%61ssword=pw&db=1", "redis://h?p%61ssword=***&db=1"),
        ("rediss://h?ssl_%50assword=pw", "rediss://h?ssl_%50assword=***"),
    ],
)
def test_passwords_are_masked(url: str, safe: str) -> None:
    """No password of a Redis URL is shown, nor in the repr of the settings."""
    assert mask(url) == safe
    settings = Settings(redis_url=url)
    assert dict(shown(settings))["redis_url"] == safe
    assert url not in repr(settings)


def test_order_survives_the_way_to_a_worker() -> None:
    """Settings are the same after JSON, which is how workers get them."""
    settings = Settings(redis_url="unix:///a%20b", data_dir=Path("/d"), port=0)
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
