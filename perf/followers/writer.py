"""The writer, in a process of its own: appends to sessions in turn at a rate, by the library."""

import asyncio
import json
import sys
import time

import uvloop

from memory_cache import SessionCache, open_cache

TEXT = "x" * 280


async def append(cache: SessionCache, sessions: int, rate: int, seconds: int) -> list[float]:
    """
    Append, each when it is due, whatever became of those before; how late each began.

    Prints ``middle`` when half of it is done.
    """
    chats = [cache.session(f"s{at}") for at in range(sessions)]
    late: list[float] = []

    async def one(at: int) -> None:
        now = time.monotonic()
        message = {"n": at // sessions, "at": now, "role": "user", "content": TEXT}
        await chats[at % sessions].append(message)

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for at in range(rate * seconds):
            due = began + at / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            late.append(time.monotonic() - due)
            group.create_task(one(at))
            if at == rate * seconds // 2:
                print("middle", flush=True)
    return late


async def main() -> None:
    """Append to the store at a URL; print how late each append was."""
    url, *numbers = sys.argv[1:]
    sessions, rate, seconds = map(int, numbers)
    async with open_cache(url) as cache:
        print(json.dumps(await append(cache, sessions, rate, seconds)), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
