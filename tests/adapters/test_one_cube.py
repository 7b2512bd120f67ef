"""Agents of several frameworks over one cube: each sees what it was granted, and who wrote it."""

from __future__ import annotations

import asyncio

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from langchain.agents import create_agent

from autogen_memos import MemOSMemory
from langchain_memos import MemOSMiddleware, MemOSRetriever
from memos_core import MemOS, NotFound
from tests.adapters.autogen.scripted import asked, notes_in, replay
from tests.adapters.langchain.scripted import Scripted


class LangChain:
    """An agent of LangChain that keeps what is said in a cube of its own."""

    def __init__(self, memos: MemOS) -> None:
        self.memos, self.name, self.cube = memos, "lina", "memory"
        self.own = memos.as_principal("lina").cube("memory")

    def says(self, text: str) -> None:
        """Keep a text as the framework does, for others to read."""
        agent = create_agent(Scripted(lines=["Noted."]), middleware=[MemOSMiddleware(self.memos)])
        agent.invoke({"messages": [("user", text)]}, {"configurable": {"user_id": self.name}})
        for memory in self.own.list():
            self.own.classify(memory.id, visibility="shared")

    def hears(self, question: str, *, owner: str, cube: str) -> list[tuple[str, str]]:
        """Return what the framework finds in somebody's cube, and who wrote each."""
        retriever = MemOSRetriever(memos=self.memos, user=self.name, cube=cube, owner=owner)
        seen = self.memos.as_principal(self.name).cube(cube, owner=owner)
        found = retriever.invoke(question)
        return [(each.page_content, seen.get(each.id).header.governance.owner) for each in found]


class AutoGen:
    """A team of AutoGen whose agents share a cube."""

    def __init__(self, memos: MemOS) -> None:
        self.memos, self.name, self.cube = memos, "augusta", "memory"
        self.own = memos.as_principal("augusta").cube("memory")

    def says(self, text: str) -> None:
        memory = MemOSMemory(self.memos, user=self.name, visibility="shared")
        team = RoundRobinGroupChat([AssistantAgent("a", replay("Noted."), memory=[memory])], max_turns=1)
        asyncio.run(self._kept(memory, team, text))

    async def _kept(self, memory: MemOSMemory, team: RoundRobinGroupChat, text: str) -> None:
        await memory.remember_result(await team.run(task=text))

    def hears(self, question: str, *, owner: str, cube: str) -> list[tuple[str, str]]:
        memory = MemOSMemory(self.memos, user=self.name, cube=cube, owner=owner)
        client = replay("Yes.")
        agent = AssistantAgent("a", client, memory=[memory])
        asyncio.run(agent.run(task=question))
        found = asyncio.run(memory.query(question)).results
        assert all(f"written by {owner}" in note for note in notes_in(asked(client)))
        return [(str(each.content), (each.metadata or {})["author"]) for each in found]


FRAMEWORKS = {"langchain": LangChain, "autogen": AutoGen}
"""A third joins with a class that has these four names."""

PAIRS = [(one, other) for one in FRAMEWORKS for other in FRAMEWORKS if one != other]


@pytest.mark.parametrize(("writer", "reader"), PAIRS)
def test_each_sees_what_the_other_wrote_once_it_may_and_who_wrote_it(memos, writer, reader):
    wrote, reads = FRAMEWORKS[writer](memos), FRAMEWORKS[reader](memos)
    wrote.says("The mill closed in 1911.")
    with pytest.raises(NotFound):
        reads.hears("When did the mill close?", owner=wrote.name, cube=wrote.cube)
    wrote.own.grant(reads.name, "read")
    heard = reads.hears("When did the mill close?", owner=wrote.name, cube=wrote.cube)
    assert ("The mill closed in 1911.", wrote.name) in heard
    wrote.own.forget(wrote.own.list()[0].id)
    left = reads.hears("When did the mill close?", owner=wrote.name, cube=wrote.cube)
    assert "The mill closed in 1911." not in dict(left)


@pytest.mark.parametrize(("writer", "reader"), PAIRS)
def test_what_is_private_stays_so_in_a_cube_that_both_read(memos, writer, reader):
    wrote, reads = FRAMEWORKS[writer](memos), FRAMEWORKS[reader](memos)
    wrote.says("The mill closed in 1911.")
    wrote.own.remember("The key is under the mat.")
    wrote.own.grant(reads.name, "read")
    heard = dict(reads.hears("Where is the key?", owner=wrote.name, cube=wrote.cube))
    assert "The key is under the mat." not in heard
