"""What langchain-memos adds to the verb of the core that it calls.

`python -m benchmarks.adapters.langchain [--rounds 300] [--items 1000]` prints a table and writes
`benchmarks/results/adapters_langchain.json`. Embedding is taken out: the embedder hashes words. Both
sides of a row run once a round, in a changing order; the overhead is the median of the differences, on
the clock and in processor time of the calling thread, which other work on the machine does not change.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from langgraph.store.base import PutOp

from benchmarks.latency.machine import machine
from benchmarks.latency.timing import Subject, interleaved, percentiles
from langchain_memos import MemOSMiddleware, MemOSRetriever, MemOSStore, with_memories
from memos_core import Entry, MemOS
from memos_core.testing import HashEmbedder, InMemoryIndex

RESULT = Path(__file__).parents[1] / "results" / "adapters_langchain.json"
NAMESPACE, CUBE, USER = ("users", "mira"), "users.mira", "local"
QUERY, K = "salt from the hills", 5
MIRA = {"configurable": {"user_id": USER, "memory_cube": CUBE}}

Pair = tuple[str, Callable[[int], object], Callable[[int], object]]


def value(number: int) -> dict[str, Any]:
    return {"text": f"salt and word{number} from the hills of place{number % 97}"}


def filled(folder: str, items: int) -> MemOS:
    memos = MemOS.open(folder, embedder=HashEmbedder(dimensions=384), index=InMemoryIndex(dimensions=384))
    MemOSStore(memos).batch([PutOp(NAMESPACE, f"k{n}", value(n)) for n in range(items)])
    memos.drain()
    return memos


def pairs(memos: MemOS, items: int, loop: asyncio.AbstractEventLoop) -> Sequence[Pair]:
    """Return the name of each verb, the adapter's way to it and the core's."""
    store, records, cube = MemOSStore(memos), memos.cube(CUBE).records, memos.cube(CUBE)
    retriever = MemOSRetriever(memos=memos, cube=CUBE, k=K)
    chain = with_memories(memos, k=K, budget=512)
    said = {"messages": [("user", QUERY)]}
    bare = create_agent(FakeListChatModel(responses=["ok"]))
    reminded = create_agent(
        FakeListChatModel(responses=["ok"]), middleware=[MemOSMiddleware(memos, cube=CUBE, k=K, write=False)]
    )
    config: Any = MIRA

    def put(number: int) -> object:
        told = value(number % items)
        return records.put([Entry(key=f"k{number % items}", data=told, texts=(told["text"],))])

    def recalled_in_a_bare_run(_: int) -> object:
        bare.invoke(said, config)
        return cube.recall(QUERY, k=K + 1).render(512)

    return (
        (
            "store.get",
            lambda n: store.get(NAMESPACE, f"k{n % items}"),
            lambda n: records.get([f"k{n % items}"]),
        ),
        (
            "store.aget",
            lambda n: loop.run_until_complete(store.aget(NAMESPACE, f"k{n % items}")),
            lambda n: records.get([f"k{n % items}"]),
        ),
        ("store.put", lambda n: store.put(NAMESPACE, f"k{n % items}", value(n % items)), put),
        (
            "store.search",
            lambda _: store.search(NAMESPACE, query=QUERY, limit=K),
            lambda _: records.recall(QUERY, k=K),
        ),
        ("retriever.invoke", lambda _: retriever.invoke(QUERY), lambda _: cube.recall(QUERY, k=K)),
        (
            "with_memories",
            lambda _: chain.invoke({"question": QUERY}, config),
            lambda _: cube.recall(QUERY, k=K, budget=512).render(512),
        ),
        ("agent run with middleware", lambda _: reminded.invoke(said, config), recalled_in_a_bare_run),
    )


def measured(pair: Pair, rounds: int) -> dict[str, Any]:
    name, adapter, core = pair
    samples = interleaved({"adapter": Subject(adapter), "core": Subject(core)}, rounds=rounds, warm_up=20)
    more = [above - below for above, below in zip(samples["adapter"], samples["core"], strict=True)]
    return {
        "verb": name,
        "adapter_p50_ms": percentiles(samples["adapter"])["p50"],
        "core_p50_ms": percentiles(samples["core"])["p50"],
        "overhead_p50_ms": round(statistics.median(more) * 1e3, 3),
        "overhead_cpu_ms": "in other threads" if ".a" in name else _more_computed(adapter, core, rounds),
    }


def _more_computed(adapter: Callable[[int], object], core: Callable[[int], object], rounds: int) -> float:
    return round((cpu(adapter, rounds) - cpu(core, rounds)) * 1e3, 3)


def cpu(verb: Callable[[int], object], rounds: int) -> float:
    """Return the median of the seconds that this thread computed for one call."""
    taken = []
    for number in range(rounds):
        begin = time.thread_time()
        verb(number)
        taken.append(time.thread_time() - begin)
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
        rows = [measured(pair, given.rounds) for pair in pairs(memos, given.items, loop)]
    loop.close()
    packages = ("langchain-core", "langchain", "langgraph", "langgraph-checkpoint")
    record = {
        "command": "python -m benchmarks.adapters.langchain",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {**machine(), "versions": {name: version(name) for name in packages}},
        "load_average_before": load,
        "items": given.items,
        "rounds": given.rounds,
        "overhead": rows,
    }
    RESULT.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for row in rows:
        print("  ".join(f"{each:<26}" if isinstance(each, str) else f"{each:9.3f}" for each in row.values()))


if __name__ == "__main__":
    main()
