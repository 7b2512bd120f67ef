"""The moves that a planner did last, and those that its last plan left, written down for whoever looks on.

They are one setting of the store: no row of them outlives a cube, and no more than the last few are kept.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, insert, select

from memos_core.overview import MoveView
from memos_core.vault.artifacts import NOBODY
from memos_core.vault.schema import cubes, parts, store

if TYPE_CHECKING:
    from memos_core.vault.tx import Tx
    from memos_core.vault.view import View

KEY: Final = "moves"
MOST_DONE: Final = 50
MOST_NEXT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """What was done last, the newest first, and what comes next. Their `cube` is its id."""

    done: tuple[MoveView, ...] = ()
    next: tuple[MoveView, ...] = ()


def moves(view: View) -> Moves:
    """Return what is written down; nothing where nobody has planned."""
    text = view.setting(KEY)
    if text is None:
        return Moves()
    told = json.loads(text)
    return Moves(done=_read(told["done"]), next=_read(told["next"]))


def following(
    known: Moves, looked_at: Collection[str], done: Sequence[MoveView], left: Sequence[MoveView]
) -> Moves:
    """Return what is to be written after a plan for the cubes that it looked at.

    Plans of others for other cubes stay. What was planned before and still is keeps its time.
    """
    before = {_what(each): each.at for each in known.next}
    kept = [each for each in known.next if each.cube not in looked_at]
    mine = [replace(each, at=before.get(_what(each), each.at)) for each in left]
    return Moves(
        done=(*reversed(done), *known.done)[:MOST_DONE],
        next=(*mine, *kept)[:MOST_NEXT],
    )


def present(view: View, ids: Collection[str]) -> set[str]:
    """Return which of these cubes (ids) are there; one that is erased is not, though its row may be."""
    found: set[str] = set()
    for part in parts(sorted(ids)):
        query = select(cubes.c.id).where(cubes.c.id.in_(part), cubes.c.owner != NOBODY)
        found |= set(view.connection.execute(query).scalars())
    return found


def write(tx: Tx, told: Moves) -> None:
    """Write moves down in the place of those before."""
    tx.connection.execute(delete(store).where(store.c.key == KEY))
    if told.done or told.next:
        value = json.dumps({"done": _written(told.done), "next": _written(told.next)})
        tx.connection.execute(insert(store).values(key=KEY, value=value))


def forget(tx: Tx, cube_id: str) -> None:
    """Delete what is written down of a cube."""
    known = moves(tx)
    left = Moves(
        done=tuple(each for each in known.done if each.cube != cube_id),
        next=tuple(each for each in known.next if each.cube != cube_id),
    )
    if left != known:
        write(tx, left)


def _what(each: MoveView) -> tuple[str, str, str]:
    return (each.kind, each.tier, each.cube)


def _written(given: Iterable[MoveView]) -> list[dict[str, object]]:
    return [{**asdict(each), "at": each.at.isoformat()} for each in given]


def _read(rows: Iterable[dict[str, object]]) -> tuple[MoveView, ...]:
    return tuple(
        MoveView(**{**row, "at": datetime.fromisoformat(str(row["at"]))})  # type: ignore[arg-type]
        for row in rows
    )
