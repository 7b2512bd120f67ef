"""Which messages of a conversation have been kept, and as which memories: in an agent's private state.

It is checkpointed with the messages, so it is as true of an old thread as of a new one: what was kept is
not kept again, also where it was forgotten since.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NotRequired, TypedDict

from langchain.agents.middleware.types import AgentState, PrivateStateAttr
from langchain_core.messages import AnyMessage

from langchain_memos.turns import words_of
from memos_core import Memory, Message


class Turn(TypedDict):
    """What became of a message: the id of the memory, and a digest of the words that it was made from."""

    memory: str
    words: str


Turns = dict[str, Turn]
"""By the id of a message."""


def merged(before: dict[str, Turns], now: dict[str, Turns]) -> dict[str, Turns]:
    """Return what each middleware has kept; each writes of its own only, and all of that."""
    return {**before, **now}


class Kept(AgentState[Any]):
    """The state of an agent with memory: by the name of the middleware, what it has kept of `messages`."""

    memos_kept: NotRequired[Annotated[dict[str, Turns], PrivateStateAttr, merged]]


def kept_by(name: str, state: Mapping[str, Any]) -> Turns:
    """Return what a middleware has kept of the messages that are still there."""
    known: Turns = state.get("memos_kept", {}).get(name, {})
    there = {message.id for message in state["messages"]}
    return {each: turn for each, turn in known.items() if each in there}


def kept_in(state: Mapping[str, Any]) -> Turns:
    """Return what any middleware has kept of the messages that are still there."""
    return {each: turn for name in state.get("memos_kept", {}) for each, turn in kept_by(name, state).items()}


def is_kept(message: AnyMessage, turns: Turns) -> bool:
    """Return whether a message was kept with the words that it has now."""
    turn = turns.get(message.id or "")
    return turn is not None and turn["words"] == _digest(words_of(message))


def noted(turns: Turns, said: Sequence[Message], memories: Iterable[Memory]) -> Turns:
    """Return the turns with those that were kept just now."""
    fresh = zip(said, memories, strict=True)
    return turns | {
        each.id: Turn(memory=memory.id, words=_digest(each.text)) for each, memory in fresh if each.id
    }


def _digest(words: str) -> str:
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()[:16]
