"""Replayed models that keep what they were asked, and what was in the prompt of a memory."""

from __future__ import annotations

from autogen_agentchat.agents import AssistantAgent
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, LLMMessage, ModelInfo, RequestUsage, SystemMessage, UserMessage
from autogen_ext.models.replay import ReplayChatCompletionClient

from autogen_memos.notes import is_notes

INFO = ModelInfo(
    vision=False, function_calling=True, json_output=False, family="unknown", structured_output=False
)


def replay(*lines: str | CreateResult) -> ReplayChatCompletionClient:
    return ReplayChatCompletionClient(list(lines), model_info=INFO)


def calls(name: str, arguments: str = "{}") -> CreateResult:
    """Return the answer of a model that calls one tool."""
    return CreateResult(
        finish_reason="function_calls",
        content=[FunctionCall(id="1", name=name, arguments=arguments)],
        usage=RequestUsage(prompt_tokens=1, completion_tokens=1),
        cached=False,
    )


def asked(client: ReplayChatCompletionClient, call: int = -1) -> list[LLMMessage]:
    """Return the messages that the model was given."""
    return list(client.create_calls[call]["messages"])


def notes_in(messages: list[LLMMessage]) -> list[str]:
    """Return what memories say in these messages."""
    return [str(message.content) for message in messages if is_notes(message)]


def users(*texts: str) -> list[LLMMessage]:
    return [UserMessage(content=text, source="user") for text in texts]


def like_openai(messages: list[LLMMessage]) -> None:
    """Raise as AutoGen's OpenAI client does for a model that takes one system message."""
    last = None
    for place, message in enumerate(messages):
        if isinstance(message, SystemMessage):
            if last is not None and place != last + 1:
                raise ValueError("Multiple and Not continuous system messages are not supported")
            last = place


def agent(
    name: str, client: ReplayChatCompletionClient, *memories: object, **given: object
) -> AssistantAgent:
    return AssistantAgent(name, client, memory=list(memories), **given)
