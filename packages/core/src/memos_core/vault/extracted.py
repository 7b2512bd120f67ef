"""What an extractor found in memories, as erasure has to know it.

A statement that was extracted is a memory of its own and outlives the turn it was found in. Who erases the
turns of a session for good may ask that it goes with them: where it was found in nothing else, and nobody
has stated or revised it since.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, select

from memos_core.cube import CubeHeader
from memos_core.memory import EXTRACTED, Relation, State
from memos_core.vault import forks, made, scope, statements
from memos_core.vault.schema import edges, memories, parts
from memos_core.vault.view import View

_DERIVED = edges.c.relation == Relation.DERIVED_FROM.value


def only_in(view: View, cube: CubeHeader, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Return what was extracted from these memories and no other, from that, and so on, and may be seen.

    With these memories end others, that were merged with them or made from them: what was extracted from
    those counts as well.
    """
    going = list(rows)
    while fresh := _only_in(view, cube, {row.id for row in (*going, *made.ending(view, cube, going))}):
        going += fresh
    return going[len(rows) :]


def _only_in(view: View, cube: CubeHeader, ids: Collection[str]) -> list[Row[Any]]:
    reached = _links(view, cube, edges.c.target, ids)
    stands_on = defaultdict[str, set[str]](set)
    for source, target in _links(view, cube, edges.c.source, {source for source, _ in reached}):
        stands_on[source].add(target)
    gone = set(ids) | forks.parted(view, cube, set[str]().union(*stands_on.values()))
    only = [source for source, targets in stands_on.items() if source not in ids and targets <= gone]
    there = (memories.c.cube_id == cube.id, statements.visible_to(cube.access))
    query = select(memories).where(
        *there, memories.c.origin == EXTRACTED, memories.c.state != State.EXPIRED.value
    )
    found: list[Row[Any]] = []
    for part in parts(sorted(only)):
        found += view.ask(cube, query.where(memories.c.id.in_(part)).order_by(memories.c.seq))
    return found


def _links(
    view: View, cube: CubeHeader, end: ColumnElement[str], ids: Collection[str]
) -> set[tuple[str, str]]:
    """Return the links of the cube by which something is derived, that have one of these ids at this end."""
    found: set[tuple[str, str]] = set()
    query = select(edges.c.source, edges.c.target).where(_DERIVED, scope.edges_shown(cube))
    for part in parts(sorted(ids)):
        found |= {(row.source, row.target) for row in view.connection.execute(query.where(end.in_(part)))}
    return found
