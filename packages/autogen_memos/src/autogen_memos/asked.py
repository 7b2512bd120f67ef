"""AutoGen's messages and options as a conversation that a runtime takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from autogen_core.models import AssistantMessage, LLMMessage, SystemMessage, UserMessage

from memos_core import InvalidInput, Message

SAMPLED: Final = ("temperature", "max_tokens", "top_p", "top_k", "seed", "stop")
_PER_CALL: Final = (*SAMPLED, "user", "cube", "owner")


def as_said(messages: Sequence[LLMMessage]) -> list[Message]:
    """Return the messages with their roles. InvalidInput for tools, pictures, and what else is no text."""
    return [_said(message) for message in messages]


def checked_options(
    *, tools: Sequence[object], tool_choice: object, json_output: object, given: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return what one call says otherwise; InvalidInput for what the model cannot do."""
    if tools or tool_choice not in ("auto", "none"):
        raise InvalidInput("this model calls no tools: leave `tools` and `tool_choice` out")
    if json_output:
        raise InvalidInput("this model promises no JSON: leave `json_output` out, and read its text")
    unknown = sorted(set(given) - set(_PER_CALL))
    if unknown:
        raise InvalidInput(
            f"extra_create_args has {', '.join(unknown)}; one call may say {', '.join(_PER_CALL)}"
        )
    return given


def estimated(messages: Sequence[LLMMessage]) -> int:
    """Return a cautious count of the tokens of these messages: one per three bytes of UTF-8, four a turn."""
    texts = [message.content if isinstance(message.content, str) else "" for message in messages]
    return sum(4 - (-len(text.encode("utf-8")) // 3) for text in texts)


def _said(message: LLMMessage) -> Message:
    match message:
        case SystemMessage(content=text):
            return Message("system", text, role="system")
        case UserMessage(content=str(text)):
            return Message("user", text, role="user")
        case UserMessage(content=parts) if all(isinstance(part, str) for part in parts):
            return Message("user", "\n".join(map(str, parts)), role="user")
        case UserMessage():
            raise InvalidInput("this model reads text only: leave the pictures out of the message")
        case AssistantMessage(content=str(text)):
            return Message("assistant", text, role="assistant")
        case _:
            raise InvalidInput("this model calls no tools and takes no messages of tools: leave them out")
