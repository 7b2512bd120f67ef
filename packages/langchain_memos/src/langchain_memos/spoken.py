"""LangChain's messages as a conversation that a runtime takes."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage

from langchain_memos.turns import words_of
from memos_core import InvalidInput, Message


def as_said(messages: Sequence[BaseMessage]) -> list[Message]:
    """Return the messages with their roles. InvalidInput for tools, pictures, and what else is no text."""
    return [Message(_role(message), _words(message)) for message in messages]


def _role(message: BaseMessage) -> str:
    match message:
        case SystemMessage():
            return "system"
        case HumanMessage():
            return "user"
        case AIMessage() if not message.tool_calls:
            return "assistant"
        case ChatMessage() if message.role in ("system", "user", "assistant"):
            return message.role
    raise InvalidInput(
        f"this model calls no tools and takes no {message.type!r} message: leave it out, "
        f"for example with langchain_core.messages.filter_messages"
    )


def _words(message: BaseMessage) -> str:
    blocks = [message.content] if isinstance(message.content, str) else message.content
    others = sorted(
        {
            str(block.get("type"))
            for block in blocks
            if isinstance(block, dict) and block.get("type") not in ("text", "reasoning", "thinking")
        }
    )
    if others:
        raise InvalidInput(f"this model reads text only: leave out the {', '.join(others)} of the message")
    return words_of(message)
