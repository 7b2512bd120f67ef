"""Procrastinate's part in a catalog on PostgreSQL: it hands out the jobs, and knows which workers live.

*Tickets.* The rows of `jobs` stay what they are. The next job of each lane, and each that waits for its
time, has a ticket in Procrastinate's table, put there in the transaction that writes the row: a trigger
calls Procrastinate's SQL functions, whoever writes (`tickets_sql`). So its tables hold as many tickets as
there are lanes, however long the queue is. A ticket's `lock` is the job's lane, its `queueing_lock` the
hash of its key, its `priority` its rank and turn, its `scheduled_at` the time that it waits for.

*Who may wait for whom.* Whoever writes rows holds the catalog's lock, and may wait for a row of `jobs`,
then for its ticket. Whoever fetches has a ticket first, and takes the job's row only if nobody holds it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Float, String

from memos_core.errors import BackendError
from memos_core.job import LEASE, LOST, Failed, Job, JobState, Progress, delay
from memos_core.vault import queue, schedules
from memos_core.vault.jobs import to_job
from memos_core.vault.schema import microseconds
from memos_core.vault.schema_jobs import jobs
from memos_core.vault.tickets_sql import CALLED, DROP, HAS_SCHEMA, IS_MADE, LACKING, MAKE

# --- making and ending -------------------------------------------------------------------------


def hands_out(connection: Connection) -> bool:
    """Return whether Procrastinate hands out the jobs of this catalog."""
    return bool(connection.exec_driver_sql(IS_MADE).scalar_one())


def make(connection: Connection) -> None:
    """Let Procrastinate hand out the jobs from now on; those that wait get their tickets.

    Its tables are made beside ours, in the same schema, unless they are there. Raises BackendError where
    it is not installed, or its tables are of a version that we do not know.
    """
    if hands_out(connection):
        return
    if not connection.exec_driver_sql(HAS_SCHEMA).scalar_one():
        connection.connection.cursor().execute(_schema())  # as it is: no sign in it is a parameter
    lacking = connection.execute(text(LACKING), {"names": list(CALLED)}).scalars().all()
    if lacking:
        raise BackendError(
            f"Procrastinate's tables in this schema lack {', '.join(lacking)}: bring them to version 3 "
            f"(see its migrations), or give the catalog a schema of its own (?options=-csearch_path%3DNAME)"
        )
    for statement in MAKE:
        connection.exec_driver_sql(statement)


def unmake(connection: Connection, *, now: datetime) -> None:
    """Let the catalog hand out its jobs by itself again; Procrastinate's tables stay, without our tickets."""
    if not hands_out(connection):
        return
    for statement in DROP:
        connection.exec_driver_sql(statement)
    running = (jobs.c.state == JobState.RUNNING.value) & jobs.c.lease_until.is_(None)
    connection.execute(update(jobs).where(running).values(lease_until=now))


def _schema() -> bytes:
    try:
        from procrastinate.schema import SchemaManager  # noqa: PLC0415 - 0.5 s, once in a store's life
    except ImportError as exc:
        raise BackendError(
            "procrastinate is not installed: pip install 'memos-suite-core[procrastinate]'"
        ) from exc
    return SchemaManager.get_schema().encode()


# --- looking -----------------------------------------------------------------------------------


class Look(NamedTuple):
    """What there is to do."""

    has_tickets: bool
    """Whether a job of the kinds that were asked for can be fetched."""
    has_chores: bool
    """Whether somebody's lease is over, a time has come, or a schedule is to be put."""


def look(connection: Connection, kinds: Collection[str], *, now: datetime) -> Look:
    """Return what there is to do; it takes no writing transaction to ask."""
    ready = connection.execute(_READY, {"queues": _queues(kinds)}).scalar_one()
    chores = (
        connection.execute(select(select(jobs.c.seq).where(queue.due(now)).exists())).scalar_one()
        or schedules.is_due(connection, now=now)
        or bool(_lost(connection, now=now))
    )
    return Look(has_tickets=bool(ready), has_chores=bool(chores))


def _queues(kinds: Collection[str]) -> list[str]:
    return [f"memos.{kind}" for kind in kinds]


_READY: Final = text(
    "SELECT EXISTS (SELECT 1 FROM procrastinate_jobs WHERE status = 'todo' AND queue_name = ANY(:queues) "
    "AND (scheduled_at IS NULL OR scheduled_at <= now()))"
).bindparams(bindparam("queues", type_=ARRAY(String)))


def _lost(connection: Connection, *, now: datetime) -> list[str]:
    """Return the ids of the jobs whose workers are gone, or say nothing any more.

    A ticket without a worker is one whose worker was pruned. A lease of our own is from before
    Procrastinate handed out the jobs.
    """
    far = now + 2 * LEASE
    given = {"span": LEASE.total_seconds(), "now": microseconds(now), "far": microseconds(far)}
    return list(connection.execute(_STALLED, given).scalars())


_STALLED: Final = text(
    """
SELECT jobs.id FROM jobs
LEFT JOIN procrastinate_jobs AS ticket ON ticket.args ->> 'job' = jobs.id AND ticket.status = 'doing'
LEFT JOIN procrastinate_workers AS worker ON worker.id = ticket.worker_id
WHERE jobs.state = 'running' AND CASE
  WHEN jobs.lease_until IS NOT NULL THEN jobs.lease_until <= :now OR jobs.lease_until > :far
  WHEN worker.id IS NULL THEN true
  ELSE worker.last_heartbeat <= now() - :span * interval '1 second'
    OR worker.last_heartbeat > now() + 2 * :span * interval '1 second' END
"""
).bindparams(bindparam("span", type_=Float))


def do_chores(connection: Connection, *, now: datetime) -> None:
    """Take back what nobody works on, let what is due wait for a worker, put the jobs of schedules."""
    lost = _lost(connection, now=now)
    rows = connection.execute(select(jobs).where(jobs.c.id.in_(lost)).with_for_update()).all()
    for row in rows:
        queue.fail(connection, row, Failed(error=LOST, after=delay(row.attempts)), now=now)
    queue.come_due(connection, now=now)
    schedules.put_due(connection, now=now)
    prune(connection)


def prune(connection: Connection) -> None:
    """Forget the workers that have said nothing for as long as a lease."""
    connection.execute(_PRUNE, {"span": LEASE.total_seconds()})


_PRUNE: Final = text("SELECT count(*) FROM procrastinate_prune_stalled_workers_v1(:span)").bindparams(
    bindparam("span", type_=Float)
)

# --- fetching ----------------------------------------------------------------------------------


class Stray(Exception):
    """A ticket was fetched whose job cannot be had: the transaction that fetched it has to fail."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"the ticket of job {job_id} leads nowhere")
        self.job_id = job_id


def seat(connection: Connection, worker: int | None) -> int:
    """Return the worker's number in Procrastinate's table, a new one where it has none; it is alive now."""
    fresh = None if worker is None else connection.execute(_FRESH, {"worker": worker}).scalar()
    if worker is None or fresh is None:
        return int(connection.exec_driver_sql(_REGISTER).scalar_one())
    if not fresh:
        connection.execute(_BEAT, {"worker": worker})
    return worker


_REGISTER: Final = "SELECT worker_id FROM procrastinate_register_worker_v1()"
_BEAT: Final = text("SELECT procrastinate_update_heartbeat_v1(:worker)")
_FRESH: Final = text(  # a heartbeat of the last five seconds need not be told again
    "SELECT last_heartbeat BETWEEN now() - interval '5 seconds' AND now() FROM procrastinate_workers "
    "WHERE id = :worker FOR KEY SHARE"
)


class Handed(NamedTuple):
    """A job in hand, and the number of its ticket."""

    ticket: int
    job: Job


def fetch(
    connection: Connection, kinds: Collection[str], *, seat: int, worker: str, now: datetime
) -> Handed | None:
    """Let Procrastinate hand out the next job of these kinds; None where there is none.

    Raises Stray where somebody is at the job's row, or the ticket is not what the row wants.
    """
    given = {"queues": _queues(kinds), "worker": seat}
    ticket = connection.execute(_FETCH, given).one_or_none()
    if ticket is None:
        return None
    return Handed(ticket.id, _taken(connection, str(ticket.job), worker=worker, now=now))


_FETCH: Final = text(
    "SELECT id, args ->> 'job' AS job FROM procrastinate_fetch_job_v2(CAST(:queues AS varchar[]), :worker) "
    "WHERE id IS NOT NULL"
).bindparams(bindparam("queues", type_=ARRAY(String)))


def _taken(connection: Connection, job_id: str, *, worker: str, now: datetime) -> Job:
    """Return the job of a ticket that was fetched, as its worker has it; Stray where it cannot be had."""
    free = (
        select(jobs.c.seq)
        .where(jobs.c.id == job_id, jobs.c.state == JobState.WAITING.value, jobs.c.lead.is_(True))
        .with_for_update(skip_locked=True)
    )
    values = queue.in_hand(worker=worker, lease_until=None, now=now)
    row = connection.execute(
        update(jobs).where(jobs.c.seq.in_(free.scalar_subquery())).values(values).returning(jobs)
    ).one_or_none()
    if row is None:
        raise Stray(job_id)
    return to_job(row)


def mend(connection: Connection, job_id: str, *, now: datetime) -> None:
    """Bring a job's ticket to what its row wants; nobody else writes."""
    queue.come_due(connection, now=now)
    row = connection.execute(select(jobs.c.seq).where(jobs.c.id == job_id)).one_or_none()
    if row is None:
        connection.execute(_CANCEL, {"job": job_id})
    else:
        connection.execute(update(jobs).where(jobs.c.seq == row.seq).values(lead=jobs.c.lead))


def reissue(connection: Connection) -> int:
    """Give new tickets to the jobs whose own somebody took away in Procrastinate; return how many."""
    return connection.execute(_REISSUE).rowcount


_REISSUE: Final = text(
    "UPDATE jobs SET lead = lead WHERE (lead OR state = 'delayed') AND NOT EXISTS (SELECT 1 FROM "
    "procrastinate_jobs AS ticket WHERE ticket.args ->> 'job' = jobs.id AND ticket.status = 'todo')"
)

_CANCEL: Final = text(
    "SELECT procrastinate_cancel_job_v1(id, false, true) FROM procrastinate_jobs "
    "WHERE args ->> 'job' = :job AND status = 'todo'"
)


def alive(connection: Connection, job: Job, progress: Progress | None) -> bool:
    """Renew the lease of a job's worker, and write down how far it is; False where it has lost the job."""
    mine = (jobs.c.id == job.id) & (jobs.c.state == JobState.RUNNING.value) & (jobs.c.lease == job.lease)
    if progress is None:
        is_mine = connection.execute(select(jobs.c.seq).where(mine)).first() is not None
    else:
        told = {"progress_done": progress.done, "progress_of": progress.of}
        is_mine = connection.execute(update(jobs).where(mine).values(told)).rowcount == 1
    if is_mine:
        connection.execute(_BEAT_FOR, {"job": job.id})
    return is_mine


_BEAT_FOR: Final = text(
    "SELECT procrastinate_update_heartbeat_v1(worker_id) FROM procrastinate_jobs "
    "WHERE args ->> 'job' = :job AND status = 'doing' AND worker_id IS NOT NULL"
)
