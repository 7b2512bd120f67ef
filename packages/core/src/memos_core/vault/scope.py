"""What a cube shows where it is not just its own rows as they are now: a fork, a past state, several as one.

Such a cube is read through a query shaped like `memories`: every statement that the catalog has over
`memories` is moved onto it. Its rows carry the id of the cube that is looked at, `home` says which of
several it is, `held` whose row it really is; `keyed` differs from `now_keyed` where a past version is
found by other keys than the present one.

A past state is past in what was said and in which state it stood. Who may see it, and for how long
it is known, is a matter of today: what was erased, expired or hidden since is gone from the past too.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    String,
    Subquery,
    and_,
    case,
    func,
    literal,
    not_,
    or_,
    select,
    type_coerce,
    union_all,
)
from sqlalchemy.sql import visitors

from memos_core.cube import CubeHeader
from memos_core.memory import State
from memos_core.record import RECORD
from memos_core.vault import schema, statements
from memos_core.vault.schema import edges, memories, standings, twins, versions


def belongs(cube: CubeHeader, now: datetime) -> ColumnElement[bool]:
    """Return the condition under which a row is a memory of this one cube, shared ones among them."""
    own = memories.c.cube_id == cube.id
    return own if cube.base is None else or_(own, shared(cube, now))


def shared(cube: CubeHeader, now: datetime) -> ColumnElement[bool]:
    """Return the condition under which a fork shares a row with the cube that it was made from.

    Not what it has a copy of, or has removed; and no record: values stay where they were put.
    """
    if cube.base is None:
        return memories.c.seq.is_(None)
    twin = select(twins.c.seq).where(twins.c.fork_id == cube.id, twins.c.base_seq == memories.c.seq)
    found = [
        belongs(cube.base.cube, now),
        statements.visible_to(cube.base.cube.access),
        memories.c.seq <= cube.base.upto,
        memories.c.kind != RECORD,
        not_(twin.correlate(memories).exists()),
    ]
    if cube.limits.ttl is not None:
        lasts = memories.c.created_at > now - cube.limits.ttl
        found.append(or_(lasts, memories.c.state == State.FROZEN.value))
    return and_(*found)


def shown(cube: CubeHeader, now: datetime) -> Subquery:
    """Return the memories of a cube as a table: of all its members, of forks, of a past state."""
    members = [
        _past(each, cube, now) if each.at is not None else _present(each, cube, now) for each in cube.members
    ]
    query = members[0] if len(members) == 1 else union_all(*members)
    return query.subquery("shown")


def moved(statement: Select[Any], cube: CubeHeader, now: datetime) -> Select[Any]:
    """Return the statement over `memories` as one over what the cube shows."""
    table = shown(cube, now)

    def replace(element: Any, **_: Any) -> Any:
        if element is memories:
            return table
        if getattr(element, "table", None) is memories:
            return table.c[element.name]
        return None

    found: Any = visitors.replacement_traverse(statement, {}, replace)
    if set(memories.c) <= set(statement.selected_columns):  # whole rows: say whose they are
        found = found.add_columns(table.c.home, table.c.held)
    return cast("Select[Any]", found)


def _present(cube: CubeHeader, of: CubeHeader, now: datetime) -> Select[Any]:
    columns = [
        *(literal(of.id, String).label("cube_id") if c is memories.c.cube_id else c for c in memories.c),
        literal(cube.id, String).label("home"),
        memories.c.cube_id.label("held"),
        literal(0, Integer).label("keyed"),
        literal(0, Integer).label("now_keyed"),
    ]
    return select(*columns).where(belongs(cube, now), statements.visible_to(cube.access))


def _past(cube: CubeHeader, of: CubeHeader, now: datetime) -> Select[Any]:
    """Return the memories that the cube had at its change `at`, in the version and state of then.

    What a fork shares never changes for it (whoever changes it makes copies first), so its versions
    and states count only where the row is the cube's own.
    """
    then, present = versions.alias("then"), versions.alias("present")
    columns: dict[str, ColumnElement[Any]] = {
        **{column.name: column for column in memories.c},
        **{name: then.c[name] for name in ("version", "text", "kind", "tags", "speaker", "role", "event_at")},
        "cube_id": literal(of.id, String),
        "updated_at": then.c.written_at,
        "state": _state(cube),
        "expires_at": type_coerce(  # of what is frozen now it does not count, whatever it was then
            case((memories.c.state != State.FROZEN.value, memories.c.expires_at)), schema.UtcTime
        ),
        "home": literal(cube.id, String),
        "held": memories.c.cube_id,
        "keyed": then.c.keyed,
        "now_keyed": present.c.keyed,
    }
    source = memories.join(
        then, and_(then.c.memory_seq == memories.c.seq, then.c.version == _version(cube))
    ).join(present, and_(present.c.memory_seq == memories.c.seq, present.c.version == memories.c.version))
    return (
        select(*(column.label(name) for name, column in columns.items()))
        .select_from(source)
        .where(belongs(cube, now), statements.visible_to(cube.access))
        .where(memories.c.state != State.EXPIRED.value, statements.in_time(now))
    )


def _version(cube: CubeHeader) -> ColumnElement[int]:
    """Return the number of the version that a row had at the cube's change `at`; NULL before its first."""
    each = versions.alias("each")
    last = select(func.max(each.c.version)).where(
        each.c.memory_seq == memories.c.seq, each.c.change <= cube.at
    )
    own = memories.c.cube_id == cube.id
    return case((own, last.correlate(memories).scalar_subquery()), else_=memories.c.version)


def _state(cube: CubeHeader) -> ColumnElement[str]:
    """Return the state that a row had at the cube's change `at`."""
    left = select(standings.c.state).where(
        standings.c.memory_seq == memories.c.seq, standings.c.until > cube.at
    )
    first = left.order_by(standings.c.until).limit(1).correlate(memories).scalar_subquery()
    own = memories.c.cube_id == cube.id
    return func.coalesce(case((own, first)), memories.c.state, type_=String)


def edges_shown(cube: CubeHeader) -> ColumnElement[bool]:
    """Return the condition under which an edge may be one of what the cube shows; its ends must be, too."""
    return or_(*(_edges_of(each) for each in cube.members))


def _edges_of(cube: CubeHeader) -> ColumnElement[bool]:
    stands = edges.c.ended.is_(None)
    if cube.at is None:
        return and_(edges.c.cube_id.in_(cube.holders), stands)
    stood = or_(stands, edges.c.ended > cube.at)
    own = and_(edges.c.cube_id == cube.id, edges.c.change <= cube.at, stood)
    return or_(own, and_(edges.c.cube_id.in_(cube.holders[1:]), stands))
