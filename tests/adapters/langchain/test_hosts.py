"""The store in its hosts: a graph, an agent, langmem's tools; interrupts, time travel, restarts."""

import asyncio
import warnings
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt

from langchain_memos import MemOSStore
from memos_core.testing import HashEmbedder, InMemoryIndex
from tests.adapters.langchain.scripted import Scripted, calls


class State(TypedDict, total=False):
    name: str
    known: list[str]


def note(state: State, runtime: Runtime) -> State:
    runtime.store.put(("people",), state["name"], {"text": f"{state['name']} came by"})
    return {}


def ask(state: State) -> State:
    return {"name": interrupt("and who else?")}


async def look(state: State, runtime: Runtime) -> State:
    found = await runtime.store.asearch(("people",), query="came by")
    return {"known": sorted(item.key for item in found)}


def graph_over(store, saver):
    builder = StateGraph(State)
    for node in (note, ask, look):
        builder.add_node(node)
    builder.add_node("again", note)
    for edge in [(START, "note"), ("note", "ask"), ("ask", "again"), ("again", "look"), ("look", END)]:
        builder.add_edge(*edge)
    return builder.compile(store=store, checkpointer=saver)


def test_a_graph_keeps_its_store_over_interrupts_and_time_travel(store):
    config = {"configurable": {"thread_id": "t"}}
    graph = graph_over(store, InMemorySaver())

    async def main():
        await graph.ainvoke({"name": "Ana"}, config)
        first = await graph.ainvoke(Command(resume="Bo"), config)
        before = [each async for each in graph.aget_state_history(config) if each.next == ("note",)][-1]
        await graph.ainvoke(None, before.config)  # goes back to the start, and is interrupted again
        second = await graph.ainvoke(Command(resume="Cy"), config)
        return first["known"], second["known"]

    assert asyncio.run(main()) == (["Ana", "Bo"], ["Ana", "Bo", "Cy"])


@tool
def save(text: str, runtime: ToolRuntime[Any, Any]) -> str:
    """Save a note."""
    runtime.store.put(("notes", runtime.context["user_id"]), "last", {"text": text})
    return "saved"


@tool
async def load(runtime: ToolRuntime[Any, Any]) -> str:
    """Load the notes."""
    items = await runtime.store.asearch(("notes", runtime.context["user_id"]))
    return " ".join(item.value["text"] for item in items)


def told(agent, user):
    state = asyncio.run(
        agent.ainvoke({"messages": [{"role": "user", "content": "go"}]}, context={"user_id": user})
    )
    return [message.content for message in state["messages"] if isinstance(message, ToolMessage)]


def test_an_agents_tools_use_the_store_and_it_survives_a_restart(folder):
    def opened():
        return MemOSStore.open(folder, embedder=HashEmbedder(), index=InMemoryIndex(dimensions=64))

    with opened() as store:
        agent = create_agent(Scripted(lines=[calls("save", text="salt"), "done"]), [save, load], store=store)
        assert told(agent, "ana") == ["saved"]
    with opened() as store:
        answers = [
            told(create_agent(Scripted(lines=[calls("load"), "done"]), [save, load], store=store), user)
            for user in ("ana", "bo")
        ]
    assert answers == [["salt"], [""]]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_langmems_tools_manage_and_search_memories(store):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langmem import create_manage_memory_tool, create_search_memory_tool
    namespace = ("memories", "{user_id}")
    config = {"configurable": {"user_id": "mira"}}
    tools = [
        create_manage_memory_tool(namespace, store=store),
        create_search_memory_tool(namespace, store=store),
    ]
    said = tools[0].invoke({"content": "Mira likes salt", "action": "create"}, config)
    key = said.split()[-1]
    assert store.get(("memories", "mira"), key).value == {"content": "Mira likes salt"}
    assert "Mira likes salt" in tools[1].invoke({"query": "salt"}, config)
    assert "salt" not in tools[1].invoke({"query": "salt"}, {"configurable": {"user_id": "eve"}})
    tools[0].invoke({"content": "Mira likes sugar", "action": "update", "id": key}, config)
    tools[0].invoke({"action": "delete", "id": key}, config)
    assert store.search(("memories",)) == []
