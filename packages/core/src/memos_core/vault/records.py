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
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from memos_core.cube import CubeHeader
from memos_core.record import Entry, Record
from memos_core.vault import values
from memos_core.vault.schema import audit, cubes, memories, microseconds, parts, records
from memos_core.vault.tx import Tx

_KEPT = (records, memories.c.id.label("memory_id"), memories.c.text, memories.c.state)
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


def alive(now: datetime) -> ColumnElement[bool]:
    """Return the condition under which a record exists for a reader at `now`."""
    return or_(records.c.expires_at.is_(None), records.c.expires_at > now)


def by_key(
    connection: Connection, cube: CubeHeader, keys: Collection[str], *, now: datetime | None = None
) -> dict[str, Row[Any]]:
    """Return the rows of these keys; with `now`, only those that exist for a reader then."""
    found: dict[str, Row[Any]] = {}
    for part in parts(list(keys)):
        query = select(*_KEPT).select_from(_BEHIND)
        query = query.where(records.c.cube_id == cube.id, records.c.key.in_(part))
        if now is not None:
            query = query.where(alive(now))
        found |= {row.key: row for row in connection.execute(query)}
    return found


def by_memory(
    connection: Connection, cube: CubeHeader, ids: Collection[str], *, now: datetime
) -> dict[str, Row[Any]]:
    """Return the rows that exist for a reader at `now`, by the id of the memory they are found by."""
    found: dict[str, Row[Any]] = {}
    for part in parts(list(ids)):
        query = select(*_KEPT).select_from(_BEHIND)
        query = query.where(memories.c.id.in_(part), records.c.cube_id == cube.id, alive(now))
        found |= {row.memory_id: row for row in connection.execute(query)}
    return found


def newest(
    connection: Connection, cube: CubeHeader, *, now: datetime, limit: int | None, offset: int
) -> list[Row[Any]]:
    """Return the rows that exist for a reader at `now`, the last written first."""
    query = select(*_KEPT).select_from(_BEHIND).where(records.c.cube_id == cube.id, alive(now))
    query = query.order_by(records.c.updated_at.desc(), records.c.seq.desc())
    return list(connection.execute(query.limit(limit).offset(offset)))


def expired(connection: Connection, cube: CubeHeader, *, now: datetime) -> list[str]:
    """Return the keys of the records that no reader sees any more."""
    query = select(records.c.key).where(records.c.cube_id == cube.id, records.c.expires_at <= now)
    return list(connection.execute(query).scalars())


def count(connection: Connection, cube: CubeHeader, *, now: datetime) -> int:
    """Return how many records exist for a reader at `now`."""
    query = select(func.count()).select_from(records).where(records.c.cube_id == cube.id, alive(now))
    return int(connection.execute(query).scalar_one())


def held_at(now: datetime) -> ColumnElement[bool]:
    """Return the condition under which a cube holds records for a reader at `now`."""
    return exists().where(records.c.cube_id == cubes.c.id, alive(now)).correlate(cubes)


# --- changes -------------------------------------------------------------------------------------


def write(
    tx: Tx,
    cube: CubeHeader,
    entries: Sequence[Entry],
    *,
    present: Mapping[str, Row[Any]],
    behind: Mapping[str, int | None],
) -> None:
    """Write the entries over the `present` rows; `behind` is the seq of each key's memory."""
    fresh: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    for entry in entries:
        row = {
            "key": entry.key,
            "data": entry.json,
            "memory_seq": behind[entry.key],
            "ttl": None if entry.ttl is None else entry.ttl // _MICROSECOND,
            "expires_at": None if entry.ttl is None else tx.now + entry.ttl,
            "updated_at": tx.now,
        }
        if entry.key in present:
            changed.append({**row, "of": present[entry.key].seq})
        else:
            fresh.append({**row, "cube_id": cube.id, "created_at": tx.now})
    if fresh:
        tx.connection.execute(insert(records), fresh)
    if changed:
        query = update(records).where(records.c.seq == bindparam("of"))
        tx.connection.execute(query, changed)
    _note(tx, cube, "put", len(entries))


def part_from_memory(tx: Tx, row: Row[Any]) -> None:
    """Let a record be without the memory that it was found by."""
    tx.connection.execute(update(records).where(records.c.seq == row.seq).values(memory_seq=None))


def erase(tx: Tx, cube: CubeHeader, rows: Collection[Row[Any]]) -> None:
    """Delete records, and the memories that they are found by."""
    for row in rows:
        if row.memory_seq is not None:
            tx.erase_row(cube, memory_of(tx.connection, row))
        else:
            tx.connection.execute(delete(records).where(records.c.seq == row.seq))
    _note(tx, cube, "drop", len(rows))


def memory_of(connection: Connection, row: Row[Any]) -> Row[Any]:
    """Return the row of the memory that a record is found by, in sight or not."""
    return connection.execute(select(memories).where(memories.c.seq == row.memory_seq)).one()


def renew(tx: Tx, rows: Collection[Row[Any]]) -> None:
    """Let records with a ttl, and their memories, live for as long again from now on."""
    for row in rows:
        until(tx, row.memory_seq, tx.now + row.ttl * _MICROSECOND)
        query = update(records).where(records.c.seq == row.seq)
        tx.connection.execute(query.values(expires_at=tx.now + row.ttl * _MICROSECOND))


def until(tx: Tx, memory_seq: int | None, expires_at: datetime | None) -> None:
    """Set until when a memory may be known."""
    if memory_seq is not None:
        query = update(memories).where(memories.c.seq == memory_seq)
        tx.connection.execute(query.values(expires_at=expires_at))


def renewable(row: Row[Any], *, now: datetime) -> bool:
    """Return whether reading the row at `now` would move its end by more than a thousandth of its ttl.

    Reads that follow each other closely need not write each time.
    """
    if row.ttl is None:
        return False
    return bool(microseconds(now) + row.ttl - microseconds(row.expires_at) > row.ttl // 1000)


def _note(tx: Tx, cube: CubeHeader, verb: str, times: int) -> None:
    """Write an audit line for each of so many records. It names no key: a key is the user's words."""
    if times:
        line = values.of_audit(cube, verb, by=tx.principal, now=tx.now)
        tx.connection.execute(insert(audit), [line] * times)
