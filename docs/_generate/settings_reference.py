"""The table of settings, from the definitions that the server reads them by."""

from pathlib import Path

from memory_cache_server.settings import Settings, env_name, flag_name


def markdown() -> str:
    """Return one row for each setting."""
    rows = ["| setting | flag | default | what it is |", "| --- | --- | --- | --- |"]
    rows += [
        f"| `{env_name(field)}` | `{flag_name(field)}` | {_default(field)} | {info.description} |"
        for field, info in Settings.model_fields.items()
    ]
    return "\n".join(rows)


def _default(field: str) -> str:
    default = Settings.model_fields[field].get_default(call_default_factory=True, validated_data={})
    if default is None:
        return ""
    if isinstance(default, Path):  # is another one for each user
        return "a folder of its own in your user's data directory"
    return f"`{default}`"
