"""What langchain-memos adds to the verb of the core that it calls.

`python -m benchmarks.adapters.langchain [--rounds 300] [--items 1000]` prints a table and writes
`benchmarks/results/adapters_langchain.json`. Embedding is taken out: the embedder hashes words. Both
sides of a row run once a round, in a changing order; the overhead is the median of the differences, on
the clock and in processor time of the calling thread, which other work on the machine does not change.
What LangChain takes to call anything at all is on both sides of a chain and of an agent's run: the
one without memory has a runnable, or a middleware with the same hooks, that does nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from langgraph.store.base import PutOp

from benchmarks.adapters.overhead import Pair, load_average, measured, recorded
from langchain_memos import MemOSMiddleware, MemOSRetriever, MemOSStore, with_memories
from memos_core import Entry, MemOS, Message
from memos_core.testing import HashEmbedder, InMemoryIndex

NAMESPACE, CUBE, USER = ("users", "mira"), "users.mira", "local"
QUERY, K = "salt from the hills", 5
MIRA = {"configurable": {"user_id": USER, "memory_cube": CUBE}}


class Idle(AgentMiddleware[Any, Any]):
    """Has the hooks that a memory needs, and does nothing in them: what these cost is LangGraph's."""

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        return handler(request)

    def after_agent(self, state: Any, runtime: Any) -> None:  # noqa: ARG002 - LangChain's signature
        return None


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
    idle = RunnableLambda(lambda fields: fields)
    said = {"messages": [("user", QUERY)]}
    bare = create_agent(FakeListChatModel(responses=["ok"]), middleware=[Idle()])
    reminded = create_agent(
        FakeListChatModel(responses=["ok"]), middleware=[MemOSMiddleware(memos, cube=CUBE, k=K, write=False)]
    )
    keeping = create_agent(
        FakeListChatModel(responses=["ok"]), middleware=[MemOSMiddleware(memos, cube=CUBE, k=K)]
    )
    config: Any = MIRA
    turns = itertools.count()

    def put(number: int) -> object:
        told = value(number % items)
        return records.put([Entry(key=f"k{number % items}", data=told, texts=(told["text"],))])

    def recalled_in_a_bare_run(_: int) -> object:
        bare.invoke(said, config)
        return cube.recall(QUERY, k=K + 1).render(512)

    def kept_in_a_bare_run(number: int) -> object:
        now, turn = datetime.now(UTC), next(turns)  # its messages are new, as those of a run are
        asked = Message(USER, QUERY, at=now, role="user", id=f"asked-{turn}")
        told = recalled_in_a_bare_run(number)
        cube.ingest([asked], more=True)
        answer = Message("assistant", "ok", at=now, role="assistant", id=f"answered-{turn}")
        cube.ingest([answer], after=[asked])
        return told

    def recalled_beside_an_idle_runnable(_: int) -> object:
        idle.invoke({"question": QUERY}, config)
        return cube.recall(QUERY, k=K, budget=512).render(512)

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
            recalled_beside_an_idle_runnable,
        ),
        ("agent run that recalls", lambda _: reminded.invoke(said, config), recalled_in_a_bare_run),
        ("agent run that recalls and keeps", lambda _: keeping.invoke(said, config), kept_in_a_bare_run),
    )


def main() -> None:
    """Measure every pair, print a table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--items", type=int, default=1000)
    given = parser.parse_args()
    load, loop = load_average(), asyncio.new_event_loop()
    with tempfile.TemporaryDirectory() as folder, filled(folder, given.items) as memos:
        rows = [
            measured(pair, given.rounds, clock=None if ".a" in pair[0] else time.thread_time)
            for pair in pairs(memos, given.items, loop)
        ]
    loop.close()
    recorded(
        "langchain",
        ("langchain-core", "langchain", "langgraph", "langgraph-checkpoint"),
        {
            "load_average_before": load,
            "items": given.items,
            "rounds": given.rounds,
            "overhead": [
                row | {"overhead_cpu_ms": row.get("overhead_cpu_ms", "in other threads")} for row in rows
            ],
        },
    )


if __name__ == "__main__":
    main()
