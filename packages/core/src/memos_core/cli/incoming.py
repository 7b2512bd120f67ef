"""What comes in: texts and conversations, from arguments, files and standard input."""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memos_core.cli.options import DEFAULT_CUBE
from memos_core.errors import BackendError, FormatError, InvalidInput, NotFound
from memos_core.memory import Message, checked_name

if TYPE_CHECKING:
    from memos_core.reader.formats import Conversation

STDIN = "-"
BATCH = 256  # messages in a transaction: few transactions, and a bar that moves


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Messages of one session that are written at once, and where."""

    cube: str
    session: str | None
    messages: Sequence[Message]


def text_of(argument: str) -> str:
    """Return the text that was typed; for `-`, what stands on standard input."""
    return _standard_input().rstrip("\r\n") if argument == STDIN else argument


def read_file(file: str, *, format: str | None) -> list[Conversation]:  # noqa: A002 - the option's word
    """Return the conversations of a file, or of standard input for `-`: all, or an error that says where."""
    if file == STDIN:
        text = _standard_input()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"stdin{_suffix_of(text)}"
            path.write_text(text, encoding="utf-8")
            return _conversations(path, format)
    path = Path(file).expanduser()
    if not path.exists():
        raise NotFound("file", file)
    if path.is_dir():
        raise InvalidInput(f"{file} is a folder: name a file in it")
    return _conversations(path, format)


def _conversations(path: Path, format: str | None) -> list[Conversation]:  # noqa: A002 - as above
    from memos_core.reader.formats import read_conversations  # noqa: PLC0415 - after the cheap checks

    try:
        return read_conversations(path, format)
    except OSError as exc:
        raise BackendError(f"{path} cannot be read ({exc.strerror}): check its permissions") from exc


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise FormatError(f"standard input is not UTF-8 (byte {exc.start}): convert it first") from exc


def _suffix_of(text: str) -> str:
    """Return .jsonl where the first line is a message of its own, else .json."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    try:
        record = json.loads(first)
    except json.JSONDecodeError:
        return ".json" if first.strip() in {"[", "{"} else ".jsonl"
    whole = isinstance(record, list) or {"messages", "conversation"} & set(record)
    return ".json" if whole else ".jsonl"


def batches(conversations: Sequence[Conversation], *, cube: str | None, session: str | None) -> list[Batch]:
    """Return what to write, in order, its names checked; nothing is written yet.

    Without `cube`, a conversation that has a name goes to the cube of that name, others to "main".
    With it all go there; several conversations put their names before their sessions'. `session`
    is for messages that have none.
    """
    several = len({each.name for each in conversations}) > 1
    found: list[Batch] = []
    for each in conversations:
        own = session if each.session is None else each.session
        if cube is not None and several and each.name is not None:
            own = f"{each.name}/{own}" if own else each.name
        if own is not None:
            checked_name(own, what="session")
        target = checked_name(cube or each.name or DEFAULT_CUBE, what="cube name")
        found += [Batch(cube=target, session=own, messages=part) for part in _parts(each.messages)]
    return found


def _parts(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    for start in range(0, len(messages), BATCH):
        yield messages[start : start + BATCH]


def turns_by_cube(work: Sequence[Batch]) -> Counter[str]:
    """Return how many messages go to each cube."""
    turns: Counter[str] = Counter()
    for batch in work:
        turns[batch.cube] += len(batch.messages)
    return turns
