"""A model that says what a test wrote down, and keeps what it was asked."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    LLMMetadata,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from pydantic import Field

Line = str | ChatMessage | Callable[[list[ChatMessage]], "str | ChatMessage"]


class Scripted(FunctionCallingLLM):
    """Says its lines in order; a line that is a function is asked with the messages."""

    lines: list[Any]
    asked: list[list[ChatMessage]] = Field(default_factory=list)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_chat_model=True, is_function_calling_model=True, context_window=8_192)

    def chat(self, messages: Sequence[ChatMessage], **_: Any) -> ChatResponse:
        self.asked.append([message.model_copy(deep=True) for message in messages])
        line = self.lines[len(self.asked) - 1]
        said = line(messages) if callable(line) else line
        message = ChatMessage(role="assistant", content=said) if isinstance(said, str) else said
        return ChatResponse(message=message.model_copy(deep=True), delta=message.content or "")

    def stream_chat(self, messages: Sequence[ChatMessage], **given: Any) -> ChatResponseGen:
        answer = self.chat(messages, **given)
        return (each for each in [answer])

    async def achat(self, messages: Sequence[ChatMessage], **given: Any) -> ChatResponse:
        return self.chat(messages, **given)

    async def astream_chat(self, messages: Sequence[ChatMessage], **given: Any) -> ChatResponseAsyncGen:
        answer = self.chat(messages, **given)

        async def said() -> ChatResponseAsyncGen:
            yield answer

        return said()

    def complete(self, prompt: str, formatted: bool = False, **given: Any) -> CompletionResponse:
        return CompletionResponse(text=self.chat([ChatMessage(content=prompt)]).message.content or "")

    async def acomplete(self, prompt: str, formatted: bool = False, **given: Any) -> CompletionResponse:
        return self.complete(prompt)

    def stream_complete(self, prompt: str, formatted: bool = False, **given: Any) -> Any:
        return (each for each in [self.complete(prompt)])

    async def astream_complete(self, prompt: str, formatted: bool = False, **given: Any) -> Any:
        raise NotImplementedError

    def _prepare_chat_with_tools(
        self, tools: Any, user_msg: Any = None, chat_history: Any = None, **_: Any
    ) -> dict[str, Any]:
        return {"messages": [*(chat_history or []), *([user_msg] if user_msg else [])]}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = False, **_: Any
    ) -> list[ToolSelection]:
        calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        return [
            ToolSelection(
                tool_id=call.tool_call_id or "", tool_name=call.tool_name, tool_kwargs=dict(call.tool_kwargs)
            )
            for call in calls
        ]

    # --- what it was asked -------------------------------------------------------------------

    def notes(self, call: int = -1) -> list[str]:
        """Return the quoted lines of memory in a call, wherever they stood."""
        texts = (
            block.text
            for message in self.asked[call]
            for block in message.blocks
            if isinstance(block, TextBlock)
        )
        return [line for text in texts for line in text.splitlines() if line.startswith("- [")]

    def roles(self, call: int = -1) -> list[str]:
        return [message.role.value for message in self.asked[call]]


def calls(name: str, **arguments: Any) -> ChatMessage:
    """Return the message of a model that calls one tool."""
    block = ToolCallBlock(tool_call_id=f"call-{uuid.uuid4().hex[:6]}", tool_name=name, tool_kwargs=arguments)
    return ChatMessage(role="assistant", blocks=[block])


def told(messages: Sequence[ChatMessage]) -> str:
    """Return what the last tool said."""
    return next(message.content or "" for message in reversed(messages) if message.role == MessageRole.TOOL)


def acts(thought: str, action: str, **given: Any) -> str:
    """Return a line of a ReAct model that calls a tool."""
    return f"Thought: {thought}\nAction: {action}\nAction Input: {json.dumps(given)}\n"


def answers(words: str) -> str:
    """Return the last line of a ReAct model."""
    return f"Thought: I can answer.\nAnswer: {words}"


def user(words: str) -> ChatMessage:
    return ChatMessage(role="user", content=words)


def assistant(words: str) -> ChatMessage:
    return ChatMessage(role="assistant", content=words)
