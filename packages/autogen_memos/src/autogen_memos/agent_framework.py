"""Memory for Microsoft Agent Framework, AutoGen's successor: needs the extra `agent-framework`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from agent_framework import AgentSession, ContextProvider, Message, SessionContext, SupportsAgentRun

from autogen_memos.memory import MemOSMemory
from autogen_memos.notes import MOST_IN_VIEW, Mark
from autogen_memos.waiting import awaited
from memos_core import MemOS
from memos_core import Message as Said


def _now() -> datetime:
    return datetime.now(UTC)


class MemOSContextProvider(ContextProvider):
    """Gives an agent the memories of one cube, and keeps what was said.

    ::

        agent = Agent(client, context_providers=[MemOSContextProvider(memos, user="mira")])

    *Before each run* the user's last words are recalled; the memories are added to that run only, quoted,
    dated, with the name of whoever else wrote them: as a message in the user's role, or among the
    instructions with `inject_as="system"`. *After it* the exchange is kept verbatim under the
    session's id (`write=False` for not at all). `given` are the other settings of MemOSMemory.
    """

    def __init__(
        self,
        memos: MemOS,
        *,
        source_id: str = "memos",
        write: bool = True,
        clock: Callable[[], datetime] = _now,
        **given: Any,
    ) -> None:
        super().__init__(source_id)
        self.memory, self.write, self.clock = MemOSMemory(memos, **given), write, clock

    async def before_run(
        self,
        *,
        agent: SupportsAgentRun,  # noqa: ARG002 - the framework's signature
        session: AgentSession,  # noqa: ARG002
        context: SessionContext,
        state: dict[str, Any],  # noqa: ARG002
    ) -> None:
        """Add what the memory says to the user's last words, for this run."""
        question = next(
            (
                each.text
                for each in reversed(context.input_messages)
                if each.role == "user" and each.text.strip()
            ),
            None,
        )
        if question is None:
            return
        prompt = context.get_messages(include_input=True)
        seen = {each.text for each in prompt[-MOST_IN_VIEW:]}
        found = await awaited(None, self.memory.found, question, seen)
        if not found.lines:
            return
        mark: Mark = self.memory.mark
        notes = str(mark.message(found.lines).content)
        if mark.role == "system":
            context.extend_instructions(self.source_id, notes)
        else:
            context.extend_messages(self, [Message("user", [notes], author_name=self.source_id)])

    async def after_run(
        self,
        *,
        agent: SupportsAgentRun,
        session: AgentSession,  # noqa: ARG002 - the framework's signature
        context: SessionContext,
        state: dict[str, Any],  # noqa: ARG002
    ) -> None:
        """Keep what the user and the agent said in this run."""
        if not self.write:
            return
        answers = [] if context.response is None else context.response.messages
        name = agent.name or "assistant"
        said = said_in(
            [*context.input_messages, *answers], user=self.memory.user, agent=name, at=self.clock()
        )
        if said:
            await self.memory.keep(said, session=context.session_id)


def said_in(messages: Sequence[Message], *, user: str, agent: str, at: datetime) -> list[Said]:
    """Return the words of user and assistant under the messages' own ids; tools do not converse."""
    speakers = {"user": user, "assistant": agent}
    return [
        Said(
            message.author_name or speakers[message.role],
            message.text,
            at=at,
            role=message.role,
            id=message.message_id,
        )
        for message in messages
        if message.role in speakers and message.text.strip()
    ]
