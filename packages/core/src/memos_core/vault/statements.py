"""The statements that every read runs, built once: building one costs more than running it."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    Select,
    String,
    Table,
    and_,
    bindparam,
    cast,
    func,
    or_,
    select,
    true,
)

from memos_core.cube import Access
from memos_core.memory import Relation, State, Visibility
from memos_core.query import Where
from memos_core.vault import dialect, schema
from memos_core.vault.schema import (
    OUT_OF_SIGHT,
    cubes,
    edges,
    grants,
    members,
    memories,
    sources,
    store,
    tags,
)
from memos_core.vault.seqs import SEPARATOR

Moment = datetime | BindParameter[datetime]


def in_sight(now: Moment) -> ColumnElement[bool]:
    """Return the condition under which a memory exists for a reader at `now`."""
    return and_(memories.c.state.not_in(OUT_OF_SIGHT), in_time(now))


def in_time(now: Moment) -> ColumnElement[bool]:
    """Return the condition under which a memory's time is not over; a frozen one's never is."""
    return or_(
        memories.c.expires_at.is_(None), memories.c.expires_at > now, memories.c.state == State.FROZEN.value
    )


def in_state(state: State | None, now: Moment) -> ColumnElement[bool]:
    """Return the condition for memories in this state at `now`; None is every state that is in sight.

    What is overdue counts as expired, whether its words were erased already or not.
    """
    match state:
        case None:
            return in_sight(now)
        case State.EXPIRED:
            return or_(memories.c.state == State.EXPIRED.value, ~in_time(now))
        case _:
            return and_(memories.c.state == state.value, in_time(now))


def matching(where: Where, *, plain: bool = True) -> list[ColumnElement[bool]]:
    """Return the filter as SQL conditions over `memories`.

    The table of tags knows the present only; where the rows are not `plain`, their own lists are read.
    """
    at = func.coalesce(memories.c.event_at, memories.c.created_at, type_=schema.UtcTime)
    found: list[ColumnElement[bool]] = []
    for column, wanted in (
        (memories.c.kind, where.kinds),
        (memories.c.speaker, where.speakers),
        (memories.c.session, where.sessions),
    ):
        if wanted:
            found.append(column.in_(wanted))
    if where.tags and not plain:
        found += [_has_tag(tag) for tag in where.tags]
    elif where.tags:
        having = select(tags.c.memory_seq).where(tags.c.tag.in_(where.tags)).group_by(tags.c.memory_seq)
        found.append(memories.c.seq.in_(having.having(func.count() == len(where.tags))))
    if where.since is not None:
        found.append(at >= where.since)
    if where.until is not None:
        found.append(at < where.until)
    if where.max_sensitivity is not None:
        found.append(memories.c.sensitivity <= where.max_sensitivity)
    if where.trust is not None:
        found.append(memories.c.trust == str(where.trust))
    if where.min_priority is not None:
        found.append(memories.c.priority >= where.min_priority)
    return found


def _has_tag(tag: str) -> ColumnElement[bool]:
    listed = dialect.listed(memories.c.tags).table_valued("value")
    return select(listed.c.value).select_from(listed).where(listed.c.value == tag).exists()


def visible_to(access: Access) -> ColumnElement[bool]:
    """Return the condition under which whoever entered a cube may see a memory of it."""
    if access.whole:
        return true()
    public = memories.c.visibility == Visibility.PUBLIC.value
    if not access.member:
        return public
    shared = memories.c.visibility == Visibility.SHARED.value
    return or_(public, shared, memories.c.owner == access.principal)


def visible_in(rows: Table) -> ColumnElement[bool]:
    """Return the same condition for `Access.binds`, over any rows with a visibility and an owner."""
    return or_(
        bindparam("whole", type_=Boolean),
        rows.c.visibility == Visibility.PUBLIC.value,
        and_(
            bindparam("member", type_=Boolean),
            or_(
                rows.c.visibility == Visibility.SHARED.value,
                rows.c.owner == bindparam("viewer", type_=String),
            ),
        ),
    )


def _granted_to(who: str) -> ColumnElement[bool]:
    """Return the condition for grants to the principal bound to `who`, or to a group that it is in."""
    joined = select(members.c.group_id).where(members.c.member == bindparam(who))
    return or_(
        and_(grants.c.kind == "principal", grants.c.grantee == bindparam(who)),
        and_(grants.c.kind == "group", grants.c.grantee.in_(joined)),
    )


# What every recall asks is built once: building such a statement costs more than running it. None of
# them names the cube beside a list of primary keys: without statistics SQLite takes the cube's index
# for the narrower one and reads the whole cube. Whose a row is, is looked at when it is here.

NOW = bindparam("now", type_=schema.UtcTime)
SEEN = and_(in_sight(NOW), visible_in(memories))
CUBE_NAMED = select(cubes).where(cubes.c.owner == bindparam("owner"), cubes.c.name == bindparam("name"))
CUBE = select(cubes).where(cubes.c.id == bindparam("cube"))
SETTING = select(store.c.value).where(store.c.key == bindparam("key"))
BY_SEQ = select(memories).where(memories.c.seq.in_(bindparam("seqs", expanding=True)), SEEN)
SEQS_BY_SEQ = BY_SEQ.with_only_columns(memories.c.seq, memories.c.cube_id)
VISIBLE_IDS = select(memories.c.id).where(
    memories.c.id.in_(bindparam("ids", expanding=True)), visible_in(memories)
)
GRANTED = (
    select(grants.c.right)
    .distinct()  # who is in fifty groups need not read fifty rows
    .where(grants.c.cube_id == bindparam("cube"), _granted_to("who"))
)
_CUBES_OF = (
    select(cubes)
    .where(
        or_(
            cubes.c.owner == bindparam("who"),
            cubes.c.id.in_(select(grants.c.cube_id).where(_granted_to("who"))),
        )
    )
    .order_by(cubes.c.created_at, cubes.c.id)
)


@lru_cache(maxsize=8)
def cubes_of(holding: ColumnElement[bool] | None, *, prefixed: bool) -> Select[Any]:
    """Return the statement for `who`'s cubes; with names from `start` to `end`, and that meet a condition."""
    query = _CUBES_OF
    if prefixed:
        query = query.where(cubes.c.name >= bindparam("start"), cubes.c.name < bindparam("end"))
    return query if holding is None else query.where(holding)


JOINED_SEQS = func.aggregate_strings(cast(memories.c.seq, String), SEPARATOR)
HAS_PUBLIC = (
    select(memories.c.seq)
    .where(
        memories.c.cube_id == bindparam("cube"),
        memories.c.visibility == Visibility.PUBLIC.value,
        in_sight(NOW),
    )
    .limit(1)
)
KEPT_BY_SEQ = select(memories).where(
    memories.c.seq.in_(bindparam("seqs", expanding=True)),
    memories.c.state != State.EXPIRED.value,
    in_time(NOW),
    visible_in(memories),
)
SEQS_BY_ID = select(memories.c.id, memories.c.seq, memories.c.cube_id).where(
    memories.c.id.in_(bindparam("ids", expanding=True))
)
ANY_EDGES = (
    select(edges)
    .where(edges.c.source.in_(bindparam("ids", expanding=True)))
    .order_by(edges.c.created_at, edges.c.target)
)
ANY_SUCCESSORS = select(edges.c.source, edges.c.target).where(
    edges.c.target.in_(bindparam("ids", expanding=True)), edges.c.relation == Relation.SUPERSEDES.value
)
_STANDS = and_(edges.c.cube_id.in_(bindparam("cubes", expanding=True)), edges.c.ended.is_(None))
EDGES = ANY_EDGES.where(_STANDS)
SUCCESSORS = ANY_SUCCESSORS.where(_STANDS)
BY_ID = select(memories).where(
    memories.c.id == bindparam("id"), memories.c.cube_id == bindparam("cube"), SEEN
)
KEPT_BY_ID = select(memories).where(
    memories.c.id == bindparam("id"),
    memories.c.cube_id == bindparam("cube"),
    memories.c.state != State.EXPIRED.value,
    in_time(NOW),
    visible_in(memories),
)
ANY_BY_ID = select(memories).where(
    memories.c.id == bindparam("id"), memories.c.cube_id == bindparam("cube"), visible_in(memories)
)
STATED = (
    select(memories.c.id)
    .where(memories.c.cube_id == bindparam("cube"), memories.c.digest == bindparam("digest"), SEEN)
    .where(memories.c.trust == bindparam("trust"))
    .limit(1)
)
SAID = (
    select(sources.c.digest, memories.c.seq, memories.c.id, sources.c.text, memories.c.trust)
    .join(memories, memories.c.seq == sources.c.memory_seq)
    .where(sources.c.cube_id.in_(bindparam("cubes", expanding=True)), SEEN)
    .where(sources.c.digest.in_(bindparam("digests", expanding=True)))
    .order_by(sources.c.id)  # the newest telling wins
)

PREPARED: Final = frozenset(
    {
        *(BY_SEQ, SEQS_BY_SEQ, KEPT_BY_SEQ, BY_ID, KEPT_BY_ID, ANY_BY_ID),
        *(VISIBLE_IDS, SEQS_BY_ID, HAS_PUBLIC, STATED, SAID),
    }
)
"""Those over `memories`: what asks for one of them with another cube's look asks again."""
