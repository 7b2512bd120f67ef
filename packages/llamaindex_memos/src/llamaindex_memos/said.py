"""Chat messages as the core keeps them: verbatim, and each one once however often it is handed over."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from llama_index.core.base.llms.types import ChatMessage

from llamaindex_memos.words import passages, role_of, words_of
from memos_core import Message


def now() -> datetime:
    """Return the present moment: LlamaIndex's messages do not say when they were said."""
    return datetime.now(UTC)


class Heard:
    """How often each thing was said in a session.

    A chat message has no id. What is said for the first time, the second time and so on, is; so what
    is handed over again is the same memory, and what is said again is another. `known` is false until
    `begin` has told what was said before.
    """

    def __init__(self, messages: Iterable[ChatMessage] | None = None) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] | None = None
        if messages is not None:
            self.begin(messages)

    @property
    def known(self) -> bool:
        return self._counts is not None

    def begin(self, messages: Iterable[ChatMessage], *, anew: bool = False) -> None:
        """Tell what was said before; only the first to tell is heard, unless it begins `anew`."""
        with self._lock:
            if anew or self._counts is None:
                self._counts = Counter(map(digest_of, messages))

    def take(self, messages: Sequence[ChatMessage]) -> list[str]:
        """Return an id for each message, and count it."""
        ids: list[str] = []
        with self._lock:
            counts = self._counts = Counter() if self._counts is None else self._counts
            for digest in map(digest_of, messages):
                ids.append(f"{digest}-{counts[digest]}")
                counts[digest] += 1
        return ids

    def give_back(self, messages: Sequence[ChatMessage]) -> None:
        """Count them out again: they were not kept after all."""
        with self._lock:
            if self._counts is not None:
                self._counts -= Counter(map(digest_of, messages))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Heard)  # it is no part of what its owner is

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Callable[..., Heard], tuple[()]]:
        return Heard, ()  # whoever is restored asks again what was said before

    def __deepcopy__(self, memo: dict[int, Any]) -> Heard:
        return Heard()


def digest_of(message: ChatMessage) -> str:
    """Return what two messages share that say the same in the same role: 32 hexadecimal digits."""
    told = f"{role_of(message)}\0{words_of(message)}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(told).hexdigest()[:32]


def said(
    messages: Sequence[ChatMessage],
    *,
    user: str,
    ids: Sequence[str] | None = None,
    at: datetime | None = None,
) -> list[Message]:
    """Return the words of user, assistant and tools under their ids; long ones in several passages.

    `ids` are what `Heard.take` gave; without them the messages are numbered among themselves.
    System messages are instructions and are not among them, nor is what says nothing.
    """
    moment = now() if at is None else at
    kept: list[Message] = []
    for message, name in zip(messages, Heard().take(messages) if ids is None else ids, strict=True):
        role = role_of(message)
        if role is None:
            continue
        parts = passages(words_of(message))
        speaker = _speaker(message, role, user)
        kept += [
            Message(speaker, part, at=moment, role=role, id=name if number == 0 else f"{name}.{number}")
            for number, part in enumerate(parts)
        ]
    return kept


def _speaker(message: ChatMessage, role: str, user: str) -> str:
    named = message.additional_kwargs.get("name")
    if isinstance(named, str) and named.strip():
        return named
    return user if role == "user" else role
