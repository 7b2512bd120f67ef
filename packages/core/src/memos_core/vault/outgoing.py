"""What leaves a cube in a file: rows of everything that whoever entered it may see, in one snapshot.

What is archived goes along; what is expired has no words left and stays. Rows come in the order of
their memories, few at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, or_, select

from memos_core.cube import CubeHeader
from memos_core.memory import State
from memos_core.vault import statements
from memos_core.vault.records import visible_to as record_visible_to
from memos_core.vault.schema import edges, memories, records, sources, vectors, versions
from memos_core.vault.view import View

_AT_ONCE = 500


def shown(view: View, cube: CubeHeader) -> ColumnElement[bool]:
    """Return the condition for the memories that go into a file."""
    there = and_(memories.c.state != State.EXPIRED.value, statements.in_time(view.now))
    return and_(memories.c.cube_id == cube.id, there, statements.visible_to(cube.access))


def memory_rows(view: View, cube: CubeHeader) -> Iterator[Row[Any]]:
    """Yield memories, each with `message_id` of its first source and the `key` of its record."""
    first = select(sources.c.message_id).where(sources.c.memory_seq == memories.c.seq)
    first = first.order_by(sources.c.id).limit(1)
    key = select(records.c.key).where(records.c.memory_seq == memories.c.seq).limit(1)
    query = select(memories, first.scalar_subquery().label("message_id"), key.scalar_subquery().label("key"))
    return _streamed(view, query.where(shown(view, cube)).order_by(memories.c.seq))


def version_rows(view: View, cube: CubeHeader) -> Iterator[Row[Any]]:
    """Yield every version, oldest first within its memory, with `memory_id` and the `present` text."""
    query = select(versions, memories.c.id.label("memory_id"), memories.c.text.label("present"))
    query = query.join(memories, memories.c.seq == versions.c.memory_seq).where(shown(view, cube))
    return _streamed(view, query.order_by(versions.c.memory_seq, versions.c.version))


def source_rows(view: View, cube: CubeHeader) -> Iterator[Row[Any]]:
    """Yield every source, oldest first within its memory, with `memory_id` and the `present` text."""
    query = select(sources, memories.c.id.label("of"), memories.c.text.label("present"))
    query = query.join(memories, memories.c.seq == sources.c.memory_seq).where(shown(view, cube))
    return _streamed(view, query.order_by(sources.c.memory_seq, sources.c.id))


def link_rows(view: View, cube: CubeHeader) -> Iterator[Row[Any]]:
    """Yield the edges of which both ends go into the file."""
    ids = select(memories.c.id).where(shown(view, cube))
    query = select(edges).where(edges.c.source.in_(ids), edges.c.target.in_(ids))
    return _streamed(view, query.order_by(edges.c.created_at, edges.c.source, edges.c.target))


def record_rows(view: View, cube: CubeHeader) -> Iterator[Row[Any]]:
    """Yield the records whose time is not over, with the `memory_id` of the memory behind each."""
    lasts = or_(
        records.c.expires_at.is_(None),
        records.c.expires_at > view.now,
        func.coalesce(memories.c.state, "") == State.FROZEN.value,
    )
    behind = records.outerjoin(memories, memories.c.seq == records.c.memory_seq)
    query = select(records, memories.c.id.label("memory_id")).select_from(behind)
    query = query.where(records.c.cube_id == cube.id, lasts, record_visible_to(cube))
    query = query.where(or_(records.c.memory_seq.is_(None), shown(view, cube)))
    return _streamed(view, query.order_by(records.c.seq))


def vector_rows(view: View, cube: CubeHeader, model: str) -> Iterator[Row[Any]]:
    """Yield (key_count, data) of every memory, in order; both None where it has no vectors by `model`."""
    of_model = and_(vectors.c.memory_seq == memories.c.seq, vectors.c.model == model)
    query = select(vectors.c.key_count, vectors.c.data).select_from(memories.outerjoin(vectors, of_model))
    return _streamed(view, query.where(shown(view, cube)).order_by(memories.c.seq))


def _streamed(view: View, query: Select[Any]) -> Iterator[Row[Any]]:
    return iter(view.connection.execute(query, execution_options={"yield_per": _AT_ONCE}))
