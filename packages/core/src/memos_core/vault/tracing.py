"""Reads where a memory comes from and what came of it, as far as whoever entered the cube may see."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, and_, select

from memos_core.cube import CubeHeader
from memos_core.lineage import Kin, Lineage
from memos_core.memory import Memory, Relation, State
from memos_core.vault import artifacts, records, scope, statements
from memos_core.vault.schema import edges, memories, parts
from memos_core.vault.view import View

_STANDS_ON: Final = (Relation.DERIVED_FROM, Relation.SUPERSEDES)
"""Relations whose source stands on its target; where it "supports" it, it is the other way round."""


class _Step(NamedTuple):
    """A link seen from one of its ends: where it leads, and where one came from."""

    to: str
    via: str
    relation: Relation
    at: datetime


def lineage(view: View, cube: CubeHeader, memory_id: str) -> Lineage:
    """Return what a memory in sight came from, and what came of it."""
    row = view.memory_row(cube, memory_id)
    kept = records.by_memory(view, cube, [row.id]).get(row.id)
    return Lineage(
        memory=view.memory(cube, row.id),
        sources=view.sources(cube, row.id),
        versions=view.history(cube, row.id),
        ancestors=_kin(view, cube, row.id, up=True),
        descendants=_kin(view, cube, row.id, up=False),
        artifacts=artifacts.products_of(view.connection, cube, row.seq, now=view.now),
        record=None if kept is None else kept.key,
    )


def _kin(view: View, cube: CubeHeader, memory_id: str, *, up: bool) -> list[Kin]:
    """Walk the links away from a memory, the nearest first; what may not be seen ends the way."""
    found: list[Kin] = []
    reached, frontier, depth = {memory_id}, [memory_id], 0
    while frontier:
        depth += 1
        steps: dict[str, _Step] = {}
        for step in _steps(view, cube, frontier, up=up):
            if step.to not in reached:
                steps.setdefault(step.to, step)
        seen = _seen(view, cube, list(steps))
        found += [
            Kin(memory=memory, relation=step.relation, via=step.via, depth=depth, linked_at=step.at)
            for memory, step in ((seen[each], step) for each, step in steps.items() if each in seen)
        ]
        reached |= steps.keys()
        frontier = list(seen)
    return found


def _steps(view: View, cube: CubeHeader, ids: Sequence[str], *, up: bool) -> list[_Step]:
    """Return every link that leads one step up (or down) from these memories, oldest first."""
    found: list[_Step] = []
    for part in parts(ids):
        query = select(edges).where(_leads(part, up=up), scope.edges_shown(cube))
        rows = view.connection.execute(query.order_by(edges.c.created_at, edges.c.source, edges.c.target))
        found += [_step(row, up=up) for row in rows]
    return found


def _leads(ids: Sequence[str], *, up: bool) -> ColumnElement[bool]:
    stands = [relation.value for relation in _STANDS_ON]
    lower, upper = (edges.c.source, edges.c.target) if up else (edges.c.target, edges.c.source)
    return and_(lower.in_(ids), edges.c.relation.in_(stands)) | and_(
        upper.in_(ids), edges.c.relation == Relation.SUPPORTS.value
    )


def _step(row: Any, *, up: bool) -> _Step:
    relation = Relation(row.relation)
    lower, upper = (row.source, row.target) if relation in _STANDS_ON else (row.target, row.source)
    to, via = (upper, lower) if up else (lower, upper)
    return _Step(to=to, via=via, relation=relation, at=row.created_at)


def _seen(view: View, cube: CubeHeader, ids: Sequence[str]) -> dict[str, Memory]:
    """Return those of the memories that may be seen; archived ones too, for they are still stood on."""
    there = and_(
        memories.c.cube_id == cube.id,
        memories.c.state != State.EXPIRED.value,
        statements.in_time(view.now),
        statements.visible_to(cube.access),
    )
    rows: list[Any] = []
    for part in parts(ids):
        rows += view.ask(cube, select(memories).where(memories.c.id.in_(part), there)).all()
    known = {memory.id: memory for memory in view._values(cube, rows)}
    return {each: known[each] for each in ids if each in known}
