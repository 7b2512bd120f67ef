"""The queue's steps, each in one writing transaction: claim, report, cancel, retry, lapse.

Nobody trusts the clock. A lease that ends further ahead than any lease can is as good as over: the clock
was set back. So is a wait after a failure that is longer than any can be.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, assert_never

from sqlalchemy import ColumnElement, Connection, Row, exists, or_, select, update

from memos_core.job import (
    LEASE,
    LONGEST_DELAY,
    LOST,
    Alive,
    Done,
    Failed,
    Job,
    JobState,
    News,
    Released,
    delay,
    stepped,
)
from memos_core.vault.jobs import found, lead, next_turn, to_job, waiting_as
from memos_core.vault.schema_jobs import jobs

_AT_ONCE: Final = 500  # jobs that come due in one transaction


def due(now: datetime) -> ColumnElement[bool]:
    """Return what may wait no longer."""
    too_long = (jobs.c.attempts > 0) & (jobs.c.run_at > now + LONGEST_DELAY)
    return (jobs.c.state == JobState.DELAYED.value) & or_(jobs.c.run_at <= now, too_long)


def _lapsed(now: datetime) -> ColumnElement[bool]:
    """Return what nobody works on any more."""
    over = or_(jobs.c.lease_until <= now, jobs.c.lease_until > now + 2 * LEASE)
    return (jobs.c.state == JobState.RUNNING.value) & over


def is_idle(connection: Connection, kinds: Collection[str], *, now: datetime) -> bool:
    """Return whether nothing of these kinds can be claimed now; it takes no writing transaction to ask."""
    ready = jobs.c.lead.is_(True) & jobs.c.kind.in_(kinds)
    asked = (exists().where(condition) for condition in (ready, due(now), _lapsed(now)))
    return not any(connection.execute(select(each)).scalar() for each in asked)


def claim(connection: Connection, kinds: Collection[str], *, worker: str, now: datetime) -> Job | None:
    """Lease the next job of these kinds to the worker; None where nothing is to be done."""
    lapse(connection, now=now)
    come_due(connection, now=now)
    query = select(jobs).where(jobs.c.lead.is_(True), jobs.c.kind.in_(kinds))
    row = connection.execute(query.order_by(jobs.c.rank, jobs.c.turn, jobs.c.seq).limit(1)).one_or_none()
    if row is None:
        return None
    stepped(row.id, JobState(row.state), "claim")
    connection.execute(
        update(jobs)
        .where(jobs.c.seq == row.seq)
        .values(in_hand(worker=worker, lease_until=now + LEASE, now=now))
    )
    return to_job(found(connection, row.id))


def in_hand(*, worker: str, lease_until: datetime | None, now: datetime) -> dict[str, Any]:
    """Return what a waiting job's row becomes with the step "claim".

    `lease_until` is None where it is told elsewhere which workers live.
    """
    return {
        "state": JobState.RUNNING.value,
        "waiting": None,
        "lead": False,
        "worker": worker,
        "lease": uuid.uuid4().hex,
        "lease_until": lease_until,
        "attempts": jobs.c.attempts + 1,
        "started_at": now,
        "progress_done": None,
        "progress_of": None,
    }


def report(connection: Connection, job: Job, news: News, *, now: datetime) -> bool:
    """Write down what a worker says of its job; return False, and change nothing, if it is not its own."""
    mine = (jobs.c.id == job.id) & (jobs.c.state == JobState.RUNNING.value) & (jobs.c.lease == job.lease)
    row = (
        None
        if job.lease is None
        else connection.execute(select(jobs).where(mine).with_for_update()).one_or_none()
    )
    if row is None:
        return False
    match news:
        case Alive(progress=progress):
            told = {} if progress is None else {"progress_done": progress.done, "progress_of": progress.of}
            connection.execute(
                update(jobs).where(jobs.c.seq == row.seq).values(lease_until=now + LEASE, **told)
            )
        case Done():
            _ended(connection, row, "finish", now=now, error=None, trace=None)
        case Released():
            _again(connection, row, "release", now=now, run_at=now, attempts=max(0, row.attempts - 1))
        case Failed():
            fail(connection, row, news, now=now)
        case _:
            assert_never(news)
    return True


def fail(connection: Connection, row: Row[Any], news: Failed, *, now: datetime) -> None:
    """Let a running job's attempt fail: it is tried again later, or dies."""
    why = {"error": news.error, "trace": news.trace or None}
    if news.after is None or row.attempts >= row.max_attempts:
        _ended(connection, row, "die", now=now, **why)
    else:
        _again(connection, row, "delay", now=now, run_at=now + min(news.after, LONGEST_DELAY), **why)


_FREE: Final = {"worker": None, "lease": None, "lease_until": None, "front": None, "lead": False}


def _ended(connection: Connection, row: Row[Any], verb: str, *, now: datetime, **values: Any) -> None:
    """Let a job end in the state that the step leads to."""
    state = stepped(row.id, JobState(row.state), verb).value
    changed = {**_FREE, "waiting": None, "state": state, "finished_at": now, **values}
    connection.execute(update(jobs).where(jobs.c.seq == row.seq).values(changed))
    if row.front is not None:
        lead(connection, row.lane)


def _again(
    connection: Connection, row: Row[Any], verb: str, *, now: datetime, run_at: datetime, **values: Any
) -> None:
    """Let a job wait again; where one like it waits already, that one does its work."""
    waiting = waiting_as(row.lane, row.key, by=row.by, purpose=row.purpose)
    twin = select(jobs.c.seq).where(jobs.c.waiting == waiting)
    if waiting is not None and connection.execute(twin).first() is not None:
        _ended(connection, row, "fold", now=now, **values)
        return
    state = stepped(row.id, JobState(row.state), verb)
    if state is JobState.DELAYED and run_at <= now:
        state = stepped(row.id, state, "due")
    changed = {**_FREE, "waiting": waiting, "state": state.value, "run_at": run_at, "finished_at": None}
    connection.execute(update(jobs).where(jobs.c.seq == row.seq).values({**changed, **values}))
    lead(connection, row.lane)


def move(connection: Connection, job_id: str, verb: str, *, now: datetime) -> Job:
    """Cancel a job, or let one that is dead or cancelled begin anew; return it as it is then.

    Raises NotFound for a job that is not there, IllegalTransition where there is no such step.
    """
    row = found(connection, job_id, for_update=True)
    if verb == "cancel":
        _ended(connection, row, verb, now=now)
    else:
        stepped(row.id, JobState(row.state), verb)
        turn = next_turn(connection, row.cube_id, rank=row.rank)
        _again(connection, row, verb, now=now, run_at=now, attempts=0, turn=turn)
    return to_job(found(connection, job_id))


def come_due(connection: Connection, *, now: datetime) -> None:
    """Let the jobs whose time has come wait for a worker."""
    ready = select(jobs.c.seq, jobs.c.lane).where(due(now)).order_by(jobs.c.run_at).limit(_AT_ONCE)
    rows = connection.execute(ready).all()
    if rows:
        connection.execute(
            update(jobs).where(jobs.c.seq.in_([row.seq for row in rows])).values(state=JobState.WAITING.value)
        )
    for lane in {row.lane for row in rows}:
        lead(connection, lane)


def lapse(connection: Connection, *, now: datetime, everything: bool = False) -> int:
    """Take back the jobs whose workers are gone; return how many.

    The attempt counts: a job that kills its process dies after so many. `everything` is for who knows
    that no worker lives: whoever has just got hold of the folder's lock.
    """
    gone = (jobs.c.state == JobState.RUNNING.value) if everything else _lapsed(now)
    rows = connection.execute(select(jobs).where(gone)).all()
    for row in rows:
        after = delay(row.attempts) if not everything else delay(1, chance=0)
        fail(connection, row, Failed(error=LOST, after=after), now=now)
    return len(rows)
