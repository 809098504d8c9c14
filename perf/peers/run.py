"""
Ours and the peers: append one message, read the last 20, at three lengths of a session.

Each peer is installed into a virtual environment of its own under ``build/peers`` (never part of
``--quick``); one that cannot be installed is left out, and named.
"""

import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from memory_cache import BOUNDED, NEWEST, CacheConfig, Session, open_cache
from perf.lab.plots import (
    BLUE,
    GREEN,
    GREY,
    SKY,
    VERMILION,
    Style,
    draw,
    log_axes,
    same_height,
    sheet,
)
from perf.lab.progress import Progress
from perf.lab.verdicts import Outcome, Picture, Verdict
from perf.peers.driver import LAST, SLICE, text
from perf.servers import child, valkey

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parent.parent / "build" / "peers"
Times = dict[int, dict[str, list[float]]]
NOW = "reads through: sees every write at once"


@dataclass(frozen=True, slots=True)
class Peer:
    """What to install, and what its reads promise."""

    requirements: tuple[str, ...]
    consistency: str = NOW


PEERS = {
    "openai-agents": Peer(("openai-agents[redis]==0.24.*",)),
    "langchain": Peer(("langchain-community==0.4.*", "redis>=7,<9")),
    "llama-index": Peer(("llama-index-storage-chat-store-redis==0.8.*",)),
    "google-adk": Peer(("google-adk==2.13.*", "redis>=7,<9")),
}
STYLES = {
    "ours, bounded": Style("ours, bounded", BLUE, "o"),
    "ours, newest": Style("ours, newest", SKY, "^"),
    "openai-agents": Style("OpenAI Agents", GREEN, "D"),
    "langchain": Style("LangChain", VERMILION, "s"),
    "llama-index": Style("LlamaIndex", GREY, "x"),
    "google-adk": Style("Google ADK", "#CC79A7", "v"),
}


class NotInstalledError(Exception):
    """A peer could not be installed; holds the end of what pip said."""


async def run(folder: Path, *, quick: bool) -> Outcome:
    """Measure ours, then each peer that can be had, on one Valkey."""
    sizes = [100, 1_000] if quick else [100, 1_000, 10_000]
    rounds = 5 if quick else 20
    outcome = Outcome("Peers")
    progress = Progress("peers", len(PEERS) + 1)
    found: dict[str, Times] = {}
    try:
        async with valkey() as url:
            progress.step("ours")
            found["ours, bounded"], found["ours, newest"] = await _ours(url, sizes, rounds)
            for name, peer in PEERS.items():
                if quick:
                    outcome.notes.append(f"{name}: left out of a quick run")
                    continue
                progress.step(name)
                try:
                    python = await _installed(name, peer)
                    found[name] = await _driven(python, name, url, sizes, rounds)
                except NotInstalledError as error:
                    outcome.notes.append(f"{name}: could not be installed here: {error}")
    finally:
        progress.close()
    outcome.data = {
        "milliseconds": _medians(found),
        "consistency": {name: peer.consistency for name, peer in PEERS.items()}
        | {"ours, bounded": "never older than T (1 s)", "ours, newest": NOW},
    }
    outcome.verdicts = _judge(_medians(found), sizes)
    _draw(_medians(found), folder)
    outcome.pictures = [Picture("peers.png", "Append one message, and read the last 20")]
    return outcome


async def _installed(name: str, peer: Peer) -> Path:
    python = ENVIRONMENTS / name / "bin" / "python"
    if not python.is_file():  # nobody waits
        await _ran(sys.executable, "-m", "venv", str(ENVIRONMENTS / name))
    await _ran(str(python), "-m", "pip", "install", "--quiet", *peer.requirements)
    return python


async def _ran(*words: str) -> None:
    async with child(*words, stderr=asyncio.subprocess.STDOUT) as running:
        printed, _ = await running.communicate()
    if running.returncode:
        raise NotInstalledError(printed.decode().strip()[-300:])


async def _driven(python: Path, name: str, url: str, sizes: list[int], rounds: int) -> Times:
    words = (str(HERE / "driver.py"), name, url, ",".join(map(str, sizes)), str(rounds))
    async with child(str(python), *words) as running:
        printed, _ = await running.communicate()
    if running.returncode:
        raise RuntimeError(f"{name} could not be measured; what it said is above")
    return {int(size): times for size, times in json.loads(printed).items()}


async def _ours(url: str, sizes: list[int], rounds: int) -> tuple[Times, Times]:
    """Return the same for our library: answers that are bounded, and the newest."""
    found: tuple[Times, Times] = ({}, {})
    cold_config = CacheConfig(near_cache_bytes=0)
    for times, consistency in zip(found, (BOUNDED, NEWEST), strict=True):
        for size in sizes:
            async with open_cache(url) as hot, open_cache(url, config=cold_config) as cold:
                name = f"ours-{size}-{consistency is NEWEST}"
                chat, other = hot.session(name), cold.session(name)
                await _heat(chat, size)
                seen: dict[str, list[float]] = {"append": [], "hot": [], "cold": []}
                for seq in range(size, size + rounds):
                    began = time.perf_counter()
                    await chat.append({"role": "user", "content": text(seq)})
                    seen["append"].append((time.perf_counter() - began) * 1e3)
                    for kind, reader in (("hot", chat), ("cold", other)):
                        began = time.perf_counter()
                        page = await reader.recent(LAST, consistency=consistency)
                        contents = [message["content"] for message in page.messages]
                        seen[kind].append((time.perf_counter() - began) * 1e3)
                        wanted = [text(at) for at in range(seq - LAST + 1, seq + 1)]
                        assert contents == wanted, "a wrong answer"
                times[size] = seen
    return found


async def _heat(chat: Session, size: int) -> None:
    for at in range(0, size, SLICE):
        many = range(at, min(at + SLICE, size))
        await chat.append([{"role": "user", "content": text(seq)} for seq in many])
    async with asyncio.timeout(10):
        while chat.peek(LAST) is None:
            await chat.recent(LAST)


def _medians(found: dict[str, Times]) -> dict[str, dict[int, dict[str, float]]]:
    return {
        name: {
            size: {kind: round(statistics.median(seen), 4) for kind, seen in kinds.items()}
            for size, kinds in times.items()
        }
        for name, times in found.items()
    }


def _judge(medians: dict[str, dict[int, dict[str, float]]], sizes: list[int]) -> list[Verdict]:
    verdicts = []
    for name, times in medians.items():
        for size in sizes:
            for kind, what in (
                ("append", "append"), ("hot", "last 20, hot"), ("cold", "last 20, cold")
            ):  # fmt: skip
                verdicts.append(
                    Verdict(f"{name}: {what}, {size:,} messages, ms", times[size][kind])
                )  # three loops
    return verdicts


def _draw(medians: dict[str, dict[int, dict[str, float]]], folder: Path) -> None:
    panels = {"append": "append one", "hot": "last 20, hot", "cold": "last 20, cold"}
    with sheet(folder / "peers.png", "Ours and its peers (median)", 3) as axes:
        for each, (kind, title) in zip(axes, panels.items(), strict=True):
            log_axes(each, "messages", "milliseconds" if kind == "append" else "")
            each.set_title(title, fontsize=12)
            for name, times in medians.items():
                draw(each, STYLES[name], {size: kinds[kind] for size, kinds in times.items()})
        same_height(axes)
