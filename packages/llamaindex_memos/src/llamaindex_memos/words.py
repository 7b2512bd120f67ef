"""What a chat message says, in words: text as it stands, everything else as a reference to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
    VideoBlock,
)

LONGEST = 2_000
"""Characters of one memory; a longer message is kept as several, in order, and none of it is lost."""

_BREAKS = ("\n\n", "\n", ". ", " ")
_SAYS_HOW = frozenset({MessageRole.SYSTEM, MessageRole.DEVELOPER})  # instructions, nobody's words
_ROLES = {
    MessageRole.USER: "user",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}


def words_of(message: ChatMessage) -> str:
    """Return what a message says. "" where it says nothing.

    Calls of tools read `[calls name({...})]`; images, sounds, films and documents are kept as
    references, `[image https://...]`, or by their hash where they are inline. What a model thought
    was not said.
    """
    lines = [line for block in message.blocks for line in _told(block)]
    if not any(isinstance(block, ToolCallBlock) for block in message.blocks):
        lines += [_call(*each) for each in _legacy_calls(message.additional_kwargs.get("tool_calls"))]
    return "\n".join(line for line in lines if line.strip())


def role_of(message: ChatMessage) -> str | None:
    """Return "user", "assistant" or "tool"; None for instructions."""
    return None if message.role in _SAYS_HOW else _ROLES.get(message.role, "assistant")


def passages(text: str) -> list[str]:
    """Return the text in parts of at most LONGEST characters, cut where it reads best."""
    found: list[str] = []
    while len(text) > LONGEST:
        cut = _cut(text)
        found.append(text[:cut])
        text = text[cut:]
    return [part for part in (*found, text) if part.strip()]


def last_question(messages: Sequence[ChatMessage]) -> str | None:
    """Return the last words of the user, of them at most the first LONGEST characters; None for none."""
    for message in reversed(messages):
        if message.role == MessageRole.USER:
            words = "\n".join(block.text for block in message.blocks if isinstance(block, TextBlock))
            if words.strip():
                return words[:LONGEST]
    return None


def _cut(text: str) -> int:
    for mark in _BREAKS:
        at = text.rfind(mark, LONGEST // 2, LONGEST)
        if at >= 0:
            return at + len(mark)
    return LONGEST


def _told(block: object) -> Iterator[str]:
    match block:
        case TextBlock():
            yield block.text
        case ToolCallBlock():
            yield _call(block.tool_name, block.tool_kwargs)
        case ImageBlock():
            yield _reference("image", block.path or block.url, block.image, block.image_mimetype)
        case AudioBlock():
            yield _reference("audio", block.path or block.url, block.audio, block.format)
        case VideoBlock():
            yield _reference("video", block.path or block.url, block.video, block.video_mimetype)
        case DocumentBlock():
            where = block.path or block.url or (None if block.data else block.title)
            yield _reference("document", where, block.data, block.title or block.document_mimetype)
        case CitableBlock():
            yield f"[{block.title}, {block.source}]"
            for inner in block.content:
                yield from _told(inner)
        case CitationBlock():
            yield from _told(block.cited_content)
        case _:
            return  # a cache point, or a thought


def _reference(kind: str, where: object, data: object, name: str | None) -> str:
    """Return where something is, or, where it lies in the message itself, its size and hash."""
    if where is not None and not str(where).startswith("data:"):
        return f"[{kind} {where}]"
    if where is not None:
        data = str(where).partition(",")[2].encode()
    if not isinstance(data, bytes) or not data:
        return f"[{kind}{f' {name}' if name else ''}]"
    digest = hashlib.sha256(data).hexdigest()[:16]
    return f"[{kind}{f' {name}' if name else ''}, {len(data) * 3 // 4:,} bytes, sha256 {digest}]"


def _call(name: str, arguments: Any) -> str:
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False, default=str)
    return f"[calls {name}({arguments})]"


def _legacy_calls(calls: object) -> Iterator[tuple[str, Any]]:
    """Yield name and arguments of the calls that older integrations put beside the blocks."""
    for call in calls if isinstance(calls, list) else ():
        inner = _field(call, "function") or call
        name = _field(inner, "tool_name") or _field(inner, "name")
        if isinstance(name, str):
            yield name, _field(inner, "tool_kwargs") or _field(inner, "arguments") or {}


def _field(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
