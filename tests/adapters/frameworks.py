"""What agents of three frameworks say and hear over one store, in this process or in one of their own.

Run as a script it is one framework's process: `python -m tests.adapters.frameworks NAME FOLDER CATALOG INDEX`
reads orders from standard input, a JSON list each, and answers each with a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, Protocol

from memos_core import MemCube, MemOS, NotFound
from memos_core.testing import HashEmbedder


class Framework(Protocol):
    """An agent, or a team, that keeps what is said in a cube of its own."""

    name: str
    cube: str
    own: MemCube

    def __init__(self, memos: MemOS) -> None: ...

    def says(self, text: str) -> None:
        """Keep a text as the framework does, for others to read."""
        ...

    def hears(self, question: str, *, owner: str, cube: str) -> list[tuple[str, str]]:
        """Return what the framework finds in somebody's cube, and who wrote each."""
        ...


class LangChain:
    """An agent of LangChain, that keeps what is said by a middleware."""

    def __init__(self, memos: MemOS) -> None:
        self.memos, self.name, self.cube = memos, "lina", "memory"
        self.own = memos.as_principal("lina").cube("memory")

    def says(self, text: str) -> None:
        from langchain.agents import create_agent

        from langchain_memos import MemOSMiddleware
        from tests.adapters.langchain.scripted import Scripted

        agent = create_agent(Scripted(lines=["Noted."]), middleware=[MemOSMiddleware(self.memos)])
        agent.invoke({"messages": [("user", text)]}, {"configurable": {"user_id": self.name}})
        share(self.own)

    def hears(self, question: str, *, owner: str, cube: str) -> list[tuple[str, str]]:
        from langchain_memos import MemOSRetriever

        retriever = MemOSRetriever(memos=self.memos, user=self.name, cube=cube, owner=owner)
        seen = self.memos.as_principal(self.name).cube(cube, owner=owner)
        found = retriever.invoke(question)
        return [(each.page_content, seen.get(each.id).header.governance.owner) for each in found]


class LlamaIndex:
    """An agent of LlamaIndex, with its memory."""

    def __init__(self, memos: MemOS) -> None:
        self.memos, self.name, self.cube = memos, "lena", "memory"
        self.own = memos.as_principal("lena").cube("memory")

    def says(self, text: str) -> None:
        from llama_index.core.agent.workflow import FunctionAgent

        from llamaindex_memos import MemOSMemory
        from tests.adapters.llamaindex.scripted import Scripted

        memory = MemOSMemory.from_defaults(self.memos, user=self.name, session_id="s1")
        agent = FunctionAgent(llm=Scripted(lines=["Noted."]), tools=[])

        async def told() -> None:
            await agent.run(text, memory=memory)

        asyncio.run(told())
        share(self.own)

    def hears(self, question: str, *, owner: str, cube: str) -> list[tuple[str, str]]:
        from llamaindex_memos import MemOSRetriever

        retriever = MemOSRetriever(self.memos, user=self.name, cube=cube, owner=owner)
        seen = self.memos.as_principal(self.name).cube(cube, owner=owner)
        found = asyncio.run(retriever.aretrieve(question))
        return [(each.text, seen.get(each.node.node_id).header.governance.owner) for each in found]


class AutoGen:
    """A team of AutoGen whose agents share a cube."""

    def __init__(self, memos: MemOS) -> None:
        self.memos, self.name, self.cube = memos, "augusta", "memory"
        self.own = memos.as_principal("augusta").cube("memory")

    def says(self, text: str) -> None:
        from autogen_agentchat.agents import AssistantAgent
        from autogen_agentchat.teams import RoundRobinGroupChat

        from autogen_memos import MemOSMemory
        from tests.adapters.autogen.scripted import replay

        async def kept() -> None:
            memory = MemOSMemory(self.memos, user=self.name, visibility="shared")
            agent = AssistantAgent("a", replay("Noted."), memory=[memory])
            team = RoundRobinGroupChat([agent], max_turns=1)
            await memory.remember_result(await team.run(task=text))

        asyncio.run(kept())

    def hears(self, question: str, *, owner: str, cube: str) -> list[tuple[str, str]]:
        from autogen_agentchat.agents import AssistantAgent

        from autogen_memos import MemOSMemory
        from tests.adapters.autogen.scripted import asked, notes_in, replay

        memory = MemOSMemory(self.memos, user=self.name, cube=cube, owner=owner)
        client = replay("Yes.")
        agent = AssistantAgent("a", client, memory=[memory])

        async def told() -> Any:
            await agent.run(task=question)
            return (await memory.query(question)).results

        found = asyncio.run(told())
        assert all(f"written by {owner}" in note for note in notes_in(asked(client)))
        return [(str(each.content), (each.metadata or {})["author"]) for each in found]


FRAMEWORKS: dict[str, type[Framework]] = {
    "langchain": LangChain,
    "llamaindex": LlamaIndex,
    "autogen": AutoGen,
}
"""A fourth joins with a class like these."""


def share(cube: MemCube) -> None:
    """Let those who may read the cube see all of it."""
    for memory in cube.list():
        cube.classify(memory.id, visibility="shared")


# --- a process of its own -----------------------------------------------------------------------


def serve(name: str, folder: str, catalog: str, index: str) -> None:
    """Do what standard input orders, until it ends."""
    with MemOS.open(folder, catalog=catalog, index=index, embedder=HashEmbedder(dimensions=64)) as memos:
        framework = FRAMEWORKS[name](memos)
        print(json.dumps(framework.name), flush=True)
        for line in sys.stdin:
            print(json.dumps(done(framework, *json.loads(line))), flush=True)


def done(framework: Framework, verb: str, *given: str) -> object:
    """Do one order; return what there is to tell."""
    match verb, given:
        case "says", (text,):
            framework.says(text)
        case "grants", (whom,):
            framework.own.grant(whom, "read")
        case "forgets", (text,):
            for memory in [each for each in framework.own.list() if each.text == text]:
                framework.own.forget(memory.id)
        case "drains", ():
            return framework.memos.drain()  # type: ignore[attr-defined]
        case "hears", (question, owner, cube):
            try:
                return sorted(framework.hears(question, owner=owner, cube=cube))
            except NotFound:
                return "nothing there"
    return None


if __name__ == "__main__":
    serve(*sys.argv[1:])
