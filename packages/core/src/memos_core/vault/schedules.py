"""Jobs that come again and again: rows of schedules, and the moment that a cron expression names next."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from cronsim import CronSim, CronSimError
from sqlalchemy import ColumnElement, Connection, Row, delete, insert, or_, select, update

from memos_core.errors import InvalidInput, NotFound
from memos_core.job import Order, Schedule
from memos_core.vault import jobs
from memos_core.vault.schema_jobs import schedules

STORE: Final = "*"  # the scope of what is about no cube


def next_after(cron: str, now: datetime) -> datetime:
    """Return the first moment after `now` that a cron expression (five fields, UTC) names.

    Raises InvalidInput for what is no such expression, or names no day that ever comes.
    """
    try:
        return next(CronSim(cron, now))
    except (CronSimError, StopIteration) as exc:
        raise InvalidInput(
            f"cron {cron!r} names no moment ({exc}): write five fields, e.g. '30 3 * * *' for 03:30 UTC"
        ) from exc


def write(connection: Connection, order: Order, *, name: str, cron: str, now: datetime) -> Schedule:
    """Write a schedule about a cube (or the store), in place of the one of this name."""
    row = {
        "scope": order.cube or STORE,
        "name": name,
        "by": order.by,
        "purpose": order.purpose,
        "cron": cron,
        "kind": str(order.kind),
        "cube_id": order.cube,
        "payload": dict(order.payload),
        "next_at": next_after(cron, now),
        "written_at": now,
    }
    connection.execute(delete(schedules).where(_named(order.cube, name)))
    connection.execute(insert(schedules).values(row))
    return to_schedule(connection.execute(select(schedules).where(_named(order.cube, name))).one())


def remove(connection: Connection, cube: str | None, name: str) -> None:
    """Delete a schedule; a job that it has put already stays. NotFound where there is none of this name."""
    if not connection.execute(delete(schedules).where(_named(cube, name))).rowcount:
        raise NotFound("schedule", name)


def _named(cube: str | None, name: str) -> ColumnElement[bool]:
    return (schedules.c.scope == (cube or STORE)) & (schedules.c.name == name)


def remove_of(connection: Connection, cube: str | None, *, by: str | None = None) -> int:
    """Delete the schedules about a cube (or the store), all or somebody's; return how many."""
    which = schedules.c.cube_id.is_(None) if cube is None else schedules.c.cube_id == cube
    which = which if by is None else which & (schedules.c.by == by)
    return connection.execute(delete(schedules).where(which)).rowcount


def listed(connection: Connection, cubes: Collection[str | None]) -> list[Schedule]:
    """Return the schedules about these cubes (None: about the store), by name."""
    rows = connection.execute(select(schedules).order_by(schedules.c.name, schedules.c.by))
    return [to_schedule(row) for row in rows if row.cube_id in cubes]


def is_due(connection: Connection, *, now: datetime) -> bool:
    """Return whether a schedule has something to put."""
    return connection.execute(select(schedules.c.name).where(_due(now)).limit(1)).first() is not None


def put_due(connection: Connection, *, now: datetime) -> int:
    """Put the job of each schedule whose time has come, once however often that was; return how many.

    Where the clock was set back, the next moment is found anew, and nothing is put.
    """
    due = connection.execute(select(schedules).where(_due(now))).all()
    for row in due:
        if row.next_at <= now:
            jobs.put(connection, _order(row), now=now)
        this = _named(row.cube_id, row.name)
        at = next_after(row.cron, now)
        connection.execute(update(schedules).where(this).values(next_at=at, written_at=now))
    return len(due)


def _due(now: datetime) -> ColumnElement[bool]:
    return or_(schedules.c.next_at <= now, schedules.c.written_at > now)


def _order(row: Row[Any]) -> Order:
    return Order(
        kind=row.kind,
        by=row.by,
        cube=row.cube_id,
        key=f"schedule {hashlib.sha256(row.name.encode()).hexdigest()}",  # a name may be as long as a key
        payload=row.payload,
        purpose=row.purpose,
    )


def to_schedule(row: Row[Any]) -> Schedule:
    return Schedule(
        name=row.name,
        cron=row.cron,
        kind=row.kind,
        cube=row.cube_id,
        payload=row.payload,
        by=row.by,
        purpose=row.purpose,
        next_at=row.next_at,
    )
