"""What autogen-memos adds to the awaited verb of the core that it calls, and what a crowd of agents does.

`python -m benchmarks.adapters.autogen [--rounds 200] [--items 1000] [--turns 20]` prints a table and writes
`benchmarks/results/adapters_autogen.json`. Embedding is taken out: the embedder hashes words. Both
sides of a row run once a round, in a changing order; the overhead is the median of the differences.
A turn of a crowd's agent asks all scopes of the team's memory and posts one line on the blackboard.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from autogen_core.memory import MemoryContent
from autogen_core.model_context import UnboundedChatCompletionContext
from autogen_core.models import UserMessage

from autogen_memos import MemOSMemory, TeamMemory
from benchmarks.latency.machine import machine
from benchmarks.latency.timing import Subject, interleaved, percentiles
from memos_core import AsyncMemCube, MemOS, Message
from memos_core.testing import HashEmbedder, InMemoryIndex

RESULT = Path(__file__).parents[1] / "results" / "adapters_autogen.json"
QUERY, K = "salt from the hills", 8
CROWDS = (1, 8, 32)

Verb = Callable[[int], Awaitable[object]]


def text(number: int) -> str:
    return f"salt and word{number} from the hills of place{number % 97}"


def opened(folder: str) -> MemOS:
    return MemOS.open(folder, embedder=HashEmbedder(dimensions=384), index=InMemoryIndex(dimensions=384))


def pairs(memos: MemOS) -> Sequence[tuple[str, Verb, Verb]]:
    """Return the name of each verb, the adapter's way to it and the core's."""
    memory, cube = MemOSMemory(memos, k=K), AsyncMemCube(memos.cube("memory"))

    def told(turns: int) -> UnboundedChatCompletionContext:
        said = [UserMessage(content=f"turn {number}", source="user") for number in range(turns)]
        return UnboundedChatCompletionContext([*said, UserMessage(content=QUERY, source="user")])

    short, long = told(3), told(200)
    return (
        ("query", lambda _: memory.query(QUERY), lambda _: cube.recall(QUERY, k=K)),
        (
            "add",
            lambda n: memory.add(MemoryContent(content=f"a {text(n)}", mime_type="text/plain")),
            lambda n: cube.remember(f"c {text(n)}"),
        ),
        (
            "update_context, 4 messages",
            lambda _: memory.update_context(short),
            lambda _: cube.recall(QUERY, k=K + 4),
        ),
        (
            "update_context, 201 messages",
            lambda _: memory.update_context(long),
            lambda _: cube.recall(QUERY, k=K + 100),
        ),
    )


def measured(pair: tuple[str, Verb, Verb], rounds: int, loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
    name, adapter, core = pair

    def run(verb: Verb) -> Callable[[int], object]:
        async def once(number: int) -> object:
            return await verb(number)

        return lambda number: loop.run_until_complete(once(number))

    samples = interleaved(
        {"adapter": Subject(run(adapter)), "core": Subject(run(core))}, rounds=rounds, warm_up=20
    )
    more = [above - below for above, below in zip(samples["adapter"], samples["core"], strict=True)]
    return {
        "verb": name,
        "adapter_p50_ms": percentiles(samples["adapter"])["p50"],
        "core_p50_ms": percentiles(samples["core"])["p50"],
        "overhead_p50_ms": round(statistics.median(more) * 1e3, 3),
    }


async def crowded(memos: MemOS, agents: int, turns: int) -> dict[str, Any]:
    """Return what so many agents of one team get done when all of them work at once."""
    names = [f"agent{number}" for number in range(agents)]
    team = await TeamMemory.open(memos, f"crowd{agents}", agents=names)
    memories = [team.agent(name) for name in names]

    async def work(number: int) -> None:
        for turn in range(turns):
            await memories[number].query(QUERY, k=3)
            await memories[number].post(f"{number} did {turn}: {text(turn)}")

    begin = time.perf_counter()
    await asyncio.gather(*map(work, range(agents)))
    took = time.perf_counter() - begin
    kept = memos.cube(f"crowd{agents}/board").count()
    return {
        "agents": agents,
        "turns_per_second": round(agents * turns / took, 1),
        "lost": agents * turns - kept,
    }


def main() -> None:
    """Measure every pair and every crowd, print a table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=20)
    given = parser.parse_args()
    load = round(os.getloadavg()[0], 1)  # the differences of two busy verbs are busy, too
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory() as folder, opened(folder) as memos:
        memos.cube("memory").ingest([Message("Ana", text(number)) for number in range(given.items)])
        memos.drain()
        rows = [measured(pair, given.rounds, loop) for pair in pairs(memos)]
        crowds = [loop.run_until_complete(crowded(memos, agents, given.turns)) for agents in CROWDS]
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    packages = ("autogen-core", "autogen-agentchat")
    record = {
        "command": "python -m benchmarks.adapters.autogen",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {**machine(), "versions": {name: version(name) for name in packages}},
        "load_average_before": load,
        "items": given.items,
        "rounds": given.rounds,
        "turns": given.turns,
        "overhead": rows,
        "crowds": crowds,
    }
    RESULT.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for row in [*rows, *crowds]:
        print("  ".join(f"{each:<30}" if isinstance(each, str) else f"{each:9.3f}" for each in row.values()))


if __name__ == "__main__":
    main()
