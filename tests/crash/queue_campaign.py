"""Kill one of several working processes over and over; then let every job end, and look at each.

The server goes by a clock of ours. With every kill it moves by more than a lease, so that living workers,
too, lose what they have in hand, and go on as if they had not.
"""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from typing import Any

from sqlalchemy import select

from memos_core.job import LEASE, LONGEST_DELAY, JobState
from memos_core.scheduler.engines import JobEngine
from memos_core.vault.schema_jobs import jobs
from tests.crash.queue_worker import ANA, main, worker_of
from tests.postgres_server import Server
from tests.procrastinate_store import clocked, queue_at

PROCESSES, CUBES = 3, 6
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.crash.queue_worker"])


class QueueCampaign:
    """A catalog whose workers are killed, from its `with` line to its end."""

    def __init__(self, server: Server, *, seed: int) -> None:
        self.chance, self.acknowledged, self.kills = random.Random(seed), set[str](), 0
        self._workers: list[tuple[Any, Any]] = []
        with ExitStack() as undo:
            self.url, self.clock = undo.enter_context(clocked(server, pool="killed"))
            given = queue_at(self.url, JobEngine.PROCRASTINATE)
            self.catalog, self.queue = undo.enter_context(given)
            with self.catalog.write(ANA) as tx:
                self.cubes = [tx.create_cube(f"cube {number}").id for number in range(CUBES)]
            with self.catalog.connection() as connection:
                connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS effects (job VARCHAR)")
            undo.callback(self.kill_all)
            self._undo = undo.pop_all()

    def __enter__(self) -> QueueCampaign:
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def start(self) -> None:
        """Let as many processes work as there are to be."""
        while len(self._workers) < PROCESSES:
            heard, told = _FORKS.Pipe(duplex=False)
            worker = _FORKS.Process(target=main, args=(self.url, self.cubes, told))
            worker.start()
            told.close()
            assert heard.recv() == "ready"
            self._workers.append((worker, heard))

    def kill(self, *, within: float = 0.6) -> None:
        """Let them work for a moment, then kill one; what time it is leaps for all."""
        self.start()
        time.sleep(self.chance.uniform(0, within))
        self._kill(self.chance.randrange(PROCESSES))
        self.clock.move(seconds=LEASE.total_seconds() + 1)

    def _kill(self, which: int) -> None:
        worker, heard = self._workers.pop(which)
        worker.kill()
        worker.join()
        assert worker.exitcode == -signal.SIGKILL, "the worker ended by itself"
        with closing(heard), suppress(EOFError, OSError):  # it was killed in the middle of a word
            while True:
                self.acknowledged |= set(heard.recv())
        self.kills += 1

    def kill_all(self) -> None:
        while self._workers:
            self._kill(0)

    def settle(self) -> Counter[str]:
        """Let every job end; return how it is with them. Raises AssertionError for any that is not right."""
        self.kill_all()
        worker = worker_of(self.catalog, self.queue, threads=1)
        while self._left():
            self.clock.move(seconds=LONGEST_DELAY.total_seconds())
            worker.run_until_idle()
        worker.close()
        with self.catalog.read() as view:
            found = view.connection.execute(select(jobs.c.id, jobs.c.state, jobs.c.attempts)).all()
            effects = Counter(view.connection.exec_driver_sql("SELECT job FROM effects").scalars())
            tickets = view.connection.exec_driver_sql("SELECT count(*) FROM procrastinate_jobs").scalar()
        ids = {row.id for row in found}
        assert self.acknowledged <= ids, f"acknowledged and gone: {sorted(self.acknowledged - ids)}"
        assert {row.state for row in found} == {JobState.DONE.value}
        assert effects.keys() == ids, "an effect without a job, or a job without its effect"
        twice = [name for name, times in effects.items() if times != 1]
        assert (twice, tickets) == ([], 0), f"done twice: {twice}"
        begun_again = sum(row.attempts > 1 for row in found)
        return Counter(jobs=len(ids), acknowledged=len(self.acknowledged), begun_again=begun_again)

    def _left(self) -> bool:
        open_ = [JobState.DELAYED.value, JobState.WAITING.value, JobState.RUNNING.value]
        with self.catalog.read() as view:
            query = select(jobs.c.seq).where(jobs.c.state.in_(open_)).limit(1)
            return view.connection.execute(query).first() is not None
