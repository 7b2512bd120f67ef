"""The JSON Lines of a `.memcube` file: rows become lines, and lines become rows that a catalog can take.

Nothing is believed: every field passes the same checks as what a user hands to `remember`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

from memos_core.errors import FormatError, InvalidInput
from memos_core.interchange.manifest import moment
from memos_core.lifecycle import IN_USE
from memos_core.memory import (
    IMPORT,
    Relation,
    State,
    Trust,
    Visibility,
    checked_choice,
    checked_name,
    checked_tags,
    checked_text,
    checked_within,
)
from memos_core.record import to_json

Row: TypeAlias = dict[str, Any]
"""A row by the names of its table's columns; ids stand for sequence numbers."""

STATES: Final = tuple(state for state in State if state is not State.EXPIRED)
BY: Final = ("statement", "message", "record")
"""By what a memory is known again: its words, the message it was, the key of the record it stands behind."""

_HUGE: Final = 1 << 53  # beyond it not every reader of JSON tells whole numbers apart
_DESCRIPTIVE: Final = ("kind", "tags", "origin", "made_by", "speaker", "role", "session", "position")
_RULES: Final = ("owner", "visibility", "expires_at", "sensitivity", "priority", "trust")
_VERSION: Final = ("version", "kind", "tags", "state", "speaker", "role")
_UNKNOWN_MAKER: Final = f"{IMPORT}memcube"
_DESCRIBED_AT: Final = ("event_at", "created_at", "updated_at")


# --- rows become lines -----------------------------------------------------------------------


def line(document: Mapping[str, Any]) -> bytes:
    """Return one line; what is None is left out."""
    told = {name: value for name, value in document.items() if value is not None}
    return _ENCODER.encode(told).encode() + b"\n"


def _told(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no form in JSON")


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_told)


def _some(row: Mapping[str, Any], *names: str) -> Row:
    return {name: row[name] for name in names if row[name] is not None}


def of_memory(row: Mapping[str, Any], *, by: str | None, name: str | None) -> bytes:
    """Return a memory's line. `by` and `name` say by what it is known again."""
    return line(
        {
            **_some(row, "id", "version", "text", "state"),
            "known_by": by,
            "name": name,
            "descriptive": _some(row, *_DESCRIPTIVE, *_DESCRIBED_AT),
            "governance": _some(row, *_RULES),
            "behaviour": _some(row, "hits", "last_used", "usefulness"),
            "imported_from": row["imported_from"],
        }
    )


def of_version(row: Mapping[str, Any], *, memory: str, present: str) -> bytes:
    """Return a version's line; a text that is the memory's present one is left out."""
    told = _some(row, *_VERSION, "event_at", "written_at", "written_by")
    return line({"memory": memory, **told, "text": None if row["text"] == present else row["text"]})


def of_source(row: Mapping[str, Any], *, memory: str, present: str, said: bool) -> bytes:
    """Return a source's line; `said` tells that it is a message that would be known again."""
    told = _some(row, "speaker", "role", "session", "position", "event_at", "message_id", "recorded_at")
    text = None if row["text"] == present else row["text"]
    return line({"memory": memory, **told, "text": text, "known_by": "message" if said else None})


def of_link(row: Mapping[str, Any]) -> bytes:
    return line(_some(row, "source", "relation", "target", "created_at", "put_away"))


def of_record(row: Mapping[str, Any]) -> bytes:
    """Return a record's line; its data stand in it as they are."""
    told = _some(row, "key", "owner", "visibility", "expires_at", "created_at", "updated_at")
    return line({**told, "memory": row["memory_id"], "ttl_us": row["ttl"], "data": json.loads(row["data"])})


# --- lines become rows -----------------------------------------------------------------------


def parsed(data: bytes, read: Callable[[Row], Row], *, part: str, number: int) -> Row:
    """Return what `read` makes of a line; FormatError that names the line where it makes nothing."""
    try:
        document = _DECODER.decode(data.decode())
        if not isinstance(document, dict):
            raise FormatError(f"{part}, line {number}: not a JSON object", line=number)
        return read(document)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as exc:
        said = f"{exc} is missing" if isinstance(exc, KeyError) else str(exc)
        raise FormatError(f"{part}, line {number}: {said}", line=number) from exc


def _refused(word: str) -> Any:
    raise InvalidInput(f"{word} is no JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refused)  # made once: making one costs as much as a line


def to_memory(document: Row) -> Row:
    described, rules, used = document["descriptive"], document["governance"], document.get("behaviour", {})
    state = checked_choice(State, document["state"], what="state")
    if state not in STATES:
        raise InvalidInput(f"a memory that is {state} has no words and stands in no file")
    by = document.get("known_by")
    if by is not None and by not in BY:
        raise InvalidInput(f"known_by is one of {', '.join(BY)}, not {by!r}")
    position = described.get("position")
    return {
        "id": checked_name(document["id"], what="memory id"),
        "version": checked_within(document["version"], 1, _HUGE, what="version"),
        "text": checked_text(document["text"]),
        "state": state.value,
        "by": by,
        "name": _name(document, "name"),
        "kind": checked_name(described["kind"], what="kind"),
        "tags": list(checked_tags(described.get("tags", ()))),
        "origin": checked_name(described["origin"], what="origin"),
        "made_by": checked_name(described.get("made_by", _UNKNOWN_MAKER), what="made_by"),
        **{name: _name(described, name) for name in ("speaker", "role", "session")},
        "position": None if position is None else checked_within(position, 0, _HUGE, what="position"),
        "event_at": _time(described, "event_at"),
        "created_at": moment(described["created_at"]),
        "updated_at": moment(described["updated_at"]),
        "owner": checked_name(rules["owner"], what="owner"),
        "visibility": checked_choice(Visibility, rules["visibility"], what="visibility").value,
        "expires_at": _time(rules, "expires_at"),
        "sensitivity": checked_within(rules.get("sensitivity", 0), 0, 9, what="sensitivity"),
        "priority": checked_within(rules.get("priority", 0), -9, 9, what="priority"),
        "trust": checked_choice(Trust, rules.get("trust", Trust.TRUSTED), what="trust").value,
        "hits": checked_within(used.get("hits", 0), 0, _HUGE, what="hits"),
        "last_used": _time(used, "last_used"),
        "usefulness": _share(used.get("usefulness", 0.0)),
    }


def to_version(document: Row) -> Row:
    return {
        "memory": checked_name(document["memory"], what="memory id"),
        "version": checked_within(document["version"], 1, _HUGE, what="version"),
        "text": _text(document),
        "kind": checked_name(document["kind"], what="kind"),
        "tags": list(checked_tags(document.get("tags", ()))),
        "state": checked_choice(State, document["state"], what="state").value,
        **{name: _name(document, name) for name in ("speaker", "role")},
        "event_at": _time(document, "event_at"),
        "written_at": moment(document["written_at"]),
        "written_by": checked_name(document["written_by"], what="written_by"),
    }


def to_source(document: Row) -> Row:
    position = document.get("position")
    return {
        "memory": checked_name(document["memory"], what="memory id"),
        "text": _text(document),
        **{name: _name(document, name) for name in ("speaker", "role", "session", "message_id")},
        "position": None if position is None else checked_within(position, 0, _HUGE, what="position"),
        "event_at": _time(document, "event_at"),
        "recorded_at": moment(document["recorded_at"]),
        "said": document.get("known_by") == "message",
    }


def to_link(document: Row) -> Row:
    source, target = (checked_name(document[end], what="memory id") for end in ("source", "target"))
    if source == target:
        raise InvalidInput("a memory cannot be linked to itself")
    return {
        "source": source,
        "relation": checked_choice(Relation, document["relation"], what="relation").value,
        "target": target,
        "created_at": moment(document["created_at"]),
        "put_away": _state_before(document),
    }


def to_record(document: Row) -> Row:
    ttl = document.get("ttl_us")
    return {
        "key": checked_name(document["key"], what="key"),
        "data": to_json(document["data"]),
        "memory": _name(document, "memory"),
        "owner": checked_name(document["owner"], what="owner"),
        "visibility": checked_choice(Visibility, document["visibility"], what="visibility").value,
        "ttl": None if ttl is None else checked_within(ttl, 1, _HUGE * 4, what="ttl_us"),
        "expires_at": _time(document, "expires_at"),
        "created_at": moment(document["created_at"]),
        "updated_at": moment(document["updated_at"]),
    }


def _state_before(document: Row) -> str | None:
    """Return the state in which the target of a link stood before it was merged into the source."""
    if document.get("put_away") is None:
        return None
    state = checked_choice(State, document["put_away"], what="put_away")
    if state not in IN_USE or document["relation"] != Relation.DERIVED_FROM.value:
        raise InvalidInput(f"a {document['relation']} link puts nothing away that is {state}")
    return state.value


def _text(document: Row) -> str | None:
    return None if document.get("text") is None else checked_text(document["text"])


def _name(document: Row, name: str) -> str | None:
    return None if document.get(name) is None else checked_name(document[name], what=name)


def _time(document: Row, name: str) -> datetime | None:
    return None if document.get(name) is None else moment(document[name])


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidInput(f"usefulness is a number from 0 to 1, not {value!r}")
    return float(value)
