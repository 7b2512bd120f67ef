"""What of a memory stands before the model already: the turns of the conversation that it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AnyMessage

from langchain_memos.kept import IN_VIEW, Turns, kept_by
from langchain_memos.turns import words_of
from langchain_memos.whose import Whose
from memos_core import Memory


@dataclass(frozen=True, slots=True)
class InView:
    """The messages of a prompt, by the memories that they were kept as, and by their words."""

    session: str | None
    memories: frozenset[str]
    texts: frozenset[str]

    @classmethod
    def of(cls, messages: Sequence[AnyMessage], session: str | None, turns: Turns) -> InView:
        """Look at a prompt's last messages; `turns` are those of them that are known to be kept."""
        last = messages[-IN_VIEW:]
        known = (turns.get(message.id or "") for message in last)
        return cls(
            session,
            frozenset(turn["memory"] for turn in known if turn is not None),
            frozenset(words_of(message) for message in last),
        )

    @classmethod
    def in_state(cls, state: Any, who: Whose) -> InView:
        """Look at the messages of a graph's state, whatever form that has."""
        if isinstance(state, Mapping):
            return cls.of(state.get("messages", ()), who.session, kept_by(who, state))
        messages = state if isinstance(state, list) else getattr(state, "messages", ())
        return cls.of(messages, who.session, {})

    @property
    def most(self) -> int:
        """How many memories at most stand in view."""
        return max(len(self.texts), len(self.memories))

    def shows(self, memory: Memory) -> bool:
        """Return whether a memory is a turn of this very conversation that stands in the prompt."""
        return memory.id in self.memories or (memory.session == self.session and memory.text in self.texts)
