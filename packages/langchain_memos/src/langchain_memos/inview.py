"""What of a memory stands before the model already: the turns of the conversation that it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AnyMessage

from langchain_memos.kept import Turns, kept_in
from langchain_memos.turns import words_of
from memos_core import Memory

_MOST = 100  # messages at the end of a conversation that are looked for among the hits


@dataclass(frozen=True, slots=True)
class InView:
    """The messages of a prompt, by the memories that they were kept as, and by their words."""

    session: str | None
    memories: frozenset[str]
    texts: frozenset[str]

    @classmethod
    def of(cls, messages: Sequence[AnyMessage], session: str | None, turns: Turns) -> InView:
        """Look at a prompt's last messages; `turns` are those of them that are known to be kept."""
        last = messages[-_MOST:]
        known = (turns.get(message.id or "") for message in last)
        return cls(
            session,
            frozenset(turn["memory"] for turn in known if turn is not None),
            frozenset(words_of(message) for message in last),
        )

    @classmethod
    def in_state(cls, state: Any, session: str | None) -> InView:
        """Look at the messages of a graph's state, whatever form that has."""
        if isinstance(state, Mapping):
            return cls.of(state.get("messages", ()), session, kept_in(state))
        messages = state if isinstance(state, list) else getattr(state, "messages", ())
        return cls.of(messages, session, {})

    @property
    def most(self) -> int:
        """How many memories at most stand in view."""
        return max(len(self.texts), len(self.memories))

    def shows(self, memory: Memory) -> bool:
        """Return whether a memory is a turn of this very conversation that stands in the prompt."""
        return memory.id in self.memories or (memory.session == self.session and memory.text in self.texts)
