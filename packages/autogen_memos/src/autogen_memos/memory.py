"""Memory for one agent: a cube behind AutoGen's five verbs, and two more."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar, Self

from autogen_agentchat.base import TaskResult
from autogen_core import CancellationToken, Component
from autogen_core.memory import Memory, MemoryContent, MemoryQueryResult, UpdateContextResult
from autogen_core.model_context import ChatCompletionContext
from pydantic import BaseModel, ConfigDict

from autogen_memos.clearing import cleared
from autogen_memos.contents import content_of, statement_of, tag_of
from autogen_memos.notes import HEADING, Found, Mark, Role, in_view, last_question, within
from autogen_memos.placing import placed
from autogen_memos.said import messages_of
from autogen_memos.standing import Standing
from autogen_memos.waiting import awaited
from autogen_memos.written_down import (
    store_from_config,
    store_to_config,
    where_from_config,
    where_to_config,
)
from memos_core import Erasure, InvalidInput, MemCube, MemOS, Message, Recall, Visibility, Where

_ASKED = ("k", "budget", "where", "session", "metadata")


class MemOSMemoryConfig(BaseModel):
    """A MemOSMemory as it is written down. `store` are the Settings of its MemOS; nothing secret is in it."""

    model_config = ConfigDict(extra="forbid")

    store: dict[str, Any]
    user: str
    cube: str = "memory"
    owner: str | None = None
    k: int = 8
    budget: int = 512
    where: dict[str, Any] | None = None
    session: str | None = None
    visibility: str = Visibility.PRIVATE.value
    inject_as: Role = "user"
    heading: str = HEADING


class MemOSMemory(Memory, Component[MemOSMemoryConfig]):
    """Gives an agent the memories of one cube, and keeps what it is told to keep.

    ::

        agent = AssistantAgent("assistant", model, memory=[MemOSMemory(memos, user="mira")])
        result = await agent.run(task="Where do I live?")
        await memory.remember_result(result)

    *Before each run* what was said last is recalled; at most `k` memories within `budget` tokens stand
    in one message of the model context, quoted, dated, and with the name of whoever else wrote them.
    The next run replaces that message. It speaks in the user's role unless `inject_as` is "system";
    in both it works with models that refuse several system messages.

    `user` is who acts (None: the principal of `memos`), `owner` whose cube it is if it is somebody
    else's, `visibility` that of what is written ("shared" in a cube that others read). `where`
    and `session` narrow what is recalled. Safe from several event loops and threads; no verb blocks
    a loop. A failing back end raises; it never looks like an empty memory.
    """

    component_type: ClassVar[str] = "memory"
    component_provider_override: ClassVar[str | None] = "autogen_memos.MemOSMemory"
    component_config_schema = MemOSMemoryConfig

    def __init__(
        self,
        memos: MemOS,
        *,
        user: str | None = None,
        cube: str = "memory",
        owner: str | None = None,
        k: int = 8,
        budget: int = 512,
        where: Where | None = None,
        session: str | None = None,
        visibility: Visibility | str = Visibility.PRIVATE,
        inject_as: Role = "user",
        heading: str = HEADING,
    ) -> None:
        for name, value in (("k", k), ("budget", budget)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidInput(f"{name} must be a whole number from 1, not {value!r}")
        self.memos = memos if user is None else memos.as_principal(user)
        self.cube, self.owner, self.k, self.budget = cube, owner, k, budget
        self.where, self.session, self.visibility = where, session, str(visibility)
        self.mark = Mark(label=cube if owner is None else f"{owner}/{cube}", role=inject_as, heading=heading)
        self._on = Standing(self.memos)

    @property
    def name(self) -> str:
        """What the memory is called in a prompt: the cube, after its owner if that is somebody else."""
        return self.mark.label

    @property
    def user(self) -> str:
        """Who acts: whose name what is written carries."""
        return self.memos.principal.name

    # --- AutoGen's verbs ---------------------------------------------------------------------

    async def update_context(self, model_context: ChatCompletionContext) -> UpdateContextResult:
        """Put what the memory says to the last message into the context, in place of what it said before."""
        messages = await model_context.get_messages()
        question = last_question(messages)
        found = Found() if question is None else await awaited(None, self.found, question, in_view(messages))
        note = self.mark.message(found.lines) if found.lines else None
        shown = await placed(model_context, self.mark, note)
        return UpdateContextResult(memories=MemoryQueryResult(results=list(found.contents) if shown else []))

    async def query(
        self,
        query: str | MemoryContent,
        cancellation_token: CancellationToken | None = None,
        **kwargs: Any,
    ) -> MemoryQueryResult:
        """Return the memories that answer the query best, best first; ids and scores are metadata.

        `k`, `budget`, `where` (a memos_core.Where) and `session` may be given to one call, and
        `metadata`, a dict: what was added with these values.
        """
        unknown = sorted(set(kwargs) - set(_ASKED))
        if unknown:
            raise InvalidInput(f"query takes no {', '.join(unknown)}; it takes {', '.join(_ASKED)}")
        asked = statement_of(query).text if isinstance(query, MemoryContent) else query
        found = await awaited(cancellation_token, self._recalled, asked, **kwargs)
        return MemoryQueryResult(results=[content_of(hit.memory, cube=self.cube, hit=hit) for hit in found])

    async def add(self, content: MemoryContent, cancellation_token: CancellationToken | None = None) -> None:
        """Keep a content: text, markdown or a JSON object.

        Of its metadata `kind tags at ttl visibility sensitivity priority` are what `MemCube.remember`
        calls so; the rest comes back with it and can be asked for. InvalidInput for pictures, bytes,
        other mime types, and metadata that is no JSON.
        """
        statement = statement_of(content)
        await awaited(cancellation_token, lambda: statement.keep(self._cube(), visibility=self.visibility))

    async def clear(self) -> None:
        """Erase everything in the cube. Forbidden for whoever does not own it; nothing is erased then."""
        await awaited(None, lambda: cleared(self._cube(), who=self.memos.principal))

    async def close(self) -> None:
        """End the use of this memory: its verbs raise Closed from now on. Others are not disturbed.

        A store that was opened for a loaded config closes with its last user; one that was handed in
        stays open.
        """
        await self._on.end()

    # --- ours --------------------------------------------------------------------------------

    async def delete(self, memory_id: str, cancellation_token: CancellationToken | None = None) -> Erasure:
        """Erase one memory with all its versions; return the receipt."""
        return await awaited(cancellation_token, lambda: self._cube().forget(memory_id))

    async def remember_result(
        self,
        result: TaskResult,
        *,
        session: str | None = None,
        cancellation_token: CancellationToken | None = None,
    ) -> list[str]:
        """Keep verbatim what was said in a run; return the memories' ids, in order.

        Each message keeps its source as speaker, its time and its id: a result that is given again,
        or that begins with what another has said, keeps nothing twice.
        """
        return await self.keep(messages_of(result), session=session, cancellation_token=cancellation_token)

    async def keep(
        self,
        said: Sequence[Message],
        *,
        session: str | None = None,
        cancellation_token: CancellationToken | None = None,
    ) -> list[str]:
        """Keep messages of the core verbatim, in one transaction; return the memories' ids, in order."""
        session = self.session if session is None else session
        kept = await awaited(
            cancellation_token,
            lambda: self._cube().ingest(said, session=session, visibility=self.visibility),
        )
        return [memory.id for memory in kept]

    def _cube(self) -> MemCube:
        return self._on.cube(self.cube, self.owner)

    def _recalled(
        self,
        query: str,
        *,
        k: int | None = None,
        budget: int | None = None,
        where: Where | None = None,
        session: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Recall:
        where = self.where if where is None else where
        if metadata:
            where = tagged(where or Where(), metadata)
        return self._cube().recall(
            query,
            k=self.k if k is None else k,
            budget=budget,
            where=where,
            session=self.session if session is None else session,
        )

    def found(self, question: str, seen: AbstractSet[str]) -> Found:
        """Return the best memories for a question that do not stand in the prompt already. Blocking."""
        reader = self.memos.principal.name
        hits = [hit for hit in self._recalled(question, k=self.k + len(seen)) if hit.memory.text not in seen]
        chosen = within(hits[: self.k], self.budget, reader=reader)
        chosen.sort(key=lambda each: each[0].memory.at)
        return Found(
            lines=tuple(line for _, line in chosen),
            contents=tuple(content_of(hit.memory, cube=self.cube, hit=hit) for hit, _ in chosen),
        )

    # --- written down and read back ----------------------------------------------------------

    def _to_config(self) -> MemOSMemoryConfig:
        return MemOSMemoryConfig(
            store=store_to_config(self.memos),
            user=self.memos.principal.name,
            cube=self.cube,
            owner=self.owner,
            k=self.k,
            budget=self.budget,
            where=where_to_config(self.where),
            session=self.session,
            visibility=self.visibility,
            inject_as=self.mark.role,
            heading=self.mark.heading,
        )

    @classmethod
    def _from_config(cls, config: MemOSMemoryConfig) -> Self:
        memos = store_from_config(config.store, principal=config.user)
        fields = {name: getattr(config, name) for name in type(config).model_fields}
        given = {name: value for name, value in fields.items() if name not in ("store", "user", "where")}
        memory = cls(memos, where=where_from_config(config.where), **given)
        memory._on.lent = memos
        return memory


def tagged(where: Where, metadata: dict[str, Any]) -> Where:
    """Return the filter narrowed to memories that were added with these pieces of metadata."""
    tags = (*where.tags, *(tag_of(name, value) for name, value in metadata.items()))
    fields = {name: getattr(where, name) for name in Where.__slots__}
    return Where(**{**fields, "tags": tags})
