"""Two users, three sessions, a restart between any two: an agent that knows whom it talks with.

The model is a parrot: it answers with the notes that memory put before it. Any chat model goes in its place.
"""

from __future__ import annotations

import tempfile
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from langchain_memos import MemOSMiddleware
from memos_core import MemOS

SESSIONS = (
    ("mira", "I am allergic to walnuts, and I live in Porto."),
    ("ivo", "I mend violins. My shop is in Lisbon."),
    ("mira", "Which city do I live in?"),
)


class Parrot(BaseChatModel):
    """Repeats the notes of its system message."""

    @property
    def _llm_type(self) -> str:
        return "parrot"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        notes = [line for line in messages[0].text.splitlines() if line.startswith("- [")]
        said = "I remember:\n" + "\n".join(notes) if notes else "I remember nothing about that yet."
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said))])


def main() -> None:
    """Hold each session with a store that was opened for it alone."""
    with tempfile.TemporaryDirectory() as folder:
        for number, (user, text) in enumerate(SESSIONS, start=1):
            with MemOS.open(folder) as memos:
                agent = create_agent(Parrot(), middleware=[MemOSMiddleware(memos, k=3)])
                state = agent.invoke(
                    {"messages": [("user", text)]},
                    config={"configurable": {"thread_id": f"session {number}"}},
                    context={"user_id": user},
                )
                print(f"{user}: {text}\nagent: {state['messages'][-1].text}\n")


if __name__ == "__main__":
    main()
