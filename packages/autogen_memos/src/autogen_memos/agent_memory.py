"""The memory of one agent of a team: its notes, the team's blackboard and the lore, in one object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

from autogen_core import CancellationToken, Component
from autogen_core.memory import Memory, MemoryContent, MemoryQueryResult, UpdateContextResult
from autogen_core.model_context import ChatCompletionContext
from pydantic import BaseModel, ConfigDict

from autogen_memos.briefing import Briefing, briefed
from autogen_memos.catching_up import mark_read, news_for
from autogen_memos.clearing import cleared
from autogen_memos.contents import content_of, statement_of
from autogen_memos.notes import HEADING, Mark, Role, already_told, in_view, last_question
from autogen_memos.placing import placed
from autogen_memos.scopes import Crew, Scope, checked_scope
from autogen_memos.standing import Standing
from autogen_memos.waiting import awaited
from autogen_memos.written_down import store_from_config, store_to_config
from memos_core import Change, Conflict, Erasure, Hit, InvalidInput, MemCube, MemOS, NotFound, Where


class AgentMemoryConfig(BaseModel):
    """An AgentMemory as it is written down. `store` are the Settings of its MemOS, without secrets."""

    model_config = ConfigDict(extra="forbid")

    store: dict[str, Any]
    owner: str
    team: str
    agent: str
    lore: str | None = None
    k: int = 8
    budget: int = 768
    news: int = 8
    inject_as: Role = "user"
    heading: str = HEADING


class AgentMemory(Memory, Component[AgentMemoryConfig]):
    """What one agent of a team remembers. Made by `TeamMemory.agent`.

    *Before each run* one message of the model context tells what others wrote on the blackboard since
    the agent's last turn (at most `news` of it, in half of the budget), and what its notes, the
    blackboard and the lore say to the question: quoted, dated, with place and author. What the agent
    writes is written as `team/agent`. How far it has read is kept in its notes, so it goes on there
    after a restart.
    """

    component_type: ClassVar[str] = "memory"
    component_provider_override: ClassVar[str | None] = "autogen_memos.AgentMemory"
    component_config_schema = AgentMemoryConfig

    def __init__(
        self,
        memos: MemOS,
        crew: Crew,
        agent: str,
        *,
        k: int = 8,
        budget: int = 768,
        news: int = 8,
        inject_as: Role = "user",
        heading: str = HEADING,
    ) -> None:
        for name, value, least in (("k", k, 1), ("budget", budget, 1), ("news", news, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InvalidInput(f"{name} must be a whole number from {least}, not {value!r}")
        self.crew, self.agent, self.k, self.budget, self.most_news = crew, agent, k, budget, news
        self.principal = crew.principal(agent)
        self.memos = memos.as_principal(self.principal)
        self._mark = Mark(label=f"{crew.team} {agent}", role=inject_as, heading=heading)
        self._on = Standing(self.memos)

    # --- AutoGen's verbs ---------------------------------------------------------------------

    async def update_context(self, model_context: ChatCompletionContext) -> UpdateContextResult:
        """Tell the model what is new and what fits the last message, in place of what it was told before."""
        messages = await model_context.get_messages()
        question = last_question(messages)
        brief = Briefing()
        if question is not None:
            told = already_told(messages, self._mark)
            brief = await awaited(
                None, self.briefing, question, seen=in_view(messages), told=told, budget=self.budget
            )
        note = self._mark.message(brief.lines) if brief.lines else None
        shown = await placed(model_context, self._mark, note)
        if shown:
            await self.mark_read(brief.upto)
        return UpdateContextResult(memories=MemoryQueryResult(results=list(brief.contents) if shown else []))

    async def query(
        self,
        query: str | MemoryContent,
        cancellation_token: CancellationToken | None = None,
        **kwargs: Any,
    ) -> MemoryQueryResult:
        """Return what answers best in all scopes, or in one `scope`; `k` and `where` may be given."""
        unknown = sorted(set(kwargs) - {"scope", "k", "where"})
        if unknown:
            raise InvalidInput(f"query takes no {', '.join(unknown)}; it takes scope, k, where")
        asked = statement_of(query).text if isinstance(query, MemoryContent) else query
        found = await awaited(cancellation_token, self._recalled, asked, **kwargs)
        return MemoryQueryResult(
            results=[
                content_of(hit.memory, cube=cube.name, hit=hit, scope=scope) for scope, cube, hit in found
            ]
        )

    async def add(self, content: MemoryContent, cancellation_token: CancellationToken | None = None) -> None:
        """Keep a content in the scope that its metadata name: "agent" (without one), "team" or "global".

        Forbidden for the lore, which agents only read; otherwise as `MemOSMemory.add`.
        """
        statement = statement_of(content)
        scope = checked_scope((content.metadata or {}).get("scope", Scope.AGENT))
        await awaited(
            cancellation_token, lambda: statement.keep(self._cube(scope), visibility=scope.visibility)
        )

    async def clear(self) -> None:
        """Erase the agent's own notes. The blackboard and the lore are not its to clear."""
        await awaited(None, lambda: cleared(self._cube(Scope.AGENT), who=self.memos.principal))

    async def close(self) -> None:
        """End the use of this memory, as `MemOSMemory.close` does; the rest of the team is not disturbed."""
        await self._on.end()

    # --- ours --------------------------------------------------------------------------------

    async def post(self, text: str, **metadata: Any) -> MemoryContent:
        """Write on the blackboard; return what stands there, with its id and version."""
        return await self._stated(Scope.TEAM, text, metadata)

    async def note(self, text: str, **metadata: Any) -> MemoryContent:
        """Write into the agent's own notes; return what stands there."""
        return await self._stated(Scope.AGENT, text, metadata)

    async def revise(
        self, memory_id: str, text: str, *, expected: int, scope: Scope | str = Scope.TEAM
    ) -> MemoryContent:
        """Write the next version of what was read as version `expected`; Conflict if somebody was faster."""
        cube = await awaited(None, self._cube, checked_scope(scope))
        memory = await awaited(None, cube.revise, memory_id, text, expected=expected)
        return content_of(memory, cube=cube.name, scope=checked_scope(scope))

    async def rewrite(
        self,
        memory_id: str,
        change: Callable[[str], str],
        *,
        attempts: int = 50,
        scope: Scope | str = Scope.TEAM,
    ) -> MemoryContent:
        """Read a memory, change its text, and write it, again if somebody wrote between; return it.

        Raises Conflict after so many attempts. `change` is called in a thread, once an attempt.
        """
        cube = await awaited(None, self._cube, checked_scope(scope))
        memory = await awaited(None, _rewritten, cube, memory_id, change, attempts)
        return content_of(memory, cube=cube.name, scope=checked_scope(scope))

    async def delete(
        self,
        memory_id: str,
        *,
        scope: Scope | str = Scope.AGENT,
        cancellation_token: CancellationToken | None = None,
    ) -> Erasure:
        """Erase one memory of a scope with all its versions; return the receipt."""
        return await awaited(cancellation_token, lambda: self._cube(checked_scope(scope)).forget(memory_id))

    async def news(self) -> list[Change]:
        """Return what others wrote on the blackboard since this agent's last turn, the oldest first."""
        found, _ = await awaited(None, self._news)
        return found

    async def mark_read(self, upto: int) -> None:
        """Say that the agent has seen the blackboard up to a change."""
        await awaited(None, lambda: mark_read(self._cube(Scope.TEAM), self._cube(Scope.AGENT), upto))

    def briefing(
        self, question: str, *, seen: set[str] | frozenset[str] = frozenset(), told: str = "", budget: int
    ) -> Briefing:
        """Return what the agent should know to a question, within so many tokens. Blocking."""
        news, upto = self._news()
        return briefed(
            self._recalled(question, k=self.k + len(seen))[: self.k + len(seen)],
            news[-self.most_news :] if self.most_news else [],
            board=self._cube(Scope.TEAM).name,
            reader=self.principal,
            seen=seen,
            told=told,
            most=self.k,
            budget=budget,
            upto=upto,
        )

    def _news(self) -> tuple[list[Change], int]:
        return news_for(self._cube(Scope.TEAM), self._cube(Scope.AGENT), reader=self.principal)

    def _cube(self, scope: Scope) -> MemCube:
        where = self.crew.cube(scope)
        if where is None:
            raise NotFound("scope", scope)
        return self._on.cube(*where)

    def _recalled(
        self,
        query: str,
        *,
        scope: Scope | str | None = None,
        k: int | None = None,
        where: Where | None = None,
    ) -> list[tuple[Scope, MemCube, Hit]]:
        """Return hits of the scopes, best first: likeness is what compares between cubes."""
        asked = [checked_scope(scope)] if scope is not None else list(Scope)
        k, found = self.k if k is None else k, list[tuple[Scope, MemCube, Hit]]()
        for each in asked:
            if scope is None and self.crew.cube(each) is None:
                continue
            cube = self._cube(each)
            found += [(each, cube, hit) for hit in cube.recall(query, k=k, where=where)]
        if scope is None:
            found.sort(key=lambda each: -(each[2].likeness or 0.0))
        return found[:k]

    async def _stated(self, scope: Scope, text: str, metadata: dict[str, Any]) -> MemoryContent:
        content = MemoryContent(content=text, mime_type="text/plain", metadata=metadata)
        statement = statement_of(content)
        cube = await awaited(None, self._cube, scope)
        memory = await awaited(None, lambda: statement.keep(cube, visibility=scope.visibility))
        return content_of(memory, cube=cube.name, scope=scope)

    # --- written down and read back ----------------------------------------------------------

    def _to_config(self) -> AgentMemoryConfig:
        return AgentMemoryConfig(
            store=store_to_config(self.memos),
            owner=self.crew.owner,
            team=self.crew.team,
            agent=self.agent,
            lore=self.crew.lore,
            k=self.k,
            budget=self.budget,
            news=self.most_news,
            inject_as=self._mark.role,
            heading=self._mark.heading,
        )

    @classmethod
    def _from_config(cls, config: AgentMemoryConfig) -> Self:
        memos = store_from_config(config.store, principal=config.owner)
        crew = Crew(team=config.team, owner=config.owner, lore=config.lore)
        memory = cls(
            memos,
            crew,
            config.agent,
            k=config.k,
            budget=config.budget,
            news=config.news,
            inject_as=config.inject_as,
            heading=config.heading,
        )
        memory._on.lent = memos
        return memory


def _rewritten(cube: MemCube, memory_id: str, change: Callable[[str], str], attempts: int) -> Any:
    for left in reversed(range(attempts)):
        memory = cube.get(memory_id)
        try:
            return cube.revise(memory_id, change(memory.text), expected=memory.version)
        except Conflict:
            if not left:
                raise
    raise InvalidInput(f"attempts must be at least 1, not {attempts!r}")


def agents_of(names: object) -> Sequence[str]:
    """Return the names of a team's agents; a bare string is refused."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise InvalidInput(f"agents must be several names, not {names!r}: write [name]")
    return tuple(dict.fromkeys(names))
