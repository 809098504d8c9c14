"""The HTTP reference, from what the server says of itself in OpenAPI."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memory_cache_server.app import create_app
from memory_cache_server.settings import Settings

Json = Mapping[str, Any]


def document() -> dict[str, Any]:
    """Return the server's OpenAPI document."""
    return create_app(Settings()).openapi()


def markdown(api: Json) -> str:
    """Return the routes, then the documents that they take and give."""
    lines = ["## Routes", ""]
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            lines += [f"### `{method.upper()} {path}`", "", operation["description"], ""]
            lines += _parameters(operation.get("parameters", ()))
            lines += _body(operation.get("requestBody"))
            lines += _answers(operation["responses"])
    lines += ["## Documents", ""]
    for name, schema in api["components"]["schemas"].items():
        lines += [f"### {name}", "", schema.get("description", ""), "", *_fields(schema)]
    return "\n".join(lines)


def _parameters(parameters: Sequence[Json]) -> Iterator[str]:
    if not parameters:
        return
    yield from _table("parameter", "in", "type", "meaning")
    for parameter in parameters:
        schema = parameter["schema"]
        meaning = parameter.get("description") or schema.get("description", "")
        yield _row(f"`{parameter['name']}`", parameter["in"], _type(schema), meaning)
    yield ""


def _body(body: Json | None) -> Iterator[str]:
    if body is not None:
        for kind, content in body["content"].items():
            yield f"Body: {_type(content['schema'])}, as `{kind}`."
        yield ""


def _answers(responses: Mapping[str, Json]) -> Iterator[str]:
    yield from _table("status", "document", "meaning")
    for status, response in responses.items():
        documents = ", ".join(
            _type(content["schema"]) if kind == "application/json" else f"`{kind}`"
            for kind, content in response.get("content", {}).items()
        )
        meaning = response["description"]
        yield _row(status, documents, "done" if meaning == "Successful Response" else meaning)
    yield ""


def _fields(schema: Json) -> Iterator[str]:
    if "properties" not in schema:
        yield f"A document of this form: {_type(schema)}."
        yield ""
        return
    yield from _table("field", "type", "", "meaning")
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        must = "required" if name in required else ""
        yield _row(f"`{name}`", _type(field), must, field.get("description", ""))
    yield ""


def _type(schema: Json) -> str:
    """Return a type in words, with its limits; a document is a link to its table."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    words = [schema.get("format") or schema.get("type", "any")]
    if "minimum" in schema:
        words.append(f"≥ {schema['minimum']:,}")
    if "maximum" in schema:
        words.append(f"≤ {schema['maximum']:,}")
    if schema.get("default") is not None:
        words.append(f"(default {schema['default']})")
    return " ".join(words)


def _table(*titles: str) -> Iterator[str]:
    yield _row(*titles)
    yield _row(*("---" for _ in titles))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
