"""The embedded queue: jobs in the store's own catalog. See `memos_core.protocols.JobQueue`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection

from memos_core.job import FINISHED, Job, JobState, News, Order
from memos_core.vault import jobs, queue, schedules
from memos_core.vault.catalog import Catalog

KEPT: Final = timedelta(days=7)  # for so long a finished job is remembered
DEAD_KEPT: Final = timedelta(days=90)  # and one that failed for good, unless it is retried
_AT_ONCE: Final = 1000  # jobs purged in one transaction


class CatalogQueue:
    """A JobQueue whose jobs commit with what causes them, and whose steps are transactions of the catalog.

    It puts the jobs of schedules as well, when somebody asks for work.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def put(self, connection: Connection, order: Order) -> str:
        """Write a job in the caller's transaction; return its id, or that of the one it is folded into."""
        return jobs.put(connection, order, now=self._catalog.moment(connection))

    def claim(self, kinds: Collection[str], *, worker: str) -> Job | None:
        """Lease the next job of these kinds; None, and no write, where there is nothing to do now."""
        with self._catalog.read() as view:
            now = self._catalog.moment(view.connection)
            idle = queue.is_idle(view.connection, kinds, now=now)
            if idle and not schedules.is_due(view.connection, now=now):
                return None
        with self._catalog.connection() as connection:
            now = self._catalog.moment(connection)
            schedules.put_due(connection, now=now)
            return queue.claim(connection, kinds, worker=worker, now=now)

    def report(self, job: Job, news: News, *, connection: Connection | None = None) -> bool:
        """Say how it goes with a claimed job; False where the lease is over."""
        if connection is not None:
            return queue.report(connection, job, news, now=self._catalog.moment(connection))
        with self._catalog.connection() as own:
            return queue.report(own, job, news, now=self._catalog.moment(own))

    def move(self, job_id: str, verb: str) -> Job:
        """Cancel a job, or let one that is dead or cancelled begin anew."""
        with self._catalog.connection() as connection:
            return queue.move(connection, job_id, verb, now=self._catalog.moment(connection))

    def find(self, job_id: str) -> Job:
        """Return a job as it stands."""
        with self._catalog.read() as view:
            return jobs.to_job(jobs.found(view.connection, job_id))

    def purge(self) -> int:
        """Delete what finished long ago, in small transactions; return how many."""
        now, total = self._catalog.clock(), 0
        for states, kept in ((FINISHED, KEPT), ((JobState.DEAD,), DEAD_KEPT)):
            gone = _AT_ONCE
            while gone == _AT_ONCE:
                with self._catalog.connection() as connection:
                    gone = jobs.purge(connection, states, before=now - kept, limit=_AT_ONCE)
                total += gone
        return total
