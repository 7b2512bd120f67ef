"""A Procrastinate app whose own workers run our handlers: for `procrastinate worker` and its options."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Job as Ticket
from procrastinate.jobs import Status
from procrastinate.manager import JobManager

from memos_core.errors import InvalidInput
from memos_core.job import Job
from memos_core.scheduler.procrastinate_queue import ProcrastinateQueue
from memos_core.scheduler.worker import Worker, do, queue_of

_PREFIX = "memos."


def app_of(worker: Worker) -> App:
    """Return an app that does what the worker of a store does; the worker itself is not started.

    ::

        memos = MemOS.open("./memory", catalog="postgresql+psycopg://…", jobs="procrastinate")
        app = app_of(memos.worker())             # then: procrastinate --app=that_module.app worker

    Procrastinate's worker waits for notifications, limits how many jobs run at a time and sends the
    heartbeats; jobs are claimed, told of and ended as by `memos worker`. A handler that hangs loses its job
    in time, and keeps its place in that worker until it returns. Raises InvalidInput for a worker of a
    store whose jobs Procrastinate does not hand out.
    """
    queue = queue_of(worker)
    if not isinstance(queue, ProcrastinateQueue):
        raise InvalidInput("this store hands out its jobs by itself: open it with jobs='procrastinate'")
    connector = PsycopgConnector(kwargs=queue.catalog.connect_args())
    app = App(connector=connector)
    manager = app.job_manager = _Manager(connector, queue, worker)
    for kind in worker.kinds:
        app.task(name=f"{_PREFIX}{kind}", queue=f"{_PREFIX}{kind}")(manager.run)
    return app


class _Manager(JobManager):
    """Claims jobs as our queue does, row and ticket in one transaction; what ended has ended there."""

    def __init__(self, connector: PsycopgConnector, queue: ProcrastinateQueue, worker: Worker) -> None:
        super().__init__(connector)
        self._queue, self._worker = queue, worker
        self._claimed: dict[str, Job] = {}

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Ticket | None:
        """Return the next ticket of these queues whose job is in hand now."""
        named = self._worker.kinds if queues is None else [name.removeprefix(_PREFIX) for name in queues]
        kinds = [kind for kind in named if kind in self._worker.kinds]
        handed = await asyncio.to_thread(
            self._queue.claim_as, kinds, seat=worker_id, worker=self._worker.name
        )
        if handed is None:
            return None
        job = handed.job
        self._claimed[job.id] = job
        name = f"{_PREFIX}{job.kind}"
        return Ticket(
            id=handed.ticket,
            queue=name,
            lock=None,
            queueing_lock=None,
            task_name=name,
            task_kwargs={"job": job.id},
            attempts=job.attempts - 1,
        )

    async def finish_job(self, job: Ticket, status: Status, delete_job: bool) -> None:  # noqa: FBT001 - theirs
        """Do nothing: the ticket went with the end of its job."""

    def run(self, job: str) -> None:
        """Do a job that was claimed."""
        do(self._worker, self._claimed.pop(job))
