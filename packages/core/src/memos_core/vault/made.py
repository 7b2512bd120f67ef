"""What consolidation made of memories, as erasure has to know it.

A merged memory and a gist repeat words of their sources, so they end with any of them. Statements that
were merged rest in the archive and stand behind the merged one: who forgets that one forgets them; where
one of them is forgotten, the others come back. That they do is kept with the link (`put_away`), which goes
wherever the two go: into copies, files and other cubes, and back in time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, case, select, update

from memos_core.consolidation import CONSOLIDATED, GIST
from memos_core.cube import Access, CubeHeader, Right
from memos_core.lifecycle import check_writable
from memos_core.memory import Link, Relation, State
from memos_core.vault.schema import edges, memories, parts

if TYPE_CHECKING:
    from memos_core.vault.tx import Tx
    from memos_core.vault.view import View

_DERIVED = edges.c.relation == Relation.DERIVED_FROM.value
PUT_AWAY = case((edges.c.brought_back.is_(None), edges.c.put_away)).label("put_away")
"""Of an edge: the state in which its target stood before it was put away, where it is that still."""

_STANDS_BEHIND = edges.c.put_away.is_not(None) & edges.c.brought_back.is_(None) & edges.c.ended.is_(None)


class Behind(NamedTuple):
    """A statement that rests because it was merged, and the state in which it stood before."""

    row: Row[Any]
    was: State


def products(view: View, ids: Collection[str]) -> list[Row[Any]]:
    """Return what was consolidated from these memories, in whichever cube, also where that was undone.

    Whoever holds a row wrote its links. One that a fork keeps beside a copy of its own, of a row that it
    shares, makes that row no product of the copy: a fork reaches nothing of the cube it was made from.
    """
    query = _repeating().where(edges.c.cube_id == memories.c.cube_id)
    found: dict[int, Row[Any]] = {}
    for part in parts(sorted(ids)):
        rows = view.connection.execute(query.where(edges.c.target.in_(part)))
        found |= {row.seq: row for row in rows if row.id not in ids}
    return [found[seq] for seq in sorted(found)]


def quoting(view: View, cube: CubeHeader, ids: Collection[str]) -> list[Row[Any]]:
    """Return what a cube has or shares that was consolidated from these memories, whoever may see it."""
    query = _repeating().where(edges.c.cube_id.in_(cube.holders)).with_only_columns(memories.c.id)
    found: set[str] = set()
    for part in parts(sorted(ids)):
        found |= set(view.connection.execute(query.where(edges.c.target.in_(part))).scalars())
    return shown(view, cube, found - set(ids))


def _repeating() -> Select[Any]:
    query = select(memories).join(edges, edges.c.source == memories.c.id)
    return query.where(memories.c.origin == CONSOLIDATED, _DERIVED)


def behind(view: View, cube: CubeHeader, ids: Collection[str]) -> list[Behind]:
    """Return the statements that these merged ones put away and that nobody has moved since."""
    query = select(edges.c.target, edges.c.put_away).where(_DERIVED, _STANDS_BEHIND)
    query = query.where(edges.c.cube_id.in_(cube.holders))
    was: dict[str, str] = {}
    for part in parts(sorted(ids)):
        rows = view.connection.execute(query.where(edges.c.source.in_(part)))
        was |= {row.target: row.put_away for row in rows}
    there = shown(view, cube, was)
    return [Behind(row, State(was[row.id])) for row in there if row.state == State.ARCHIVED.value]


def absorbed(view: View, cube: CubeHeader, rows: Iterable[Row[Any]]) -> list[Row[Any]]:
    """Return what stands behind merged memories, and behind that, and so on, as rows that the cube shows."""
    frontier = {row.id for row in rows if row.origin == CONSOLIDATED and row.kind != GIST}
    known, found = set(frontier), list[Row[Any]]()
    while frontier:
        fresh = [each.row for each in behind(view, cube, frontier) if each.row.id not in known]
        found += fresh
        frontier = {row.id for row in fresh}
        known |= frontier
    return found


def put_behind(tx: Tx, link: Link, state: State) -> None:
    """Keep that the target of a link, which is in this state, is put away because it was merged."""
    this = (edges.c.source == link.source) & (edges.c.target == link.target) & _DERIVED
    tx.connection.execute(update(edges).where(this).values(put_away=state.value))


def moved_on(tx: Tx, cube: CubeHeader, of: ColumnElement[bool]) -> None:
    """Keep that the targets of these links are not in the archive: they stand behind nothing any more."""
    this = of & (edges.c.cube_id == cube.id) & _STANDS_BEHIND
    tx.connection.execute(update(edges).where(this).values(brought_back=cube.change))


def moved_back(tx: Tx, cube: CubeHeader, to: int) -> None:
    """Let what stood behind a merged memory at the cube's change `to`, and rests again, stand behind it."""
    away = select(memories.c.id).where(memories.c.state == State.ARCHIVED.value)
    since = (edges.c.cube_id == cube.id) & (edges.c.brought_back > to) & edges.c.ended.is_(None)
    again = update(edges).where(since, edges.c.target.in_(away))
    tx.connection.execute(again.values(brought_back=None))


def shown(view: View, cube: CubeHeader, ids: Collection[str]) -> list[Row[Any]]:
    """Return the rows of these memories that a cube has or shares, whoever may see them."""
    whole = replace(cube, access=Access(rights=frozenset(Right)))
    found: list[Row[Any]] = []
    for part in parts(sorted(ids)):
        query = select(memories).where(memories.c.id.in_(part), memories.c.cube_id == cube.id)
        found += view.ask(whole, query.order_by(memories.c.seq)).all()
    return found


def check_free(view: View, cube: CubeHeader, rows: Sequence[Row[Any]], *, verb: str) -> None:
    """Raise IllegalTransition where something that would end with these memories is frozen in this cube.

    What somebody froze in a fork binds the fork: like its copies, it goes with what it was made from.
    """
    for row in ending(view, cube, rows):
        check_writable(row.id, State(row.state), verb=verb)


def binds(view: View, cube: CubeHeader, rows: Sequence[Row[Any]]) -> bool:
    """Whether something else that would end with these memories is frozen in this cube."""
    return any(row.state == State.FROZEN.value for row in ending(view, cube, rows))


def ending(view: View, cube: CubeHeader, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Return what else ends in a cube with these memories."""
    found = absorbed(view, cube, rows)
    known = {row.id for row in (*rows, *found)}
    while fresh := quoting(view, cube, known):  # and what was made from that, and so on
        found += fresh
        known |= {row.id for row in fresh}
    return found
