"""What llamaindex-memos adds to the verb of the core that it calls.

`python -m benchmarks.adapters.llamaindex [--rounds 300] [--items 1000]` prints a table and writes
`benchmarks/results/adapters_llamaindex.json`. Embedding is taken out: the embedder hashes words. Both
sides of a row run once a round, in a changing order; the overhead is the median of the differences, on
the clock, and in processor time of the process, which other work on the machine changes little. Awaited
rows run in one event loop that stays; the core's side of them hops to a thread once, as `memos_core.aio`
does. Where the adapter looks the cube up by its name with every call, and the holder of a cube need
not, that is in it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.core.schema import QueryBundle

from benchmarks.latency.machine import machine
from benchmarks.latency.timing import Subject, interleaved, percentiles
from llamaindex_memos import MemOSChatStore, MemOSLLM, MemOSMemoryBlock, MemOSRetriever
from memos_core import Entry, MemOS, Message, Runtime
from memos_core.testing import HashEmbedder, InMemoryIndex, ScriptedEngine

RESULT = Path(__file__).parents[1] / "results" / "adapters_llamaindex.json"
CUBE, K, BUDGET = "memory", 5, 512
QUERY = "salt from the hills"

Pair = tuple[str, Callable[[int], object], Callable[[int], object]]
_fresh = itertools.count()


def filled(folder: str, items: int) -> MemOS:
    memos = MemOS.open(folder, embedder=HashEmbedder(dimensions=384), index=InMemoryIndex(dimensions=384))
    told = [Message("mira", f"salt and word{n} from the hills of place{n % 97}") for n in range(items)]
    memos.cube(CUBE).ingest(told, session="before")
    memos.drain()
    return memos


def pairs(memos: MemOS, loop: asyncio.AbstractEventLoop) -> Sequence[Pair]:
    """Return the name of each verb, the adapter's way to it and the core's."""
    cube, block = memos.cube(CUBE), MemOSMemoryBlock(memos, similarity_top_k=K, budget=BUDGET)
    store, records = MemOSChatStore(memos), memos.cube("records").records
    retriever = MemOSRetriever(memos, similarity_top_k=K)
    runtime = Runtime(ScriptedEngine(lambda _: "ok"))
    llm = MemOSLLM(runtime, memos=memos, cube=CUBE)
    history = [ChatMessage(role="user", content=f"line {n} of the talk") for n in range(10)]
    records.put([Entry(key=f"{n}", data={"text": f"line {n} of the talk"}) for n in range(10)])
    run = loop.run_until_complete
    run(store.add_messages("kept", history))

    def awaited(verb: Callable[[], object]) -> object:
        return run(asyncio.to_thread(verb))

    def asked(number: int) -> list[ChatMessage]:
        return [ChatMessage(role="user", content=f"{QUERY} of place{number}")]

    def of_the_core(verb: Callable[[str], object]) -> Callable[[int], object]:
        return lambda number: awaited(lambda: verb(f"{QUERY} of place{number}"))

    def of_ours(verb: Callable[[int], Coroutine[Any, Any, object]]) -> Callable[[int], object]:
        return lambda number: run(verb(number))

    def told(number: int) -> str:
        return f"salt said anew, {number} and {next(_fresh)}"

    return (
        (
            "block.aget",
            of_ours(lambda n: block.aget(asked(n), session_id="s")),
            of_the_core(lambda query: cube.recall(query, k=K + 1).render(BUDGET)),
        ),
        (
            "block.aget, asked again",
            of_ours(lambda _: block.aget(asked(-1), session_id="s")),
            of_the_core(lambda _: None),
        ),
        (
            "block.aput",
            of_ours(lambda n: block.aput([ChatMessage(role="user", content=told(n))], session_id="s")),
            lambda n: awaited(lambda: cube.ingest([Message("mira", told(n), role="user")], session="s")),
        ),
        (
            "chat store, get 10 messages",
            of_ours(lambda _: store.get_messages("kept")),
            lambda _: awaited(records.list),
        ),
        (
            "chat store, add and delete",
            of_ours(lambda _: _added_and_deleted(store)),
            lambda _: (
                awaited(lambda: records.put([Entry(key="new", data={"text": "one more"})])),
                awaited(records.list),
                awaited(lambda: records.put([], drop=["new"])),
            ),
        ),
        (
            "retriever.retrieve",
            lambda n: retriever.retrieve(QueryBundle(f"{QUERY} of place{n}")),
            lambda n: cube.recall(f"{QUERY} of place{n}", k=K),
        ),
        (
            "llm.complete",
            lambda n: llm.complete(f"{QUERY} of place{n}"),
            lambda n: runtime.chat(f"{QUERY} of place{n}", cube),
        ),
    )


async def _added_and_deleted(store: MemOSChatStore) -> None:
    await store.add_message("new", ChatMessage(role="user", content="one more"))
    await store.delete_messages("new")


def measured(pair: Pair, rounds: int) -> dict[str, Any]:
    name, adapter, core = pair
    samples = interleaved({"adapter": Subject(adapter), "core": Subject(core)}, rounds=rounds, warm_up=20)
    more = [above - below for above, below in zip(samples["adapter"], samples["core"], strict=True)]
    return {
        "verb": name,
        "adapter_p50_ms": percentiles(samples["adapter"])["p50"],
        "core_p50_ms": percentiles(samples["core"])["p50"],
        "overhead_p50_ms": round(statistics.median(more) * 1e3, 3),
        "overhead_cpu_ms": round((cpu(adapter, rounds) - cpu(core, rounds)) * 1e3, 3),
    }


def cpu(verb: Callable[[int], object], rounds: int) -> float:
    """Return the median of the seconds that this process computed for one call, in all its threads."""
    taken = []
    for number in range(rounds):
        begin = time.process_time()
        verb(number)
        taken.append(time.process_time() - begin)
    return statistics.median(taken)


def main() -> None:
    """Measure every pair, print a table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--items", type=int, default=1000)
    given = parser.parse_args()
    load = round(os.getloadavg()[0], 1)  # the differences of two busy verbs are busy, too
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory() as folder, filled(folder, given.items) as memos:
        rows = [measured(pair, given.rounds) for pair in pairs(memos, loop)]
    loop.close()
    packages = ("llama-index-core", "llama-index-workflows")
    record = {
        "command": "python -m benchmarks.adapters.llamaindex",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {**machine(), "versions": {name: version(name) for name in packages}},
        "load_average_before": load,
        "items": given.items,
        "rounds": given.rounds,
        "overhead": rows,
    }
    RESULT.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for row in rows:
        print("  ".join(f"{each:<28}" if isinstance(each, str) else f"{each:9.3f}" for each in row.values()))


if __name__ == "__main__":
    main()
