"""What consolidation made of memories, as erasure has to know it.

A merged memory and a gist repeat words of their sources, so they end with any of them. Statements that
were merged rest in the archive and stand behind the merged one: who forgets that one forgets them; where
one of them is forgotten, the others come back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, Select, and_, func, select

from memos_core.consolidation import CONSOLIDATED, GIST
from memos_core.cube import Access, CubeHeader, Right
from memos_core.lifecycle import check_writable
from memos_core.memory import Relation, State
from memos_core.vault.schema import edges, memories, parts, standings, versions

if TYPE_CHECKING:
    from memos_core.vault.view import View

_DERIVED = edges.c.relation == Relation.DERIVED_FROM.value


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


def behind(view: View, ids: Collection[str]) -> list[Row[Any]]:
    """Return the statements that these merged ones put away and that nobody has moved since.

    Each with `was`, the state in which it stood before.
    """
    merged = memories.alias("merged")
    first = and_(versions.c.memory_seq == merged.c.seq, versions.c.version == 1)
    moved = and_(standings.c.memory_seq == memories.c.seq, standings.c.until == versions.c.change)
    later = standings.alias("later")
    last = select(func.max(later.c.until)).where(later.c.memory_seq == memories.c.seq).scalar_subquery()
    query = (
        select(memories, standings.c.state.label("was"))
        .join(edges, edges.c.target == memories.c.id)
        .join(merged, merged.c.id == edges.c.source)
        .join(versions, first)
        .join(standings, moved)
        .where(_DERIVED, memories.c.state == State.ARCHIVED.value, standings.c.until == last)
        .where(merged.c.origin == CONSOLIDATED, merged.c.kind != GIST)
        .where(merged.c.cube_id == memories.c.cube_id)
    )
    found: dict[int, Row[Any]] = {}
    for part in parts(sorted(ids)):
        rows = view.connection.execute(query.where(merged.c.id.in_(part)))
        found |= {row.seq: row for row in rows}
    return [found[seq] for seq in sorted(found)]


def absorbed(view: View, cube: CubeHeader, rows: Iterable[Row[Any]]) -> list[Row[Any]]:
    """Return what stands behind merged memories, and behind that, and so on, as rows that the cube shows."""
    frontier = {row.id for row in rows if row.origin == CONSOLIDATED and row.kind != GIST}
    known, found = set(frontier), set[str]()
    while frontier:
        fresh = {row.id for row in behind(view, frontier)} - known
        found |= fresh
        known |= fresh
        frontier = fresh
    return shown(view, cube, found)


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
    for row in _ending(view, cube, rows):
        check_writable(row.id, State(row.state), verb=verb)


def binds(view: View, cube: CubeHeader, rows: Sequence[Row[Any]]) -> bool:
    """Whether something else that would end with these memories is frozen in this cube."""
    return any(row.state == State.FROZEN.value for row in _ending(view, cube, rows))


def _ending(view: View, cube: CubeHeader, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Return what else ends in a cube with these memories."""
    found = absorbed(view, cube, rows)
    known = {row.id for row in (*rows, *found)}
    while fresh := quoting(view, cube, known):  # and what was made from that, and so on
        found += fresh
        known |= {row.id for row in fresh}
    return found
