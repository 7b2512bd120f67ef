"""A LangGraph graph whose nodes share a store: a guest book, searched by meaning, that survives a restart."""

from __future__ import annotations

import asyncio
import tempfile
from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from langchain_memos import MemOSStore


class Visit(TypedDict, total=False):
    """What is known of one visit."""

    guest: str
    wish: str
    alike: list[str]


async def write(visit: Visit, runtime: Runtime) -> Visit:
    """Write the guest into the book."""
    assert runtime.store is not None  # noqa: S101 - it was compiled with one
    await runtime.store.aput(("inn", "guests"), visit["guest"], {"wish": visit["wish"]})
    return {}


async def compare(visit: Visit, runtime: Runtime) -> Visit:
    """Look who wished for something alike."""
    assert runtime.store is not None  # noqa: S101 - it was compiled with one
    found = await runtime.store.asearch(("inn",), query=visit["wish"], limit=2)
    return {"alike": [item.key for item in found if item.key != visit["guest"]]}


async def visit(store: MemOSStore, guest: str, wish: str) -> None:
    """Run the graph for one guest."""
    builder = StateGraph(Visit)
    builder.add_node(write)
    builder.add_node(compare)
    builder.add_edge(START, "write")
    builder.add_edge("write", "compare")
    builder.add_edge("compare", END)
    done = await builder.compile(store=store).ainvoke({"guest": guest, "wish": wish})
    print(f"{guest} wishes for {wish!r}. Alike: {', '.join(done['alike']) or 'nobody'}")


async def main() -> None:
    """Receive guests on two evenings, with a restart between them."""
    with tempfile.TemporaryDirectory() as folder:
        async with MemOSStore.aopen(folder, fields=["wish"]) as store:
            await visit(store, "Dorrin", "a quiet room away from the street")
            await visit(store, "Wren", "stabling for two goats")
        async with MemOSStore.aopen(folder, fields=["wish"]) as store:
            await visit(store, "Pell", "somewhere silent to sleep")


if __name__ == "__main__":
    asyncio.run(main())
