"""Rows of durable work: written in the transaction that causes them, read, and erased with what they name.

*Lanes.* Jobs of one kind and cube are a lane, and of a lane one runs. Its `front` is the one that runs, or
else the next to run (then it is a `lead`); `front` is unique, so the database itself holds to it. Who
looks for work looks at leads only, of which there are as many as lanes, however long the queue is.

*Shares.* A job's `turn` counts the cube's own jobs of that rank on from where the queue stands: a cube
with a thousand jobs has a thousand turns, and one that comes later with a single job has the present one
(start-time fair queueing; Goyal, Vin and Cheng, SIGCOMM 1996).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, delete, func, insert, select, update

from memos_core.errors import NotFound
from memos_core.job import About, Job, JobState, Order, Progress
from memos_core.vault.schema import parts
from memos_core.vault.schema_jobs import job_memories, jobs

_PENDING = (JobState.DELAYED.value, JobState.WAITING.value)


def lane_of(kind: str, cube: str | None) -> str:
    """Return the name of a lane; kinds have no space in them."""
    return f"{kind} {cube or '*'}"


def waiting_as(lane: str, key: str | None, *, by: str, purpose: str) -> str | None:
    """Return what a job is known as while it waits, which no two share; None for one that is like no other.

    A job runs with the rights of whoever ordered it, so orders of two people are never one. It is a hash:
    names and keys may be longer than an index has room for.
    """
    if key is None:
        return None
    return hashlib.sha256(json.dumps([lane, key, by, purpose]).encode()).hexdigest()


def put(connection: Connection, order: Order, *, now: datetime) -> str:
    """Write a job, or find the one that waits as this one would; return its id.

    The one that waits takes over what is new: payload, memories, the higher priority, the earlier time.
    """
    lane = lane_of(order.kind, order.cube)
    waiting = waiting_as(lane, order.key, by=order.by, purpose=order.purpose)
    if waiting is not None:
        same = select(jobs).where(jobs.c.waiting == waiting).with_for_update()
        known = connection.execute(same).one_or_none()
        if known is not None:
            _fold_in(connection, known, order, now=now)
            return str(known.id)
    run_at, rank = order.run_at or now, -order.priority
    place = _place(connection, lane, order.cube, rank)
    waits = run_at <= now
    is_first = waits and place.front_state is None
    job_id = uuid.uuid4().hex
    row = {
        "id": job_id,
        "kind": str(order.kind),
        "cube_id": order.cube,
        "key": order.key,
        "lane": lane,
        "waiting": waiting,
        "front": lane if is_first else None,
        "lead": is_first,
        "payload": dict(order.payload),
        "rank": rank,
        "turn": place.turn,
        "state": (JobState.WAITING if waits else JobState.DELAYED).value,
        "attempts": 0,
        "max_attempts": order.max_attempts,
        "timeout": order.timeout // timedelta(microseconds=1),
        "run_at": run_at,
        "by": order.by,
        "purpose": order.purpose,
        "created_at": now,
    }
    connection.execute(insert(jobs), row)
    _write_about(connection, job_id, order.about)
    if waits and not is_first and place.front_state == JobState.WAITING and rank < place.front_rank:
        lead(connection, lane)
    return job_id


def _fold_in(connection: Connection, known: Row[Any], order: Order, *, now: datetime) -> None:
    rank, run_at = min(known.rank, -order.priority), min(known.run_at, order.run_at or now)
    if order.run_at is None and known.attempts:
        run_at = known.run_at  # it failed before, and waits for that reason
    state = JobState.WAITING if run_at <= now else JobState.DELAYED
    changed = {"payload": dict(order.payload), "rank": rank, "run_at": run_at, "state": state.value}
    if rank != known.rank:
        changed["turn"] = next_turn(connection, known.cube_id, rank=rank)
    connection.execute(update(jobs).where(jobs.c.seq == known.seq).values(changed))
    connection.execute(delete(job_memories).where(job_memories.c.job_seq == known.seq))
    _write_about(connection, known.id, order.about)
    lead(connection, known.lane)


def _write_about(connection: Connection, job_id: str, about: Collection[About]) -> None:
    if about:
        seq = connection.execute(select(jobs.c.seq).where(jobs.c.id == job_id)).scalar_one()
        rows = {each.seq: each.version for each in about}
        connection.execute(
            insert(job_memories),
            [{"job_seq": seq, "memory_seq": at, "version": version} for at, version in rows.items()],
        )


class _Place(NamedTuple):
    """Where a new job would stand: its turn, and who is at the front of its lane."""

    turn: int
    front_state: str | None
    front_rank: int


def _place(connection: Connection, lane: str, cube: str | None, rank: int) -> _Place:
    """Return the place of a new job; one look, since many may be put in one transaction."""
    query = _PLACE_IN_STORE if cube is None else _PLACE
    given = {"lane": lane, "rank": rank} | ({} if cube is None else {"cube": cube})
    row = connection.execute(query, given).one()
    present = row.present if row.present is not None else row.running
    turn = max(-1 if row.own is None else row.own, (0 if present is None else present) - 1) + 1
    return _Place(turn=turn, front_state=row.front_state, front_rank=row.front_rank or 0)


def next_turn(connection: Connection, cube: str | None, *, rank: int) -> int:
    """Return the next turn of a cube among the jobs of a rank."""
    return _place(connection, "", cube, rank).turn


def _placing(of_cube: ColumnElement[bool]) -> Select[Any]:
    def one(found: Any, *where: ColumnElement[bool]) -> Any:
        return select(found).where(*where).scalar_subquery()

    of_rank, of_lane = jobs.c.rank == bindparam("rank"), jobs.c.front == bindparam("lane")
    waiting, running = jobs.c.state == JobState.WAITING.value, jobs.c.state == JobState.RUNNING.value
    return select(
        one(func.max(jobs.c.turn), of_cube, waiting, of_rank).label("own"),
        one(func.min(jobs.c.turn), jobs.c.lead.is_(True), of_rank).label("present"),
        one(func.max(jobs.c.turn), running, of_rank).label("running"),
        one(jobs.c.state, of_lane).label("front_state"),
        one(jobs.c.rank, of_lane).label("front_rank"),
    )


_PLACE = _placing(jobs.c.cube_id == bindparam("cube"))
_PLACE_IN_STORE = _placing(jobs.c.cube_id.is_(None))


def _about_cube(cube: str | None) -> ColumnElement[bool]:
    return jobs.c.cube_id.is_(None) if cube is None else jobs.c.cube_id == cube


def lead(connection: Connection, lane: str) -> None:
    """Let the lane's front be the job that runs, or else its next one."""
    front = connection.execute(
        select(jobs.c.seq, jobs.c.state, jobs.c.lead).where(jobs.c.front == lane).with_for_update()
    ).one_or_none()
    if front is not None and front.state == JobState.RUNNING.value:
        return
    best = connection.execute(
        select(jobs.c.seq)
        .where(jobs.c.lane == lane, jobs.c.state == JobState.WAITING.value)
        .order_by(jobs.c.rank, jobs.c.turn, jobs.c.seq)
        .limit(1)
    ).scalar()
    if front is not None and front.seq == best:
        if not front.lead:
            connection.execute(update(jobs).where(jobs.c.seq == best).values(lead=True))
        return
    if front is not None:
        connection.execute(update(jobs).where(jobs.c.seq == front.seq).values(front=None, lead=False))
    if best is not None:
        connection.execute(update(jobs).where(jobs.c.seq == best).values(front=lane, lead=True))


# --- reading ---------------------------------------------------------------------------------


def to_job(row: Row[Any]) -> Job:
    done, of = row.progress_done, row.progress_of
    return Job(
        id=row.id,
        kind=row.kind,
        cube=row.cube_id,
        key=row.key,
        payload=row.payload,
        by=row.by,
        purpose=row.purpose,
        priority=-row.rank,
        state=JobState(row.state),
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        timeout=timedelta(microseconds=row.timeout),
        run_at=row.run_at,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        progress=None if done is None else Progress(done=done, of=of),
        worker=row.worker,
        lease=row.lease,
        error=row.error,
        trace=row.trace,
    )


def found(connection: Connection, job_id: str, *, for_update: bool = False) -> Row[Any]:
    """Return a job's row, held `for_update` until the transaction ends; NotFound where there is none."""
    query = select(jobs).where(jobs.c.id == job_id)
    row = connection.execute(query.with_for_update() if for_update else query).one_or_none()
    if row is None:
        raise NotFound("job", job_id)
    return row


def listed(
    connection: Connection, cubes: Collection[str | None], *, state: JobState | None, limit: int
) -> list[Job]:
    """Return the newest jobs about these cubes (None: about the store), the newest first."""
    rows: list[Row[Any]] = []
    for part in parts(sorted(each for each in cubes if each is not None)):
        rows += connection.execute(_newest(state, limit).where(jobs.c.cube_id.in_(part))).all()
    if None in cubes:
        rows += connection.execute(_newest(state, limit).where(jobs.c.cube_id.is_(None))).all()
    return [to_job(row) for row in sorted(rows, key=lambda row: -row.seq)[:limit]]


def _newest(state: JobState | None, limit: int) -> Select[Any]:
    query = select(jobs).order_by(jobs.c.seq.desc()).limit(limit)
    return query if state is None else query.where(jobs.c.state == state.value)


def about(connection: Connection, job_id: str) -> list[About]:
    """Return the memories that a job is about, those that are still there."""
    query = select(job_memories.c.memory_seq, job_memories.c.version)
    query = query.join(jobs, jobs.c.seq == job_memories.c.job_seq).where(jobs.c.id == job_id)
    rows = connection.execute(query.order_by(job_memories.c.memory_seq))
    return [About(seq=row.memory_seq, version=row.version) for row in rows]


# --- erasing ---------------------------------------------------------------------------------


def forget(connection: Connection, memory_seqs: Iterable[int]) -> int:
    """Take erased memories out of the jobs that are about them; return how many jobs were touched.

    What a job says of how it failed may quote them: it goes. A job that is about nothing any more goes whole.
    """
    touched: set[int] = set()
    for part in parts(list(memory_seqs)):
        of = job_memories.c.memory_seq.in_(part)
        touched |= set(connection.execute(select(job_memories.c.job_seq).where(of)).scalars())
        connection.execute(delete(job_memories).where(of))
    for part in parts(sorted(touched)):
        left = select(job_memories.c.job_seq).where(job_memories.c.job_seq.in_(part))
        there = set(connection.execute(left).scalars())
        connection.execute(update(jobs).where(jobs.c.seq.in_(part)).values(error=None, trace=None))
        remove(connection, [seq for seq in part if seq not in there])
    return len(touched)


def remove(connection: Connection, seqs: Collection[int]) -> int:
    """Delete jobs, whatever their state; the next of their lanes come to the front."""
    lanes: set[str] = set()
    for part in parts(sorted(seqs)):
        which = jobs.c.seq.in_(part)
        lanes |= set(
            connection.execute(select(jobs.c.lane).where(which, jobs.c.front.is_not(None))).scalars()
        )
        connection.execute(delete(jobs).where(which))
    for lane in lanes:
        lead(connection, lane)
    return len(seqs)


def remove_of(connection: Connection, cube: str | None, *, by: str | None = None) -> int:
    """Delete the jobs about a cube (or the store), all or those that somebody ordered; return how many."""
    query = select(jobs.c.seq).where(_about_cube(cube))
    if by is not None:
        query = query.where(jobs.c.by == by)
    return remove(connection, list(connection.execute(query).scalars()))


def purge(connection: Connection, states: Collection[JobState], *, before: datetime, limit: int) -> int:
    """Delete up to `limit` jobs in these states that ended before that moment; return how many."""
    query = select(jobs.c.seq).where(
        jobs.c.state.in_([state.value for state in states]),
        jobs.c.finished_at < before,
    )
    return remove(connection, list(connection.execute(query.limit(limit)).scalars()))


def pending(connection: Connection) -> int:
    """Return how many jobs wait, for their time or for a worker."""
    query = select(func.count()).select_from(jobs).where(jobs.c.state.in_(_PENDING))
    return int(connection.execute(query).scalar_one())
