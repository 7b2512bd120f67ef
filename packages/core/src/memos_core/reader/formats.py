"""Files of conversations: JSON Lines, OpenAI messages, LoCoMo. All of a file, or an error that says where."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memos_core.errors import FormatError, InvalidInput
from memos_core.memory import Message

_LOCOMO_SESSION = re.compile(r"session_(\d+)")
_LOCOMO_TIME = "%I:%M %p on %d %B, %Y"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Messages of one session, in order. `name` is the conversation's own, where the file has several."""

    name: str | None
    session: str | None
    messages: tuple[Message, ...]


def read_conversations(path: Path, format: str | None = None) -> list[Conversation]:  # noqa: A002 - the CLI's word
    """Return every conversation of a file, whole.

    `format` is "jsonl", "openai" or "locomo"; None tells them apart by the file's end and shape.
    Raises FormatError naming the line or place; nothing is returned then.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise FormatError(f"{path} is not UTF-8 (byte {exc.start}): convert it first") from exc
    readers: dict[str, Callable[[str], list[Conversation]]] = {
        "jsonl": _jsonl,
        "openai": _openai,
        "locomo": _locomo,
    }
    chosen = format or _guess(path, text)
    if chosen not in readers:
        raise InvalidInput(f"unknown format {chosen!r}: choose one of {', '.join(readers)}")
    return readers[chosen](text)


def _guess(path: Path, text: str) -> str:
    if path.suffix in {".jsonl", ".ndjson"}:
        return "jsonl"
    return "locomo" if '"session_1_date_time"' in text else "openai"


def _jsonl(text: str) -> list[Conversation]:
    """Read one message a line: `speaker` or `role`, `text` or `content`; `at`, `session`, `id` if known."""
    sessions: dict[str | None, list[Message]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        record = parsed(line, first_line=number)
        with naming(f"line {number}", line=number):
            session = _optional(record, "session")
            sessions.setdefault(session, []).append(_message(record))
    return [_conversation(None, session, messages) for session, messages in sessions.items()]


def _openai(text: str) -> list[Conversation]:
    """Read a list of chat messages, or an object that holds one under `messages`."""
    data = parsed(text)
    if isinstance(data, Mapping):
        data = data.get("messages")
    if not isinstance(data, list):
        raise FormatError("no messages: expected a JSON list, or an object with a `messages` list")
    messages: list[Message] = []
    for number, record in enumerate(data, start=1):
        with naming(f"message {number}"):
            if isinstance(record, Mapping) and not _content(record).strip():
                continue  # a turn that only calls tools says nothing
            messages.append(_message(record))
    return [_conversation(None, None, messages)]


def _locomo(text: str) -> list[Conversation]:
    """Read LoCoMo samples: sessions of turns with `dia_id`, each session with its date and time."""
    data = parsed(text)
    found: list[Conversation] = []
    for number, sample in enumerate(data if isinstance(data, list) else [data], start=1):
        with naming(f"sample {number}"):
            name = str(sample.get("sample_id") or number)
            found += [
                _conversation(name, session, messages)
                for session, messages in _locomo_sessions(sample["conversation"])
            ]
    return found


def _locomo_sessions(conversation: Mapping[str, Any]) -> Iterator[tuple[str, list[Message]]]:
    sessions = {int(found[1]): name for name in conversation if (found := _LOCOMO_SESSION.fullmatch(name))}
    if not sessions:
        raise FormatError("the conversation has no `session_1`")
    for number in sorted(sessions):
        name = sessions[number]
        turns = conversation[name] or []
        if turns:
            at = datetime.strptime(conversation[f"{name}_date_time"], _LOCOMO_TIME).replace(tzinfo=UTC)
            yield name, [_locomo_turn(turn, at) for turn in turns]


def _locomo_turn(turn: Mapping[str, Any], at: datetime) -> Message:
    caption = turn.get("blip_caption")
    said = f"{turn['text']} [image: {caption}]" if caption else turn["text"]
    return Message(turn["speaker"], said, at=at, id=turn["dia_id"])


def _message(record: Any) -> Message:
    if not isinstance(record, Mapping):
        raise FormatError(f"a message must be an object, not {type(record).__name__}")
    role = _optional(record, "role")
    speaker = _optional(record, "speaker") or _optional(record, "name") or role
    if speaker is None:
        raise FormatError("a message needs a `speaker` or a `role`")
    return Message(speaker, _content(record), at=time_of(record), role=role, id=_optional(record, "id"))


def _content(record: Mapping[str, Any]) -> str:
    """Return the text of a message; of content in parts, the text parts."""
    content = record.get("text", record.get("content"))
    if isinstance(content, list):
        content = "\n".join(part["text"] for part in content if isinstance(part, Mapping) and "text" in part)
    if content is None and "tool_calls" in record:
        return ""
    if not isinstance(content, str):
        raise FormatError("a message needs a `text` or a `content` that is a string")
    return content


def time_of(record: Mapping[str, Any]) -> datetime | None:
    """Return the message's time (`at`, `timestamp`, `created_at`): ISO 8601 with a zone, or Unix seconds."""
    value = next(
        (record[name] for name in ("at", "timestamp", "created_at") if record.get(name) is not None), None
    )
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value, UTC)
        except (OSError, OverflowError) as exc:
            raise FormatError(f"{value!r} seconds since 1970 is no date that a calendar has") from exc
    try:
        return datetime.fromisoformat(str(value))
    except ValueError as exc:
        raise FormatError(f"{value!r} is no ISO 8601 time, e.g. 2024-05-03T18:30:00+00:00") from exc


def _optional(record: Any, name: str) -> str | None:
    value = record.get(name) if isinstance(record, Mapping) else None
    if value is not None and not isinstance(value, str):
        raise FormatError(f"`{name}` must be a string, not {type(value).__name__}")
    return value


def parsed(text: str, *, first_line: int = 1) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        line = first_line + exc.lineno - 1
        raise FormatError(f"line {line}: not JSON ({exc.msg} at column {exc.colno})", line=line) from exc
    except RecursionError as exc:
        raise FormatError(f"line {first_line}: JSON nested too deep", line=first_line) from exc
    except ValueError as exc:
        raise FormatError(f"line {first_line}: {exc}", line=first_line) from exc


def _conversation(name: str | None, session: str | None, messages: list[Message]) -> Conversation:
    return Conversation(name=name, session=session, messages=tuple(_told_apart(messages)))


def _told_apart(messages: Iterable[Message]) -> Iterator[Message]:
    """Name what is said again word for word, without a time, in one session: a second "ok" is a turn too.

    The name says the words and which time it is, so the same file read again gives the same names.
    """
    said: Counter[tuple[str, str]] = Counter()
    for message in messages:
        if message.at is None and message.id is None:
            said[message.speaker, message.text] += 1
            if (times := said[message.speaker, message.text]) > 1:
                words = f"{message.speaker}\0{message.text}".encode()
                yield replace(message, id=f"#{times}:{hashlib.sha256(words).hexdigest()[:16]}")
                continue
        yield message


@contextmanager
def naming(place: str, *, line: int | None = None) -> Generator[None]:
    """Say where in the file an error happened."""
    try:
        yield
    except KeyError as exc:
        raise FormatError(f"{place}: {exc} is missing", line=line) from exc
    except (FormatError, ValueError, TypeError, AttributeError, OverflowError) as exc:
        raise FormatError(f"{place}: {exc}", line=line) from exc
