"""What an agent has not seen yet: how far it has read the blackboard, and what others wrote since."""

from __future__ import annotations

from memos_core import Change, Entry, MemCube

_KEY = "autogen_memos/read"


def news_for(board: MemCube, notes: MemCube, *, reader: str) -> tuple[list[Change], int]:
    """Return what others wrote on the board since the reader's last turn, and how far the board has come."""
    found = board.changes(since=_read(notes).get(board.id, 0))
    return [each for each in found if each.by != reader], found.upto


def mark_read(board: MemCube, notes: MemCube, upto: int) -> None:
    """Keep that the reader has seen the board up to a change; it never goes back."""
    read = _read(notes)
    if read.get(board.id, 0) < upto:
        notes.records.put([Entry(key=_KEY, data={**read, board.id: upto})])


def _read(notes: MemCube) -> dict[str, int]:
    kept = notes.records.get([_KEY]).get(_KEY)
    return {} if kept is None else kept.data
