"""Values under keys: what is put into a cube beside its statements, and what is found again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from memos_core.errors import InvalidInput
from memos_core.memory import MAX_TEXT_BYTES, checked_name, checked_text, checked_ttl

RECORD = "record"
"""The kind of the memories that records are found by."""

PASSAGE = "\f"
"""What parts the passages of a text: each is embedded by itself."""

_DEEPEST = 100  # levels of nesting; a JSON parser's own stack ends somewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A value about to be kept under `key`, in place of what was there.

    `data` is a JSON object: str keys; str, int, finite float, bool, None, lists and objects as
    values; at most one MiB. `texts` are what it is found by: each is embedded by itself, the best
    one counts, blank ones count nothing; without any it can be got by its key and is never found.
    `ttl` is how long it may be known after it was last put or renewed.
    """

    key: str
    data: Mapping[str, Any]
    texts: tuple[str, ...] = ()
    ttl: timedelta | None = None
    json: str = field(init=False, repr=False)  # the data as it is stored

    def __post_init__(self) -> None:
        checked_name(self.key, what="key")
        checked_ttl(self.ttl)
        object.__setattr__(self, "texts", _checked_texts(self.texts))
        object.__setattr__(self, "json", to_json(self.data))

    @property
    def text(self) -> str:
        """What the memory behind this record says; "" where it has none."""
        return PASSAGE.join(self.texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A value as it is kept. `memory_id` names the memory that it is found by, if there is one."""

    key: str
    data: dict[str, Any]  # a copy of its own
    memory_id: str | None
    created_at: datetime
    updated_at: datetime
    ttl: timedelta | None
    expires_at: datetime | None  # from then on it does not exist for any reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A record that was found. `score` is the hit's, 0 to 1, and compares within one recall.

    `likeness` is the cosine of the query with the best of its texts, -1 to 1; it compares between
    recalls and cubes of one embedder.
    """

    record: Record
    score: float
    likeness: float


def to_json(data: object) -> str:
    """Return the data as JSON text, or raise InvalidInput that says what in it is no JSON."""
    if not isinstance(data, Mapping):
        raise InvalidInput(f"data must be a mapping with str keys, not {type(data).__name__}")
    try:
        told = json.dumps(_plain(data, "data", 0), ensure_ascii=False, separators=(",", ":"))
        size = len(told.encode("utf-8"))
    except UnicodeEncodeError as exc:
        raise InvalidInput("data has a lone surrogate in a string: decode it properly") from exc
    except InvalidInput:
        raise
    except ValueError as exc:
        raise InvalidInput(f"data cannot be written as JSON: {exc}") from exc
    if size > MAX_TEXT_BYTES:
        raise InvalidInput(
            f"data is over {MAX_TEXT_BYTES:,} bytes as JSON: keep it elsewhere, and its name here"
        )
    return told


def in_words(value: Mapping[str, Any]) -> str:
    """Return a value in words: its one leaf alone, or one line `name: leaf` for each."""
    leaves = [(name, text) for name, text in _leaves(value, "") if text.strip()]
    if len(leaves) == 1:
        return leaves[0][1]
    return "\n".join(f"{name}: {text}" for name, text in leaves)


def _leaves(value: Any, name: str) -> Iterator[tuple[str, str]]:
    match value:
        case Mapping():
            for inner, each in value.items():
                yield from _leaves(each, str(inner))
        case list() | tuple():
            for each in value:
                yield from _leaves(each, name)
        case None:
            return
        case _:
            yield name, str(value)


def checked_keys(keys: object) -> tuple[str, ...]:
    """Return the keys without repeats, in order; a bare string is refused."""
    if isinstance(keys, str) or not isinstance(keys, Iterable):
        raise InvalidInput(f"keys must be several strings, not {keys!r}: write [key]")
    return tuple(dict.fromkeys(checked_name(key, what="key") for key in keys))


def _checked_texts(texts: object) -> tuple[str, ...]:
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise InvalidInput(f"texts must be several strings, not {texts!r}: write [text]")
    said = [text for text in texts if not (isinstance(text, str) and not text.strip())]
    return tuple(dict.fromkeys(checked_text(text) for text in said))


def _plain(value: object, where: str, depth: int) -> Any:
    """Return a copy of the value made of nothing but what JSON has."""
    if depth > _DEEPEST:
        raise InvalidInput(f"data is nested over {_DEEPEST} levels deep, or holds itself")
    match value:
        case None | bool() | str() | int():
            return value
        case float():
            if not math.isfinite(value):
                raise InvalidInput(f"{where} is {value!r}, which JSON cannot say: leave it out or use None")
            return value
        case Mapping():
            return {
                _named(key, where): _plain(each, f"{where}[{key!r}]", depth + 1)
                for key, each in value.items()
            }
        case list() | tuple():
            return [_plain(each, f"{where}[{place}]", depth + 1) for place, each in enumerate(value)]
        case _:
            raise InvalidInput(
                f"{where} is a {type(value).__name__}, which JSON cannot say: convert it first"
            )


def _named(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise InvalidInput(f"{where} has the key {key!r}: a key must be a str, not {type(key).__name__}")
    return key
