"""What a team or an agent said in a run, as messages that the core keeps verbatim."""

from __future__ import annotations

from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import BaseChatMessage, MultiModalMessage

from memos_core import InvalidInput, Message


def messages_of(result: TaskResult) -> list[Message]:
    """Return what was said, under the messages' own ids, sources and times; events say nothing.

    Of a message with pictures its words are kept. InvalidInput where it is no result of a run.
    """
    if not isinstance(result, TaskResult):
        raise InvalidInput(f"remember_result takes the TaskResult of a run, not {type(result).__name__}")
    said = [message for message in result.messages if isinstance(message, BaseChatMessage)]
    return [
        Message(
            message.source,
            words,
            at=message.created_at,
            role="user" if message.source == "user" else "assistant",
            id=message.id,
        )
        for message in said
        if (words := _words(message)).strip()
    ]


def _words(message: BaseChatMessage) -> str:
    if isinstance(message, MultiModalMessage):
        return "\n".join(part for part in message.content if isinstance(part, str))
    return message.to_model_text()
