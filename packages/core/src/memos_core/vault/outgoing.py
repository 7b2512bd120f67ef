"""What leaves a cube in a file: rows of everything that whoever entered it may see, in one snapshot.

What is archived goes along; what is expired has no words left and stays. Rows come in the order of
their memories, few at a time. Of a fork it is what the fork shows, its own and what it shares.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, and_, func, or_, select

from memos_core.cube import CubeHeader
from memos_core.memory import State
from memos_core.vault import made, scope, statements
from memos_core.vault.records import may_see
from memos_core.vault.schema import edges, memories, records, sources, vectors, versions
from memos_core.vault.view import View, in_order

_STREAMED: Final = {"yield_per": 500}


def shown(view: View, cube: CubeHeader) -> ColumnElement[bool]:
    """Return the condition for the memories that go into a file; statements with it go through `View.ask`."""
    there = and_(memories.c.state != State.EXPIRED.value, statements.in_time(view.now))
    return and_(memories.c.cube_id == cube.id, there, statements.visible_to(cube.access))


def memory_rows(view: View, cube: CubeHeader) -> Iterator[Row[Any]]:
    """Yield memories, each with `message_id` of its first source and the `key` of its record."""
    first = select(sources.c.message_id).where(sources.c.memory_seq == memories.c.seq)
    first = first.order_by(sources.c.id).limit(1)
    key = select(records.c.key).where(records.c.memory_seq == memories.c.seq).limit(1)
    query = select(memories, first.scalar_subquery().label("message_id"), key.scalar_subquery().label("key"))
    return _streamed(view, cube, query.where(shown(view, cube)).order_by(*in_order(cube)))


def version_rows(view: View, cube: CubeHeader) -> Iterator[Row[Any]]:
    """Yield every version, oldest first within its memory, with `memory_id` and the `present` text."""
    query = select(versions, memories.c.id.label("memory_id"), memories.c.text.label("present"))
    query = query.join(memories, memories.c.seq == versions.c.memory_seq).where(shown(view, cube))
    return _streamed(view, cube, query.order_by(*in_order(cube), versions.c.version))


def source_rows(view: View, cube: CubeHeader) -> Iterator[Row[Any]]:
    """Yield every source, oldest first within its memory, with `memory_id` and the `present` text."""
    query = select(sources, memories.c.id.label("of"), memories.c.text.label("present"))
    query = query.join(memories, memories.c.seq == sources.c.memory_seq).where(shown(view, cube))
    return _streamed(view, cube, query.order_by(*in_order(cube), sources.c.id))


def link_rows(view: View, cube: CubeHeader) -> Iterator[Row[Any]]:
    """Yield the edges of which both ends go into the file."""
    there = select(memories.c.id).where(shown(view, cube))
    ids = there if cube.is_plain else scope.moved(there, cube)
    told = (edges.c.source, edges.c.relation, edges.c.target, edges.c.created_at, made.PUT_AWAY)
    query = select(*told).where(edges.c.source.in_(ids), edges.c.target.in_(ids), scope.edges_shown(cube))
    query = query.order_by(edges.c.created_at, edges.c.source, edges.c.target)
    return iter(view.connection.execute(query, view.moment, execution_options=_STREAMED))


def record_rows(view: View, cube: CubeHeader) -> Iterator[Row[Any]]:
    """Yield the records whose time is not over, with the `memory_id` of the memory behind each."""
    lasts = or_(
        records.c.expires_at.is_(None),
        records.c.expires_at > view.now,
        func.coalesce(memories.c.state, "") == State.FROZEN.value,
    )
    behind = records.outerjoin(memories, memories.c.seq == records.c.memory_seq)
    query = select(records, memories.c.id.label("memory_id")).select_from(behind)
    query = query.where(records.c.cube_id == cube.id, lasts, may_see())
    query = query.where(or_(records.c.memory_seq.is_(None), shown(view, cube)))  # no fork shares a record
    query = query.order_by(records.c.seq)
    return iter(view.connection.execute(query, view.eyes(cube), execution_options=_STREAMED))


def vector_rows(view: View, cube: CubeHeader, model: str) -> Iterator[Row[Any]]:
    """Yield (key_count, data) of every memory, in order; both None where it has no vectors by `model`."""
    of_model = and_(vectors.c.memory_seq == memories.c.seq, vectors.c.model == model)
    query = select(vectors.c.key_count, vectors.c.data).select_from(memories).outerjoin(vectors, of_model)
    return _streamed(view, cube, query.where(shown(view, cube)).order_by(*in_order(cube)))


def _streamed(view: View, cube: CubeHeader, query: Select[Any]) -> Iterator[Row[Any]]:
    return iter(view.ask(cube, query.execution_options(**_STREAMED)))
