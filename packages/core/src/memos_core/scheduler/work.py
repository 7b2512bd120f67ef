"""A job in hand, as its handler sees it; and what becomes of one that fails."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import Final, TypeAlias

from sqlalchemy import Connection

from memos_core.cube import Principal
from memos_core.errors import BackendError, JobLost, MemOSError
from memos_core.job import Alive, Done, Failed, Job, Progress, delay
from memos_core.protocols import JobQueue

TELLING: Final = 1.0  # seconds between two notes of progress: each is a write
_MAX_ERROR, _MAX_TRACE = 500, 20_000  # characters


class Work:
    """A job in hand. A handler reads `job`, tells its progress, and ends in the transaction of its effect.

    Whatever a handler does may be cut off at any point and begun anew: either each part of it is idempotent,
    or its effect and `finish` stand in one transaction. A worker that lost its job meets JobLost.
    """

    def __init__(self, job: Job, queue: JobQueue) -> None:
        self.job, self._queue = job, queue
        self.begin = time.monotonic()
        self.lost = threading.Event()
        self.finished = False
        self._told = 0.0

    @property
    def principal(self) -> Principal:
        """Who the job is done for: what they may not do now is not done, whoever they were before."""
        return Principal(self.job.by, purpose=self.job.purpose)

    @property
    def is_overdue(self) -> bool:
        """Whether the attempt takes longer than it may."""
        return time.monotonic() - self.begin > self.job.timeout.total_seconds()

    def check(self) -> None:
        """Raise JobLost where the job is no longer this worker's: it was cancelled, or took too long."""
        if self.lost.is_set():
            raise JobLost(self.job.id)

    def progress(self, done: int, of: int) -> None:
        """Tell how much is done, and of how much; written down now and then. Raises JobLost, as `check`."""
        self.check()
        if time.monotonic() - self._told < TELLING:
            return
        self._told = time.monotonic()
        if not self._queue.report(self.job, Alive(progress=Progress(done=done, of=of))):
            self.lost.set()
            self.check()

    def finish(self, connection: Connection) -> None:
        """Say in the transaction of the effect that the job is done: both commit, or neither.

        Raises JobLost where the job is somebody else's by now; then the transaction has to fail with it.
        """
        if self.lost.is_set() or not self._queue.report(self.job, Done(), connection=connection):
            raise JobLost(self.job.id)
        self.finished = True


Handler: TypeAlias = Callable[[Work], None]
"""Does the jobs of one kind."""


def failed(job: Job, exc: Exception) -> Failed:
    """Return what to report of an attempt that raised.

    What the library refuses (a right that is missing, input of no use) it will refuse again: that is not
    retried by itself. Whatever a back end raises is, and so is what nobody thought of.
    """
    refused = isinstance(exc, MemOSError) and not isinstance(exc, BackendError)
    name = type(exc).__name__
    trace = "".join(traceback.format_exception(exc))[-_MAX_TRACE:]
    return Failed(
        error=" ".join(f"{name}: {exc}".split())[:_MAX_ERROR],
        trace=trace,
        after=None if refused else delay(job.attempts),
    )
