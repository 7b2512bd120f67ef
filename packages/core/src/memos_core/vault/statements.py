"""The statements that every read runs, built once: building one costs more than running it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BindParameter, ColumnElement, and_, bindparam, func, or_, select

from memos_core.memory import Relation
from memos_core.query import Where
from memos_core.vault import schema
from memos_core.vault.schema import OUT_OF_SIGHT, cubes, edges, memories, sources, store, tags


def in_sight(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Return the condition under which a memory exists for a reader at `now`."""
    return and_(
        memories.c.state.not_in(OUT_OF_SIGHT),
        or_(memories.c.expires_at.is_(None), memories.c.expires_at > now),
    )


def matching(where: Where) -> list[ColumnElement[bool]]:
    """Return the filter as SQL conditions over `memories`."""
    at = func.coalesce(memories.c.event_at, memories.c.created_at, type_=schema.UtcTime)
    found: list[ColumnElement[bool]] = []
    for column, wanted in (
        (memories.c.kind, where.kinds),
        (memories.c.speaker, where.speakers),
        (memories.c.session, where.sessions),
    ):
        if wanted:
            found.append(column.in_(wanted))
    if where.tags:
        having = select(tags.c.memory_seq).where(tags.c.tag.in_(where.tags)).group_by(tags.c.memory_seq)
        found.append(memories.c.seq.in_(having.having(func.count() == len(where.tags))))
    if where.since is not None:
        found.append(at >= where.since)
    if where.until is not None:
        found.append(at < where.until)
    if where.max_sensitivity is not None:
        found.append(memories.c.sensitivity <= where.max_sensitivity)
    if where.min_priority is not None:
        found.append(memories.c.priority >= where.min_priority)
    return found


# What every recall asks is built once: building such a statement costs more than running it. None of
# them names the cube beside a list of primary keys: without statistics SQLite takes the cube's index
# for the narrower one and reads the whole cube. Whose a row is, is looked at when it is here.

SEEN = in_sight(bindparam("now", type_=schema.UtcTime))
CUBE = select(cubes).where(cubes.c.id == bindparam("cube"))
SETTING = select(store.c.value).where(store.c.key == bindparam("key"))
BY_SEQ = select(memories).where(memories.c.seq.in_(bindparam("seqs", expanding=True)), SEEN)
SEQS_BY_SEQ = BY_SEQ.with_only_columns(memories.c.seq, memories.c.cube_id)
SEQS_BY_ID = select(memories.c.id, memories.c.seq, memories.c.cube_id).where(
    memories.c.id.in_(bindparam("ids", expanding=True))
)
EDGES = (
    select(edges)
    .where(edges.c.source.in_(bindparam("ids", expanding=True)))
    .order_by(edges.c.created_at, edges.c.target)
)
SUCCESSORS = select(edges.c.source, edges.c.target).where(
    edges.c.target.in_(bindparam("ids", expanding=True)), edges.c.relation == Relation.SUPERSEDES.value
)
BY_ID = select(memories).where(
    memories.c.id == bindparam("id"), memories.c.cube_id == bindparam("cube"), SEEN
)
STATED = (
    select(memories.c.id)
    .where(memories.c.cube_id == bindparam("cube"), memories.c.digest == bindparam("digest"), SEEN)
    .limit(1)
)
SAID = (
    select(sources.c.digest, memories.c.seq, memories.c.id, sources.c.text)
    .join(memories, memories.c.seq == sources.c.memory_seq)
    .where(sources.c.cube_id == bindparam("cube"), SEEN)
    .where(sources.c.digest.in_(bindparam("digests", expanding=True)))
    .order_by(sources.c.id)  # the newest telling wins
)
