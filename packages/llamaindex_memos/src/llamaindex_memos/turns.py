"""Chat messages as a runtime takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llama_index.core.base.llms.types import ChatMessage

from llamaindex_memos.words import role_of, words_of
from memos_core import Message


class Asked(NamedTuple):
    """The system text, None for none, and the turns after it."""

    system: str | None
    turns: list[Message]


def asked(messages: Sequence[ChatMessage], *, system: str | None) -> Asked:
    """Return a conversation as `Runtime.chat` takes it.

    The system messages at its beginning are joined to `system`. Later ones become turns of the user,
    because chat templates know no other place for them. What says nothing is left out.
    """
    texts = [system] if system and system.strip() else []
    turns: list[Message] = []
    for message in messages:
        words, role = words_of(message), role_of(message)
        if not words.strip():
            continue
        if role is None and not turns:
            texts.append(words)
        else:
            turns.append(Message(role or "user", words, role=role or "user"))
    return Asked("\n\n".join(texts) or None, turns)
