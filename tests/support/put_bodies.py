"""PUTs of the contract as bytes, and messages as answers give them."""

from typing import Any

import httpx

from support.in_process import SESSION


async def put(client: httpx.AsyncClient, body: bytes, **headers: str) -> httpx.Response:
    """The answer to a PUT of these very bytes."""
    headers = {"content-type": "application/json", **headers}
    return await client.put(SESSION, content=body, headers=headers)


def full(at: int, **changes: object) -> dict[str, Any]:
    """A message as answers give it, but for changes; one may leave a field out."""
    said = {
        "role": "user",
        "content": f'{at} \u00e9\u2028 "\\n' + "x" * 40,
        "id": f"id-{at}",
        "created_at": f"2026-01-01T00:00:{at:02}.500000Z",
        "persisted_at": None,
        "discrete_memory_extracted": "f",
    }
    return {name: value for name, value in {**said, **changes}.items() if value != "left out"}
