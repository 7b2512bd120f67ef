"""The memory of a team: who is in it, what everybody may read, what the next agent needs to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Self

from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import HandoffMessage
from autogen_core.memory import MemoryContent

from autogen_memos.agent_memory import AgentMemory, agents_of
from autogen_memos.contents import content_of
from autogen_memos.notes import Mark, tokens
from autogen_memos.said import messages_of
from autogen_memos.scopes import Crew, Scope, gathered
from autogen_memos.waiting import awaited
from memos_core import InvalidInput, Memory, MemOS, NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoffPack:
    """What the next agent needs to know: the lines of a prompt, and the same as contents."""

    to: str
    task: str
    text: str
    contents: tuple[MemoryContent, ...]

    def message(self, *, source: str) -> HandoffMessage:
        """Return AutoGen's message that hands the task over, with the pack as its context."""
        context = [self.mark.message(self.text.splitlines())] if self.text else []
        return HandoffMessage(target=self.to, content=self.task, source=source, context=context)

    @property
    def mark(self) -> Mark:
        return Mark(label=f"handoff to {self.to}")


class TeamMemory:
    """Private notes, a shared blackboard and read-only lore for the agents of a team.

    ::

        team = await TeamMemory.open(memos, "research", agents=["finder", "writer"])
        finder = AssistantAgent("finder", model, memory=[team.agent("finder")])

    The principal of `memos` owns the blackboard and the lore, a cube that several teams may read; each
    agent owns its notes and acts as `team/agent`. What an agent may see is decided by the core: another
    team's blackboard and another agent's notes do not exist for it. Opened again with other agents,
    those who are no longer named lose their rights.
    """

    def __init__(self, memos: MemOS, crew: Crew, agents: Sequence[str]) -> None:
        self.memos, self.crew, self.agents = memos, crew, agents

    @classmethod
    async def open(cls, memos: MemOS, team: str, *, agents: Sequence[str], lore: str | None = "lore") -> Self:
        """Make the team's cubes and grants, or find them as they are; `lore` None is a team without."""
        crew, names = Crew(team=team, owner=memos.principal.name, lore=lore), agents_of(agents)
        await awaited(None, gathered, memos, crew, names)
        return cls(memos, crew, names)

    def agent(self, name: str, **given: Any) -> AgentMemory:
        """Return the memory of one agent; `given` are `k budget news inject_as heading` of AgentMemory."""
        if name not in self.agents:
            raise NotFound("agent", str(name))
        return AgentMemory(self.memos, self.crew, name, **given)

    async def teach(self, text: str, **given: Any) -> MemoryContent:
        """Write into the lore, as its owner; `given` are arguments of `MemCube.remember`."""
        if self.crew.lore is None:
            raise NotFound("scope", Scope.GLOBAL)
        lore = await awaited(None, self.memos.cube, self.crew.lore)
        memory = await awaited(None, lambda: lore.remember(text, **{"visibility": "shared", **given}))
        return content_of(memory, cube=lore.name, scope=Scope.GLOBAL)

    async def remember_result(self, result: TaskResult, *, session: str | None = None) -> list[str]:
        """Keep on the blackboard what was said in a run, each message as its agent; return ids, in order.

        What others said (the user) is written as the team's owner. Twice is once.
        """
        kept = await awaited(None, self._kept, result, session)
        return [memory.id for memory in kept]

    def _kept(self, result: TaskResult, session: str | None) -> list[Memory]:
        kept: list[Memory] = []
        for speaker, said in groupby(messages_of(result), key=lambda message: message.speaker):
            mine = speaker in self.agents
            who = self.memos.as_principal(self.crew.principal(speaker)) if mine else self.memos
            board = who.cube(self.crew.board, owner=self.crew.owner)
            kept += board.ingest(list(said), session=session, visibility=Scope.TEAM.visibility)
        return kept

    async def handoff(self, to: str, task: str, *, budget: int = 1024) -> HandoffPack:
        """Return what an agent needs to know to take a task over, within so many tokens.

        What is new to it on the blackboard, then what its notes, the blackboard and the lore say to the
        task; nothing that it may not see. The news count as read.
        """
        if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
            raise InvalidInput(f"budget must be a number of tokens from 1, not {budget!r}")
        memory = self.agent(to)
        head = tokens(str(Mark(label=f"handoff to {to}").message([]).content))
        brief = await awaited(None, memory.briefing, task, budget=max(budget - head, 0))
        if brief.lines:
            await memory.mark_read(brief.upto)
        return HandoffPack(to=to, task=task, text="\n".join(brief.lines), contents=brief.contents)
