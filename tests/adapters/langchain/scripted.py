"""A chat model that says what a test wrote down, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

Line = str | AIMessage | Callable[[list[BaseMessage]], "str | AIMessage"]


class Scripted(BaseChatModel):
    """Says its lines in order; a line that is a function is asked with the messages."""

    lines: list[Any]
    asked: list[list[BaseMessage]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Scripted:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self.asked.append(list(messages))
        line = self.lines[len(self.asked) - 1]
        said = line(messages) if callable(line) else line
        message = AIMessage(said) if isinstance(said, str) else said
        return ChatResult(generations=[ChatGeneration(message=message.model_copy())])

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return self._generate(messages)

    def system(self, call: int = -1) -> str:
        """Return the system message of a call, "" if it had none; there is never more than one."""
        systems = [message for message in self.asked[call] if message.type == "system"]
        assert len(systems) <= 1
        return str(systems[0].text) if systems else ""


def calls(name: str, **arguments: Any) -> AIMessage:
    """Return the message of a model that calls one tool."""
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call-{name}"}])
