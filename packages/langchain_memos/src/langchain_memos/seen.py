"""Which memories a conversation has been shown: only these may be changed or erased by a tool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.messages import AnyMessage, ToolMessage
from langchain_core.tools import ToolException

from memos_core import Memory

SHORTEST = 8
"""Characters of an id that a model has to repeat."""

ARTIFACT = "memos"


def artifact_of(memories: Iterable[Memory]) -> dict[str, Any]:
    """Return what a tool's message carries beside its text: the memories shown, by id, and their versions."""
    return {ARTIFACT: {memory.id: memory.version for memory in memories}}


def seen_in(messages: Iterable[AnyMessage]) -> dict[str, int]:
    """Return the memories that tools have shown in this conversation, and the version shown last."""
    shown: dict[str, int] = {}
    for message in messages:
        if isinstance(message, ToolMessage) and isinstance(message.artifact, Mapping):
            shown.update(message.artifact.get(ARTIFACT) or {})
    return shown


def one_seen(memory_id: str, shown: Mapping[str, int]) -> str:
    """Return the one id that was shown and begins so, else raise ToolException that tells the model."""
    wanted = memory_id.strip().lower()
    if len(wanted) < SHORTEST:
        raise ToolException(f"{memory_id!r} is no id: repeat one that recall has shown you, e.g. 1a2b3c4d")
    found = [known for known in shown if known.startswith(wanted)]
    if len(found) != 1:
        raise ToolException(
            f"you have not been shown a memory {memory_id!r}: call recall, look at what it returns, "
            f"and repeat the id of the memory that is meant"
        )
    return found[0]
