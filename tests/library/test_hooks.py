"""A process in which another package is not as it was."""

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, sys
{change}
from memory_cache import open_cache

async def main():
    async with open_cache(sys.argv[1]) as cache:
        chat = cache.session("chat")
        for at in range(3):
            await chat.append({{"role": "user", "content": "\u00e9" * at}})
        page = await chat.recent(2)
        print([message["content"] for message in page.messages])

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "import hiredis; hiredis.pack_command = lambda command: b'other'",
            "hiredis does not pack",
        ),
        ("import hiredis; del hiredis.pack_command", "hiredis does not pack"),
        (
            "import cachetools; cachetools.Cache.__iter__ = lambda cache: iter(())",
            "the near cache is off",
        ),
    ],
)
def test_without(valkey_url: str, change: str, said: str) -> None:
    """It works all the same, in another way, and one line says so."""
    ended = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM.format(change=change), valkey_url],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.stdout == "['\u00e9', '\u00e9\u00e9']\n", ended.stderr
    (line,) = ended.stderr.splitlines()
    assert said in line
