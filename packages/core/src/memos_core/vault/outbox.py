"""The debt to the index: what changed and has not been told to it yet.

A row says only *which* memory changed. What the index must be told is read from the catalog when
the debt is paid, and a row is settled only if that truth still holds afterwards: the lease keeps
two payers from overtaking each other, the re-check keeps a change in between from being lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, and_, delete, func, insert, or_, select, update

from memos_core.cube import CubeHeader
from memos_core.governance import cube_key
from memos_core.protocols import IndexEntry
from memos_core.vault.draft import unpacked
from memos_core.vault.schema import OUT_OF_SIGHT, memories, outbox, parts, vectors

if TYPE_CHECKING:
    from memos_core.vault.view import View

LEASE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Debt:
    """A claimed row of the outbox."""

    seq: int
    memory_id: str
    cube_id: str


def owed(connection: Connection, *, cube_id: str | None = None) -> int:
    """Return how many changes the index has not been told, of one cube or of all."""
    query = select(func.count()).select_from(outbox)
    if cube_id is not None:
        query = query.where(outbox.c.cube_id == cube_id)
    return int(connection.execute(query).scalar_one())


def owed_of(view: View, cube: CubeHeader) -> int:
    """Return how many changes of an entered cube the index has not been told; of those that may be seen."""
    if cube.access.whole:
        return owed(view.connection, cube_id=cube.id)
    ids = view.connection.execute(select(outbox.c.memory_id).where(outbox.c.cube_id == cube.id)).scalars()
    counts = Counter(ids)
    seqs = view.seqs_of(cube, list(counts))
    seen = view.seqs_in_sight(cube, list(seqs.values()))
    return sum(counts[memory_id] for memory_id, seq in seqs.items() if seq in seen)


def owed_memories(connection: Connection, cube_id: str, *, limit: int) -> list[str]:
    """Return the ids of up to `limit` memories of a cube that the index is behind on."""
    query = select(outbox.c.memory_id).where(outbox.c.cube_id == cube_id).distinct().limit(limit)
    return list(connection.execute(query).scalars())


def is_paid_by_another(connection: Connection, *, by: str, now: datetime) -> bool:
    """Return whether somebody else holds a lease: one process at a time tells the index."""
    held = and_(outbox.c.lease_until > now, outbox.c.lease_until <= now + LEASE)
    query = select(outbox.c.seq).where(outbox.c.lease_by != by, held).limit(1)
    return connection.execute(query).scalar() is not None


def claim(connection: Connection, *, by: str, now: datetime, limit: int) -> list[Debt]:
    """Lease the oldest free rows to `by` and return them.

    A row is free without a lease, with one that ran out, or with one further ahead than any lease
    can be (the clock was set back).
    """
    free = or_(
        outbox.c.lease_until.is_(None),
        outbox.c.lease_until <= now,
        outbox.c.lease_until > now + LEASE,
    )
    rows = connection.execute(
        select(outbox.c.seq, outbox.c.memory_id, outbox.c.cube_id)
        .where(free)
        .order_by(outbox.c.seq)
        .limit(limit)
    ).all()
    if rows:
        connection.execute(
            update(outbox)
            .where(outbox.c.seq >= rows[0].seq, outbox.c.seq <= rows[-1].seq, free)
            .values(lease_by=by, lease_until=now + LEASE, attempts=outbox.c.attempts + 1)
        )
    return [Debt(seq=row.seq, memory_id=row.memory_id, cube_id=row.cube_id) for row in rows]


def truth(connection: Connection, ids: Sequence[str], *, model: str) -> dict[str, IndexEntry]:
    """Return what the index should hold for these memories; what is absent should be deleted."""
    query = select(memories, vectors.c.data, vectors.c.key_count)
    rows = [row for part in parts(ids) for row in connection.execute(_indexable(query, part, model=model))]
    return {
        row.id: IndexEntry(
            id=row.id,
            version=row.version,
            cube=cube_key(row.cube_id),
            text=row.text,
            vectors=unpacked(row.data, keys=row.key_count),
            kind=row.kind,
            session=row.session or "",
            at=row.event_at or row.created_at,
            sensitivity=row.sensitivity,
            priority=row.priority,
        )
        for row in rows
    }


def settle(
    connection: Connection, debts: Sequence[Debt], told: Mapping[str, int | None], *, by: str, model: str
) -> int:
    """Delete the rows whose memory is still as it was told; release the others.

    `told` maps a memory's id to the version the index now holds, None for deleted. Returns how
    many rows were settled. Rows whose lease went to somebody else are left alone; what was told
    wrongly under such a one is owed anew: the other may have told the index better, and before.
    """
    present = _versions(connection, list(told), model=model)
    holds = {each for each, version in told.items() if present.get(each) == version}
    mine = outbox.c.lease_by == by
    settled = 0
    for part in parts([debt.seq for debt in debts if debt.memory_id in holds]):
        settled += connection.execute(delete(outbox).where(outbox.c.seq.in_(part), mine)).rowcount
    wrong = [debt for debt in debts if debt.memory_id not in holds]
    _owe_lost(connection, wrong, by=by)
    release(connection, [debt.seq for debt in wrong], by=by)
    return settled


def _owe_lost(connection: Connection, debts: Sequence[Debt], *, by: str) -> None:
    """Owe anew those of the debts whose lease `by` holds no more."""
    kept: set[int] = set()
    for part in parts([debt.seq for debt in debts]):
        query = select(outbox.c.seq).where(outbox.c.seq.in_(part), outbox.c.lease_by == by)
        kept.update(connection.execute(query).scalars())
    lost = {debt.memory_id: debt.cube_id for debt in debts if debt.seq not in kept}
    if lost:
        rows = [{"memory_id": each, "cube_id": cube, "attempts": 0} for each, cube in lost.items()]
        connection.execute(insert(outbox), rows)


def _versions(connection: Connection, ids: Sequence[str], *, model: str) -> dict[str, int]:
    """Return the versions of those memories that belong in the index."""
    found: dict[str, int] = {}
    for part in parts(ids):
        rows = connection.execute(_indexable(select(memories.c.id, memories.c.version), part, model=model))
        found |= {row.id: row.version for row in rows}
    return found


def _indexable(query: Select[Any], ids: Sequence[str], *, model: str) -> Select[Any]:
    return query.join(vectors, vectors.c.memory_seq == memories.c.seq).where(
        vectors.c.model == model,
        memories.c.id.in_(ids),
        memories.c.state.not_in(OUT_OF_SIGHT),
    )


def free_all(connection: Connection) -> None:
    """Void every lease: whoever holds the folder's lock knows that no other payer lives."""
    connection.execute(
        update(outbox).where(outbox.c.lease_by.is_not(None)).values(lease_by=None, lease_until=None)
    )


def release(connection: Connection, seqs: Sequence[int], *, by: str) -> None:
    """Give leased rows back, to be claimed again."""
    for part in parts(seqs):
        connection.execute(
            update(outbox)
            .where(outbox.c.seq.in_(part), outbox.c.lease_by == by)
            .values(lease_by=None, lease_until=None)
        )
