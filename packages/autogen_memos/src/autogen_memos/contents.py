"""AutoGen's memory contents as statements of the core, and memories of the core as contents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from autogen_core.memory import MemoryContent, MemoryMimeType

from memos_core import Hit, InvalidInput, MemCube, Memory, Visibility

TEXT, MARKDOWN, JSON = (
    mime.value for mime in (MemoryMimeType.TEXT, MemoryMimeType.MARKDOWN, MemoryMimeType.JSON)
)
SAID: Final = ("kind", "tags", "at", "ttl", "visibility", "sensitivity", "priority")
"""Metadata that are arguments of `MemCube.remember`; `at` is ISO 8601 with a zone, `ttl` seconds."""
TOLD: Final = frozenset(
    ("id", "version", "score", "likeness", "author", "cube", "scope", "speaker", "role", "session")
)
"""Metadata that a query gives and that say nothing when they are added again."""
_MIME: Final = "mime_type"
_LONGEST: Final = 1000  # bytes of one piece of metadata; it is kept as a tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What `add` asks the core to remember."""

    text: str
    tags: tuple[str, ...]
    given: Mapping[str, Any]  # further arguments of `remember`

    def keep(self, cube: MemCube, *, visibility: Visibility | str) -> Memory:
        """Remember it; `visibility` holds where the content did not say one."""
        return cube.remember(self.text, tags=self.tags, **{"visibility": visibility, **self.given})


def statement_of(content: MemoryContent) -> Statement:
    """Return what is to be remembered; InvalidInput for what is no words or no JSON."""
    text, mime = _words(content)
    metadata = content.metadata or {}
    given = {name: metadata[name] for name in SAID if metadata.get(name) is not None}
    tags = given.pop("tags", ())
    if isinstance(tags, str) or not isinstance(tags, list | tuple):
        raise InvalidInput(f"metadata['tags'] must be a list of strings, not {tags!r}")
    others = {name: value for name, value in metadata.items() if name not in {*SAID, *TOLD}}
    if mime != TEXT:
        others[_MIME] = mime
    return Statement(
        text=text,
        tags=(*tags, *(tag_of(name, value) for name, value in others.items())),
        given=_typed(given),
    )


def tag_of(name: object, value: object) -> str:
    """Return one piece of metadata as the tag that it is kept and filtered by: `name=value in JSON`."""
    if not isinstance(name, str) or not name.strip() or "=" in name:
        raise InvalidInput(f"metadata has the key {name!r}: a key must be a str without '='")
    try:
        told = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidInput(f"metadata[{name!r}] cannot be written as JSON ({exc}): convert it first") from exc
    tag = f"{name}={told}"
    if len(tag.encode("utf-8", "replace")) > _LONGEST:
        raise InvalidInput(f"metadata[{name!r}] is over {_LONGEST:,} bytes: put it into the content")
    return tag


def content_of(
    memory: Memory, *, cube: str, hit: Hit | None = None, scope: str | None = None
) -> MemoryContent:
    """Return a memory as AutoGen keeps it in events and states: JSON's own types only."""
    plain, named = _told_apart(memory.tags)
    mime = str(named.pop(_MIME, TEXT))
    facts: dict[str, Any] = {
        "id": memory.id,
        "version": memory.version,
        "score": None if hit is None else hit.score,
        "likeness": None if hit is None else hit.likeness,
        "author": memory.header.governance.owner,
        "cube": cube,
        "scope": scope,
        "kind": memory.kind,
        "tags": plain or None,
        "at": memory.at.isoformat(),
        "speaker": memory.speaker,
        "role": memory.header.descriptive.role,
        "session": memory.session,
    }
    told = {name: value for name, value in facts.items() if value is not None}
    return MemoryContent(
        content=_parsed(memory.text, mime), mime_type=MemoryMimeType(mime), metadata={**named, **told}
    )


def _words(content: MemoryContent) -> tuple[str, str]:
    mime = content.mime_type.value if isinstance(content.mime_type, MemoryMimeType) else content.mime_type
    match content.content:
        case str(text) if mime in (TEXT, MARKDOWN):
            return text, mime
        case str(text) if mime == JSON:
            if _parsed(text, JSON) is text:
                raise InvalidInput("the content is no JSON object: give a dict, or the mime type text/plain")
            return text, mime
        case dict(data) if mime == JSON:
            return _as_json(data), mime
    raise InvalidInput(
        f"this memory keeps words, not {type(content.content).__name__} of type {mime!r}: describe a "
        f"picture, decode bytes, and say text/plain, text/markdown or application/json"
    )


def _as_json(data: Mapping[str, Any]) -> str:
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidInput(f"the content cannot be written as JSON ({exc}): convert it first") from exc


def _parsed(text: str, mime: str) -> str | dict[str, Any]:
    """Return the JSON object that a text of this type is, else the text: somebody may have revised it."""
    if mime != JSON:
        return text
    try:
        data = json.loads(text)
    except ValueError:
        return text
    return data if isinstance(data, dict) else text


def _typed(given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with JSON's texts and numbers as times and spans."""
    at, ttl = given.get("at"), given.get("ttl")
    if isinstance(at, str):
        try:
            given["at"] = datetime.fromisoformat(at)
        except ValueError as exc:
            raise InvalidInput(f"metadata['at'] is no ISO 8601 time: {at!r}") from exc
    if ttl is not None:
        if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl < 1e11:
            raise InvalidInput(f"metadata['ttl'] must be a number of seconds over 0, not {ttl!r}")
        given["ttl"] = timedelta(seconds=ttl)
    return given


def _told_apart(tags: tuple[str, ...]) -> tuple[list[str], dict[str, Any]]:
    """Return the plain tags, and those that are metadata."""
    plain: list[str] = []
    named: dict[str, Any] = {}
    for tag in tags:
        name, _, told = tag.partition("=")
        try:
            value = json.loads(told)
        except ValueError:  # a tag of somebody else's
            plain.append(tag)
        else:
            named[name] = value
    return plain, named
