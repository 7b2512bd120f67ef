"""What a cube shows where it is not just its own rows as they are now: a fork, a past state, several as one.

Such a cube is read through a query shaped like `memories`: every statement that the catalog has over
`memories` is moved onto it. Its rows carry the id of the cube that is looked at, `home` says which of
several it is, `held` whose row it really is; `keyed` differs from `now_keyed` where a past version is
found by other keys than the present one.

A past state is past in what was said and in which state it stood. Who may see it, and for how long
it is known, is a matter of today: what was erased, expired or hidden since is gone from the past too.

Building such a query costs more than running it, so it is kept by the `Look` that it was built for. The
moment is a bound `now` in it, which whoever runs it has to give.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, Self, cast

from sqlalchemy import (
    BigInteger,
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

from memos_core.cube import Access, CubeHeader
from memos_core.memory import State
from memos_core.record import RECORD
from memos_core.vault import schema, statements
from memos_core.vault.schema import edges, memories, standings, twins, versions
from memos_core.vault.statements import NOW

_KEPT: Final = 256
"""How many queries of each kind are kept: those of a dozen forks or past states that are read by turns."""

_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A cube as far as the query that reads it depends on it: what looks alike is read by the same one."""

    id: str
    access: Access
    at: int | None
    ttl: timedelta | None
    base: Look | None
    upto: int
    beside: tuple[Look, ...]

    @classmethod
    def of(cls, cube: CubeHeader) -> Self:
        base = cube.base
        return cls(
            id=cube.id,
            access=cube.access,
            at=cube.at,
            ttl=cube.limits.ttl,
            base=None if base is None else cls.of(base.cube),
            upto=0 if base is None else base.upto,
            beside=tuple(cls.of(each) for each in cube.beside),
        )

    @property
    def holders(self) -> tuple[str, ...]:
        """The ids of the cubes whose rows it may show: its own first, then those of what it is a fork of."""
        return (self.id, *(self.base.holders if self.base else ()))


def belongs(cube: CubeHeader) -> ColumnElement[bool]:
    """Return the condition under which a row is a memory of this one cube, shared ones among them."""
    return _belongs(Look.of(cube))


def shared(cube: CubeHeader) -> ColumnElement[bool]:
    """Return the condition under which a fork shares a row with the cube that it was made from."""
    return _shared(Look.of(cube))


def shown(cube: CubeHeader) -> Subquery:
    """Return the memories of a cube as a table: of all its members, of forks, of a past state."""
    return _shown(Look.of(cube))


def moved(statement: Select[Any], cube: CubeHeader) -> Select[Any]:
    """Return the statement over `memories` as one over what the cube shows."""
    move = _moved_once if statement in statements.PREPARED else _moved
    return move(statement, Look.of(cube))


def moved_edges(statement: Select[Any], cube: CubeHeader) -> Select[Any]:
    """Return the prepared statement over `edges` as one over those that the cube may show."""
    return _moved_edges(statement, Look.of(cube))


def edges_shown(cube: CubeHeader) -> ColumnElement[bool]:
    """Return the condition under which an edge may be one of what the cube shows; its ends must be, too."""
    return _stands(Look.of(cube))


def _belongs(look: Look) -> ColumnElement[bool]:
    own = memories.c.cube_id == look.id
    return own if look.base is None else or_(own, _shared(look))


def _shared(look: Look) -> ColumnElement[bool]:
    """Not what a fork has a copy of, or has removed; and no record: values stay where they were put."""
    if look.base is None:
        return memories.c.seq.is_(None)
    twin = select(twins.c.seq).where(twins.c.fork_id == look.id, twins.c.base_seq == memories.c.seq)
    found = [
        _belongs(look.base),
        statements.visible_to(look.base.access),
        memories.c.seq <= look.upto,
        memories.c.kind != RECORD,
        not_(twin.correlate(memories).exists()),
    ]
    if look.ttl is not None:
        until = type_coerce(memories.c.created_at, BigInteger) + look.ttl // _MICROSECOND
        found.append(or_(type_coerce(until, schema.UtcTime) > NOW, memories.c.state == State.FROZEN.value))
    return and_(*found)


@lru_cache(maxsize=_KEPT)
def _shown(look: Look) -> Subquery:
    members = [
        _past(each, look) if each.at is not None else _present(each, look) for each in look.beside or (look,)
    ]
    query = members[0] if len(members) == 1 else union_all(*members)
    return query.subquery("shown")


def _moved(statement: Select[Any], look: Look) -> Select[Any]:
    table = _shown(look)

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


_moved_once = lru_cache(maxsize=_KEPT)(_moved)


def _present(look: Look, of: Look) -> Select[Any]:
    columns = [
        *(literal(of.id, String).label("cube_id") if c is memories.c.cube_id else c for c in memories.c),
        literal(look.id, String).label("home"),
        memories.c.cube_id.label("held"),
        literal(0, Integer).label("keyed"),
        literal(0, Integer).label("now_keyed"),
    ]
    return select(*columns).where(_belongs(look), statements.visible_to(look.access))


def _past(look: Look, of: Look) -> Select[Any]:
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
        "state": _state(look),
        "expires_at": type_coerce(  # of what is frozen now it does not count, whatever it was then
            case((memories.c.state != State.FROZEN.value, memories.c.expires_at)), schema.UtcTime
        ),
        "home": literal(look.id, String),
        "held": memories.c.cube_id,
        "keyed": then.c.keyed,
        "now_keyed": present.c.keyed,
    }
    source = memories.join(
        then, and_(then.c.memory_seq == memories.c.seq, then.c.version == _version(look))
    ).join(present, and_(present.c.memory_seq == memories.c.seq, present.c.version == memories.c.version))
    return (
        select(*(column.label(name) for name, column in columns.items()))
        .select_from(source)
        .where(_belongs(look), statements.visible_to(look.access))
        .where(memories.c.state != State.EXPIRED.value, statements.in_time(NOW))
    )


def _version(look: Look) -> ColumnElement[int]:
    """Return the number of the version that a row had at the cube's change `at`; NULL before its first."""
    each = versions.alias("each")
    last = select(func.max(each.c.version)).where(
        each.c.memory_seq == memories.c.seq, each.c.change <= look.at
    )
    own = memories.c.cube_id == look.id
    return case((own, last.correlate(memories).scalar_subquery()), else_=memories.c.version)


def _state(look: Look) -> ColumnElement[str]:
    """Return the state that a row had at the cube's change `at`."""
    left = select(standings.c.state).where(
        standings.c.memory_seq == memories.c.seq, standings.c.until > look.at
    )
    first = left.order_by(standings.c.until).limit(1).correlate(memories).scalar_subquery()
    own = memories.c.cube_id == look.id
    return func.coalesce(case((own, first)), memories.c.state, type_=String)


@lru_cache(maxsize=_KEPT)
def _moved_edges(statement: Select[Any], look: Look) -> Select[Any]:
    return statement.where(_stands(look))


def _stands(look: Look) -> ColumnElement[bool]:
    return or_(*(_stands_in(each) for each in look.beside or (look,)))


def _stands_in(look: Look) -> ColumnElement[bool]:
    lasts = edges.c.ended.is_(None)
    if look.at is None:
        return and_(edges.c.cube_id.in_(look.holders), lasts)
    stood = or_(lasts, edges.c.ended > look.at)
    own = and_(edges.c.cube_id == look.id, edges.c.change <= look.at, stood)
    return or_(own, and_(edges.c.cube_id.in_(look.holders[1:]), lasts))
