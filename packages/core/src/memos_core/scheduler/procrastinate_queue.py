"""The jobs of a catalog on PostgreSQL, handed out by Procrastinate. See `memos_core.protocols.JobQueue`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection

from sqlalchemy import Connection

from memos_core.errors import BackendError
from memos_core.job import Alive, Job, News
from memos_core.scheduler.queue import CatalogQueue
from memos_core.vault import tickets
from memos_core.vault.catalog import Catalog

log = logging.getLogger(__name__)


class ProcrastinateQueue(CatalogQueue):
    """A JobQueue for many machines: whoever fetches a job waits for nobody who writes.

    The jobs are rows of the catalog, as in the embedded queue, and end there in the transaction of their
    effect. Who is next, which lanes are busy and which workers live is asked of Procrastinate, through its
    SQL functions, in the same transactions.
    """

    def __init__(self, catalog: Catalog) -> None:
        super().__init__(catalog)
        self._seats: dict[str, int] = {}  # workers of this process, by their names
        self._seating = threading.Lock()

    def claim(self, kinds: Collection[str], *, worker: str) -> Job | None:
        """Fetch the next job of these kinds; None, and no write, where there is nothing to do now."""
        handed = self.claim_as(kinds, seat=None, worker=worker)
        return None if handed is None else handed.job

    def claim_as(self, kinds: Collection[str], *, seat: int | None, worker: str) -> tickets.Handed | None:
        """Fetch the next job of these kinds, for a worker that Procrastinate knows under this number.

        None for the seat means that the worker is ours, and gets a number when it has none.
        """
        if not self._is_work(kinds):
            return None
        try:
            with self._catalog.beside() as connection:
                return self._fetch(connection, kinds, seat=seat, worker=worker)
        except tickets.Stray as stray:
            return self._fetch_alone(kinds, stray.job_id, seat=seat, worker=worker)

    def report(self, job: Job, news: News, *, connection: Connection | None = None) -> bool:
        """Say how it goes with a claimed job; False where the lease is over."""
        if connection is None and isinstance(news, Alive):
            with self._catalog.beside() as own:
                return tickets.alive(own, job, news.progress)
        if isinstance(news, Alive) and connection is not None:
            return tickets.alive(connection, job, news.progress)
        return super().report(job, news, connection=connection)

    @property
    def catalog(self) -> Catalog:
        """Where the jobs are."""
        return self._catalog

    def purge(self) -> int:
        """Delete what finished long ago, and the workers that are gone; return how many jobs."""
        with self._catalog.connection() as connection:
            tickets.prune(connection)
            tickets.reissue(connection)
        return super().purge()

    def _is_work(self, kinds: Collection[str]) -> bool:
        """Do the chores that are due; return whether there may be something to fetch.

        Raises BackendError where the catalog hands out its jobs by itself again: there are no tickets then.
        """
        with self._catalog.read() as view:
            found = tickets.look(view.connection, kinds, now=self._catalog.moment(view.connection))
            if not found.has_tickets and not tickets.hands_out(view.connection):
                raise BackendError(
                    "the catalog hands out the jobs of this store since it was opened: open it anew"
                )
        if found.has_chores:
            with self._catalog.connection() as connection:
                tickets.do_chores(connection, now=self._catalog.moment(connection))
        return found.has_tickets or found.has_chores

    def _fetch(
        self, connection: Connection, kinds: Collection[str], *, seat: int | None, worker: str
    ) -> tickets.Handed | None:
        seat = self._seated(connection, worker) if seat is None else seat
        now = self._catalog.moment(connection)
        return tickets.fetch(connection, kinds, seat=seat, worker=worker, now=now)

    def _seated(self, connection: Connection, worker: str) -> int:
        """Return the number of a worker of ours; it is alive now."""
        with self._seating:
            known = self._seats.get(worker)
        seat = tickets.seat(connection, known)
        if seat != known:
            with self._seating:
                self._seats[worker] = seat
        return seat

    def _fetch_alone(
        self, kinds: Collection[str], stray: str, *, seat: int | None, worker: str
    ) -> tickets.Handed | None:
        """Fetch while nobody else writes: somebody was at a job's row, or its ticket was not right."""
        with self._catalog.connection() as connection:
            tickets.mend(connection, stray, now=self._catalog.moment(connection))
        try:
            with self._catalog.connection() as connection:
                return self._fetch(connection, kinds, seat=seat, worker=worker)
        except tickets.Stray as again:
            log.info("%s: another look will tell", again)
            return None
