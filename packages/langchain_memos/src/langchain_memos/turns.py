"""Chat messages as what was said: which of them a run added, and how the core keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice, takewhile

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage

from memos_core import Message

_ASKED = 10_000  # characters of a text that memory is asked with


def words_of(message: BaseMessage) -> str:
    """Return the text of a message, without what it shows or calls."""
    return str(message.text)


def last_questions(messages: Sequence[BaseMessage], count: int) -> list[str]:
    """Return the (at most) `count` things that the human said last, the last first.

    Where a summary has taken the place of all of them, the summary is asked with.
    """
    spoken = [
        each for each in reversed(messages) if isinstance(each, HumanMessage) and words_of(each).strip()
    ]
    own = [words_of(each) for each in islice((each for each in spoken if not _made_up(each)), count)]
    return [words[:_ASKED] for words in own or [words_of(each) for each in spoken[:1]]]


def last_asked(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Return the human's messages at the end of a conversation: what is still to be answered."""
    end = takewhile(lambda message: isinstance(message, HumanMessage | SystemMessage), reversed(messages))
    return [message for message in reversed(list(end)) if not isinstance(message, SystemMessage)]


def last_exchange(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Return the messages from the last human's turn on: what one run added to a conversation."""
    start = len(messages)
    asked = False
    for place in range(len(messages) - 1, -1, -1):
        human = isinstance(messages[place], HumanMessage)
        if asked and not human:
            break
        asked = asked or human
        start = place
    return list(messages[start:]) if asked else []


def said(messages: Iterable[BaseMessage], *, user: str, at: datetime) -> list[Message]:
    """Return the words of human and model as the core keeps them, verbatim, under the messages' own ids."""
    kept: list[Message] = []
    for message in messages:
        words = words_of(message)
        if not words.strip() or _made_up(message):
            continue
        match message:
            case HumanMessage():
                kept.append(Message(message.name or user, words, at=at, role="user", id=message.id))
            case AIMessage():
                kept.append(
                    Message(message.name or "assistant", words, at=at, role="assistant", id=message.id)
                )
            case _:
                continue  # tools and systems do not converse
    return kept


def _made_up(message: BaseMessage) -> bool:
    """Return whether nobody said this: a summary that stands in for what was said."""
    return message.additional_kwargs.get("lc_source") == "summarization"
