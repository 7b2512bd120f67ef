"""A chat message as records: its JSON under one key, and texts too long for one record beside it."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store.base_db import MessageStatus
from pydantic_core import PydanticSerializationError

from memos_core import Entry, InvalidInput, Record

LONG = 20_000
"""Characters of a text that get records of their own."""
PART = 150_000
"""Characters of one such record: well under the core's one MiB, whatever JSON makes of them."""

_lock = threading.Lock()
_last = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A message in the store. `parts` are the keys of the records with its long texts."""

    key: str
    status: MessageStatus
    data: Mapping[str, Any]
    parts: tuple[str, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key, *self.parts)

    def entry(self, status: MessageStatus) -> Entry:
        """Return the message in another state; its long texts stay where they are."""
        return Entry(key=self.key, data={**self.data, "status": status.value})

    def message(self, texts: Mapping[str, str]) -> ChatMessage:
        """Return a message of its own, with its long texts from the records `texts`."""
        told = _copied(self.data["message"])
        rest = iter(self.parts)
        for each in self.data["long"]:
            _put_back(told, each["path"], "".join(texts[next(rest)] for _ in range(each["parts"])))
        told["blocks"] = [_there(block) for block in told["blocks"]]
        return ChatMessage.model_validate(told)


def entries_of(messages: Sequence[ChatMessage], status: MessageStatus) -> list[Entry]:
    """Return the records of messages, under keys that sort as the messages follow each other."""
    entries: list[Entry] = []
    for key, message in zip(new_keys(len(messages)), messages, strict=True):
        long: list[tuple[list[str | int], str]] = []
        told = _shortened(_json_of(message), [], long)
        texts = [text[at : at + PART] for _, text in long for at in range(0, len(text), PART)]
        where = [{"path": path, "parts": -(-len(text) // PART)} for path, text in long]
        entries.append(Entry(key=key, data={"status": status.value, "message": told, "long": where}))
        entries += [
            Entry(key=f"{key}+{number:06d}", data={"text": text}) for number, text in enumerate(texts)
        ]
    return entries


def kept_of(records: Iterable[Record]) -> tuple[list[Kept], dict[str, str]]:
    """Return the messages of records in the order of their keys, and the long texts by key."""
    texts: dict[str, str] = {}
    heads: list[Record] = []
    for record in records:
        if "+" in record.key:
            texts[record.key] = record.data["text"]
        else:
            heads.append(record)
    parts: dict[str, list[str]] = {}
    for key in sorted(texts):
        parts.setdefault(key.partition("+")[0], []).append(key)
    kept = [
        Kept(
            key=record.key,
            status=MessageStatus(record.data["status"]),
            data=record.data,
            parts=tuple(parts.get(record.key, ())),
        )
        for record in sorted(heads, key=lambda each: each.key)
    ]
    return kept, texts


def new_keys(count: int) -> list[str]:
    """Return keys that sort after all that this process gave before; no two are ever equal."""
    global _last  # noqa: PLW0603 - the clock may stand still, the order may not
    with _lock:
        first = max(time.time_ns(), _last + 1)
        _last = first + count - 1
    return [f"{first + number:020d}-{secrets.token_hex(4)}" for number in range(count)]


def _json_of(message: ChatMessage) -> dict[str, Any]:
    try:
        told: dict[str, Any] = message.model_dump(mode="json")
    except (PydanticSerializationError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"this message cannot be written as JSON: {exc}") from exc
    return told


def _shortened(value: Any, path: list[str | int], long: list[tuple[list[str | int], str]]) -> Any:
    """Return a copy with each long text taken out; `long` gets its path and the text."""
    match value:
        case str() if len(value) > LONG:
            long.append((path, value))
            return ""
        case dict():
            return {key: _shortened(each, [*path, key], long) for key, each in value.items()}
        case list():
            return [_shortened(each, [*path, place], long) for place, each in enumerate(value)]
        case _:
            return value


def _put_back(told: Any, path: Sequence[str | int], text: str) -> None:
    for step in path[:-1]:
        told = told[step]
    told[path[-1]] = text


def _there(block: dict[str, Any]) -> dict[str, Any]:
    """Return the block, or, where the file that it names is gone, words that say so: the rest can be read."""
    path = block.get("path")
    if path is None or Path(path).is_file():
        return block
    return {"block_type": "text", "text": f"[{block['block_type']} {path}: the file is gone]"}


def _copied(value: Any) -> Any:
    match value:
        case dict():
            return {key: _copied(each) for key, each in value.items()}
        case list():
            return [_copied(each) for each in value]
        case _:
            return value
