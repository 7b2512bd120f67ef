"""Rows of values under keys. A record lives and dies with the memory that it is found by."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from memos_core.cube import CubeHeader, Principal, Right
from memos_core.errors import Forbidden
from memos_core.lifecycle import check_writable
from memos_core.memory import State, Visibility
from memos_core.record import Entry, Record
from memos_core.vault import chain, statements
from memos_core.vault.schema import OUT_OF_SIGHT, cubes, memories, parts, records
from memos_core.vault.tx import Tx
from memos_core.vault.view import View

_KEPT = (
    records,
    memories.c.id.label("memory_id"),
    memories.c.text,
    memories.c.state,
    memories.c.owner.label("memory_owner"),
    memories.c.visibility.label("memory_visibility"),
    memories.c.expires_at.label("memory_expires_at"),
)
_BEHIND = records.outerjoin(memories, memories.c.seq == records.c.memory_seq)
_MICROSECOND = timedelta(microseconds=1)


def to_record(row: Row[Any]) -> Record:
    """Return a row as a value; its data belongs to nobody else."""
    return Record(
        key=row.key,
        data=json.loads(row.data),
        memory_id=row.memory_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        ttl=None if row.ttl is None else row.ttl * _MICROSECOND,
        expires_at=row.expires_at,
    )


def frozen() -> ColumnElement[bool]:
    """Return the condition under which the memory behind a record is frozen."""
    return func.coalesce(memories.c.state, "") == State.FROZEN.value


def may_see() -> ColumnElement[bool]:
    """Return the condition under which whoever entered a cube may see a record of it, for `Access.binds`.

    It is that of its memory; one without a memory has an owner and a visibility of its own.
    """
    is_bare = records.c.memory_seq.is_(None)
    return or_(
        and_(is_bare, statements.visible_in(records)),
        and_(~is_bare, statements.visible_in(memories)),
    )


# Built once, as those of `statements` are. A record exists while its time is not over and its memory is
# in sight; behind a frozen memory a record is frozen, too: its time is never over.

_LASTS = or_(records.c.expires_at.is_(None), records.c.expires_at > statements.NOW, frozen())
_EXISTS = and_(_LASTS, or_(records.c.memory_seq.is_(None), statements.in_sight(statements.NOW)))
_OF_CUBE = records.c.cube_id == bindparam("cube")
_SHOWN = and_(_OF_CUBE, _EXISTS, may_see())
_ROWS = select(*_KEPT).select_from(_BEHIND)
_OF_KEYS = _ROWS.where(_OF_CUBE, records.c.key.in_(bindparam("keys", expanding=True)))
_KEYS_VISIBLE = _OF_KEYS.where(may_see())
_KEYS_SHOWN = _KEYS_VISIBLE.where(_EXISTS)
_MEMORIES_SHOWN = _ROWS.where(memories.c.id.in_(bindparam("ids", expanding=True)), _SHOWN)
_NEWEST = _ROWS.where(_SHOWN).order_by(records.c.updated_at.desc(), records.c.seq.desc())
_OVER = _ROWS.where(_OF_CUBE, records.c.expires_at <= statements.NOW, ~frozen(), may_see())
_COUNT = select(func.count()).select_from(_BEHIND).where(_SHOWN)
_HOLDING = (
    select(records.c.seq)
    .select_from(_BEHIND)
    .where(_EXISTS, records.c.cube_id == cubes.c.id)
    .correlate(cubes)
    .exists()
)


def by_key(view: View, cube: CubeHeader, keys: Collection[str]) -> dict[str, Row[Any]]:
    """Return the rows of these keys that exist for whoever entered the cube."""
    return _by_key(view, cube, keys, _KEYS_SHOWN)


def held(view: View, cube: CubeHeader, keys: Collection[str]) -> dict[str, Row[Any]]:
    """Return the rows of these keys, whoever may see them and whatever became of them."""
    return _by_key(view, cube, keys, _OF_KEYS)


def visible(view: View, cube: CubeHeader, keys: Collection[str]) -> dict[str, Row[Any]]:
    """Return the rows of these keys that whoever entered the cube may see, whatever became of them."""
    return _by_key(view, cube, keys, _KEYS_VISIBLE)


def _by_key(
    view: View, cube: CubeHeader, keys: Collection[str], statement: Select[Any]
) -> dict[str, Row[Any]]:
    found: dict[str, Row[Any]] = {}
    for part in parts(list(keys)):
        rows = view.connection.execute(statement, {**_seen(view, cube), "keys": part})
        found |= {row.key: row for row in rows}
    return found


def by_memory(view: View, cube: CubeHeader, ids: Collection[str]) -> dict[str, Row[Any]]:
    """Return the rows that exist for whoever entered the cube, by the id of the memory behind each."""
    found: dict[str, Row[Any]] = {}
    for part in parts(list(ids)):
        rows = view.connection.execute(_MEMORIES_SHOWN, {**_seen(view, cube), "ids": part})
        found |= {row.memory_id: row for row in rows}
    return found


def newest(view: View, cube: CubeHeader, *, limit: int | None, offset: int) -> list[Row[Any]]:
    """Return the rows that exist for whoever entered the cube, the last written first."""
    return list(view.connection.execute(_NEWEST.limit(limit).offset(offset), _seen(view, cube)))


def expired(view: View, cube: CubeHeader) -> list[Row[Any]]:
    """Return the rows whose time is over, of those that whoever entered the cube might see."""
    return list(view.connection.execute(_OVER, _seen(view, cube)))


def count(view: View, cube: CubeHeader) -> int:
    """Return how many records exist for whoever entered the cube."""
    return int(view.connection.execute(_COUNT, _seen(view, cube)).scalar_one())


def cubes_with(view: View, principal: Principal, *, prefix: str) -> list[CubeHeader]:
    """Return the principal's cubes in which it sees a record and whose names start so, oldest first."""
    found = view.cubes_of(principal, prefix=prefix, holding=_HOLDING)
    return [
        cube
        for cube in found
        if cube.owner == principal.name or count(view, view.enter(cube.id, principal, Right.READ))
    ]


def _seen(view: View, cube: CubeHeader) -> dict[str, object]:
    return {**view.eyes(cube), "cube": cube.id}


# --- changes -------------------------------------------------------------------------------------


def write(
    tx: Tx,
    cube: CubeHeader,
    entries: Sequence[Entry],
    *,
    present: Mapping[str, Row[Any]],
    behind: Mapping[str, int | None],
    visibility: Visibility,
) -> None:
    """Write the entries over the `present` rows; `behind` is the seq of each key's memory.

    `visibility` is for keys that are not present; the others keep theirs.
    """
    fresh: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    for entry in entries:
        before = present.get(entry.key)
        created_at = tx.now if before is None else before.created_at
        row = {
            "key": entry.key,
            "data": entry.json,
            "memory_seq": behind[entry.key],
            "ttl": None if entry.ttl is None else entry.ttl // _MICROSECOND,
            "expires_at": ends_at(cube, entry.ttl, created_at=created_at, now=tx.now),
            "updated_at": tx.now,
        }
        if before is None:
            own = {"owner": tx.principal.name, "visibility": visibility.value, "created_at": created_at}
            fresh.append({**row, "cube_id": cube.id, **own})
        else:
            changed.append({**row, "of": before.seq})
    if fresh:
        tx.connection.execute(insert(records), fresh)
    if changed:
        query = update(records).where(records.c.seq == bindparam("of"))
        tx.connection.execute(query, changed)
    _note(tx, cube, "put", len(entries))


def ends_at(
    cube: CubeHeader, ttl: timedelta | None, *, created_at: datetime, now: datetime
) -> datetime | None:
    """Return until when a record with this ttl is known from now on; no longer than the cube allows."""
    ends = [] if ttl is None else [now + ttl]
    if cube.limits.ttl is not None:
        ends.append(created_at + cube.limits.ttl)
    return min(ends, default=None)


def check_put(tx: Tx, cube: CubeHeader, rows: Collection[Row[Any]]) -> None:
    """Raise unless the principal may write over these rows.

    Forbidden for a record that only somebody else sees: a key names one value. IllegalTransition
    for a frozen one.
    """
    mine = visible(tx, cube, [row.key for row in rows])
    for row in rows:
        if row.key not in mine and not _is_over(row, now=tx.now):
            raise Forbidden(tx.principal.name, verb="put anything under", what=f"the key {row.key!r}")
        if row.memory_id is not None:
            check_writable(row.memory_id, State(row.state), verb="put")


def lives(row: Row[Any], *, now: datetime) -> bool:
    """Return whether a row exists at `now`, for who may see it."""
    return not _is_over(row, now=now) and row.state not in OUT_OF_SIGHT


def _is_over(row: Row[Any], *, now: datetime) -> bool:
    if row.state == State.FROZEN.value:
        return False
    return any(end is not None and end <= now for end in (row.expires_at, row.memory_expires_at))


def part_from_memory(tx: Tx, row: Row[Any]) -> None:
    """Let a record be without the memory that it was found by; whoever saw that one still sees the record."""
    own = {"owner": row.memory_owner, "visibility": row.memory_visibility}
    tx.connection.execute(update(records).where(records.c.seq == row.seq).values(memory_seq=None, **own))


def erase(tx: Tx, cube: CubeHeader, rows: Collection[Row[Any]]) -> None:
    """Delete records, and the memories that they are found by. IllegalTransition for a frozen one."""
    for row in rows:
        if row.memory_seq is not None:
            tx.erase_row(cube, memory_of(tx.connection, row))
        else:
            tx.connection.execute(delete(records).where(records.c.seq == row.seq))
    _note(tx, cube, "drop", len(rows))


def memory_of(connection: Connection, row: Row[Any]) -> Row[Any]:
    """Return the row of the memory that a record is found by, in sight or not."""
    return connection.execute(select(memories).where(memories.c.seq == row.memory_seq)).one()


def renew(tx: Tx, cube: CubeHeader, rows: Collection[Row[Any]]) -> None:
    """Let records with a ttl, and their memories, live for as long again; frozen ones do anyway."""
    for row in rows:
        if row.state == State.FROZEN.value:
            continue
        end = ends_at(cube, row.ttl * _MICROSECOND, created_at=row.created_at, now=tx.now)
        until(tx, row.memory_seq, end)
        tx.connection.execute(update(records).where(records.c.seq == row.seq).values(expires_at=end))


def until(tx: Tx, memory_seq: int | None, expires_at: datetime | None) -> None:
    """Set until when a memory may be known."""
    if memory_seq is not None:
        query = update(memories).where(memories.c.seq == memory_seq)
        tx.connection.execute(query.values(expires_at=expires_at))


def renewable(row: Row[Any], cube: CubeHeader, *, now: datetime) -> bool:
    """Return whether reading the row at `now` should move its end, by more than a thousandth of its ttl.

    Reads that follow each other closely need not write each time, and who may not write renews nothing.
    """
    if row.ttl is None or row.state == State.FROZEN.value or Right.WRITE not in cube.access.rights:
        return False
    end = ends_at(cube, row.ttl * _MICROSECOND, created_at=row.created_at, now=now)
    return end is not None and end - row.expires_at > row.ttl * _MICROSECOND / 1000


def _note(tx: Tx, cube: CubeHeader, verb: str, times: int) -> None:
    """Write an audit line for each of so many records. It names no key: a key is the user's words."""
    if times:
        chain.append(tx.connection, [tx._line(cube, verb)] * times)
