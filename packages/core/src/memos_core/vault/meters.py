"""The meter's rows: how warm memories and cubes are, what the tiers cost, what was trained.

Uses are written in batches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, bindparam, delete, func, insert, select, update

from memos_core.heat import NEVER, Heat, usefulness, warmed
from memos_core.lifecycle import IN_USE
from memos_core.memory import State
from memos_core.vault import statements
from memos_core.vault.schema import cubes, memories, parts
from memos_core.vault.schema_meters import costs, cube_meters, memory_meters, trainings
from memos_core.vault.uses import Counted

_DAY = timedelta(days=1)
_IN_USE = [state.value for state in IN_USE]


class Due(NamedTuple):
    """Memories whose time has come: how many, and the characters of their words."""

    memories: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CubeMeter:
    """How warm a cube is: how often it is asked, and how often it changes."""

    cube: str
    asks: int = 0
    uses: Heat = NEVER
    changes: Heat = NEVER
    change: int = 0  # the cube's, up to which changes are counted


def count(connection: Connection, counted: Counted, *, now: datetime) -> None:
    """Write a batch of uses down; what is gone is passed over."""
    _count_memories(connection, counted, now=now)
    _count_cubes(connection, counted, now=now)


def _count_memories(connection: Connection, counted: Counted, *, now: datetime) -> None:
    answered = _by_seq(connection, counted.answered)
    seqs = sorted({*counted.found, *counted.corrected, *answered})
    for part in parts(seqs):
        query = select(memories.c.seq, memories.c.hits, memory_meters).outerjoin_from(memories, memory_meters)
        known: set[int] = set()
        written: list[dict[str, Any]] = []
        for row in connection.execute(query.where(memories.c.seq.in_(part))):
            if row.memory_seq is not None:
                known.add(row.seq)
            heat = warmed(_heat(row.heat, row.heated_at), counted.found[row.seq], now=now.timestamp())
            written.append(
                {
                    "memory_seq": row.seq,
                    "heat": heat.amount,
                    "heated_at": _moment(heat.at),
                    "answered": (row.answered or 0) + answered[row.seq],
                    "corrected": (row.corrected or 0) + counted.corrected[row.seq],
                    "hits": row.hits,
                }
            )
        _write(connection, memory_meters, written, known, key="memory_seq")
        _grade(connection, written)


def _by_seq(connection: Connection, by_id: Counter[str]) -> Counter[int]:
    found: Counter[int] = Counter()
    for part in parts(sorted(by_id)):
        rows = connection.execute(select(memories.c.seq, memories.c.id).where(memories.c.id.in_(part)))
        found.update({row.seq: by_id[row.id] for row in rows})
    return found


def _grade(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write how useful these memories are."""
    if rows:
        connection.execute(
            update(memories).where(memories.c.seq == bindparam("of")).values(usefulness=bindparam("grade")),
            [
                {
                    "of": row["memory_seq"],
                    "grade": usefulness(
                        hits=row["hits"], answered=row["answered"], corrected=row["corrected"]
                    ),
                }
                for row in rows
            ],
        )


def _count_cubes(connection: Connection, counted: Counted, *, now: datetime) -> None:
    asked = counted.asked
    for part in parts(sorted(asked)):
        query = select(cubes.c.id, cubes.c.change.label("present"), cube_meters)
        query = query.outerjoin_from(cubes, cube_meters).where(cubes.c.id.in_(part))
        known: set[str] = set()
        written: list[dict[str, Any]] = []
        for row in connection.execute(query):
            changed = 0
            if row.cube_id is not None:
                known.add(row.id)
                changed = max(row.present - row.change, 0)
            last = counted.last.get(row.id, now).timestamp()
            heat = warmed(_heat(row.heat, row.heated_at), asked[row.id], now=last)
            churn = _heat(row.churn, row.churned_at)
            if changed:
                churn = warmed(churn, changed, now=now.timestamp())
            written.append(
                {
                    "cube_id": row.id,
                    "asks": (row.asks or 0) + asked[row.id],
                    "heat": heat.amount,
                    "heated_at": _moment(heat.at),
                    "churn": churn.amount,
                    "churned_at": _moment(churn.at),
                    "change": row.present,
                }
            )
        _write(connection, cube_meters, written, known, key="cube_id")


def _write(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    known: Collection[Any],
    *,
    key: str,
) -> None:
    """Write rows anew, those in the table over what it has."""
    columns = [column.name for column in table.columns]
    told = [{name: row[name] for name in columns} for row in rows]
    new = [row for row in told if row[key] not in known]
    old = [{f"new_{name}": value for name, value in row.items()} for row in told if row[key] in known]
    if new:
        connection.execute(insert(table), new)
    if old:
        changed: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns if name != key}
        statement = update(table).where(table.c[key] == bindparam(f"new_{key}")).values(changed)
        connection.execute(statement, old)


# --- read ------------------------------------------------------------------------------------


def of_cubes(connection: Connection, ids: Sequence[str]) -> dict[str, CubeMeter]:
    """Return by id how warm these cubes are; one that was never asked is not there."""
    found: dict[str, CubeMeter] = {}
    for part in parts(ids):
        for row in connection.execute(select(cube_meters).where(cube_meters.c.cube_id.in_(part))):
            found[row.cube_id] = CubeMeter(
                cube=row.cube_id,
                asks=row.asks,
                uses=_heat(row.heat, row.heated_at),
                changes=_heat(row.churn, row.churned_at),
                change=row.change,
            )
    return found


def warmest(connection: Connection, cube_id: str, *, most: int) -> dict[int, Heat]:
    """Return by seq how warm the warmest memories of a cube's own are, the warmest as last counted first."""
    query = (
        select(memory_meters)
        .join_from(memory_meters, memories)
        .where(memories.c.cube_id == cube_id, memory_meters.c.heat > 0)
        .order_by(memory_meters.c.heat.desc(), memory_meters.c.memory_seq)
        .limit(most)
    )
    return {row.memory_seq: _heat(row.heat, row.heated_at) for row in connection.execute(query)}


def due(connection: Connection, cube_id: str, *, now: datetime, idle: timedelta | None) -> tuple[Due, Due]:
    """Return what is overdue in a cube, and what has rested for longer than `idle`."""
    overdue = (memories.c.expires_at <= now) & memories.c.state.in_([*_IN_USE, State.ARCHIVED.value])
    if idle is None:
        return _due(connection, cube_id, overdue), Due(0, 0)
    rested = func.coalesce(memories.c.last_used, memories.c.updated_at) < now - idle
    rested &= memories.c.state.in_(_IN_USE) & statements.in_time(now)
    return _due(connection, cube_id, overdue), _due(connection, cube_id, rested)


def _due(connection: Connection, cube_id: str, condition: ColumnElement[bool]) -> Due:
    size = func.coalesce(func.sum(func.length(memories.c.text)), 0)
    query = select(func.count(), size).select_from(memories)
    count, characters = connection.execute(query.where(memories.c.cube_id == cube_id, condition)).one()
    return Due(int(count), int(characters))


def costs_of(connection: Connection, machine: str) -> list[Mapping[str, Any]]:
    """Return the rows of what the tiers cost on a machine."""
    query = select(costs).where(costs.c.machine == machine).order_by(costs.c.tier, costs.c.model)
    return [dict(row._mapping) for row in connection.execute(query)]


def write_cost(connection: Connection, row: Mapping[str, Any]) -> None:
    """Write what a tier costs over what was known."""
    here = (costs.c.machine == row["machine"]) & (costs.c.tier == row["tier"])
    connection.execute(delete(costs).where(here, costs.c.model == row["model"]))
    connection.execute(insert(costs).values(**row))


# --- trainings -------------------------------------------------------------------------------


def note_training(connection: Connection, seconds: float, *, now: datetime) -> None:
    """Note that so many seconds were spent on a training; what is older than a day is forgotten."""
    connection.execute(delete(trainings).where(~_of_late(now)))
    connection.execute(insert(trainings).values(at=now, seconds=seconds))


def trained(connection: Connection, *, now: datetime) -> float:
    """Return the seconds that trainings took in the last day, whoever ordered them."""
    total = select(func.coalesce(func.sum(trainings.c.seconds), 0.0)).where(_of_late(now))
    return float(connection.execute(total).scalar_one())


def _of_late(now: datetime) -> ColumnElement[bool]:
    """Return what is of the last day, or of the next where the clock was set back a little."""
    return (trainings.c.at > now - _DAY) & (trainings.c.at < now + _DAY)


def _heat(amount: float | None, at: datetime | None) -> Heat:
    return NEVER if amount is None or at is None else Heat(amount, at.timestamp())


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, tz=UTC)
