"""Which messages of a conversation have been kept, and as which memories: in an agent's private state.

It is checkpointed with the messages, so it is as true of an old thread as of a new one: what was kept is
not kept again, also where it was forgotten since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NotRequired, TypedDict

from langchain.agents.middleware.types import AgentState, PrivateStateAttr
from langchain_core.messages import AnyMessage

from langchain_memos.turns import last_exchange, words_of
from langchain_memos.whose import Whose
from memos_core import Memory, Message

IN_VIEW = 100
"""Messages at the end of a conversation that are looked for among the hits."""


class Turn(TypedDict):
    """What became of a message: the id of the memory, and a digest of the words that it was made from."""

    memory: str
    words: str


Turns = dict[str, Turn]
"""By the id of a message."""


def merged(before: dict[str, Turns], now: dict[str, Turns]) -> dict[str, Turns]:
    """Return what has been kept in each cube; whoever writes of one writes all of it."""
    return {**before, **now}


class Kept(AgentState[Any]):
    """The state of an agent with memory: what was kept of `messages`, by the cube (see `place`)."""

    memos_kept: NotRequired[Annotated[dict[str, Turns], PrivateStateAttr, merged]]


def place(who: Whose) -> str:
    """Return the name of a user's cube in the state."""
    return json.dumps([who.user, who.cube])


def kept_by(who: Whose, state: Mapping[str, Any]) -> Turns:
    """Return what was kept of the last messages: of the last exchange, and of what is looked at besides."""
    known: Turns = state.get("memos_kept", {}).get(place(who), {})
    last = (*state["messages"][-IN_VIEW:], *last_exchange(state["messages"])) if known else ()
    there = {message.id for message in last}
    return {each: turn for each, turn in known.items() if each in there}


def is_kept(message: AnyMessage, turns: Turns) -> bool:
    """Return whether a message was kept with the words that it has now."""
    turn = turns.get(message.id or "")
    return turn is not None and turn["words"] == _digest(message.id, words_of(message))


def noted(turns: Turns, said: Sequence[Message], memories: Iterable[Memory]) -> Turns:
    """Return the turns with those that were kept just now."""
    fresh = zip(said, memories, strict=True)
    return turns | {
        each.id: Turn(memory=memory.id, words=_digest(each.id, each.text))
        for each, memory in fresh
        if each.id
    }


def _digest(message_id: str | None, words: str) -> str:
    told = f"{message_id}\n{words}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(told).hexdigest()[:16]
