"""Kill a working process over and over; then let every job end, and look at what came of each."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from memos_core import JobState
from tests.crash.job_worker import KIND, effect, main, opened, prepared

_FORKS = multiprocessing.get_context(
    "forkserver"
)  # it imports once; a plain fork would take our threads along
_FORKS.set_forkserver_preload(["tests.crash.job_worker"])


@dataclass
class JobCampaign:
    """A store whose worker is killed. `acknowledged` are the jobs that the worker said were ordered."""

    folder: Path
    seed: int
    acknowledged: set[str] = field(default_factory=set)
    kills: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        prepared(str(self.folder))

    def kill(self, *, within: float = 0.6) -> None:
        """Let a worker work for a moment, then kill it."""
        heard, told = _FORKS.Pipe(duplex=False)
        worker = _FORKS.Process(target=main, args=(str(self.folder), told))
        worker.start()
        told.close()
        assert heard.recv() == "ready"
        time.sleep(self.chance.uniform(0, within))
        worker.kill()
        worker.join()
        assert worker.exitcode == -signal.SIGKILL, "the worker ended by itself"
        with closing(heard), suppress(EOFError, OSError):  # it was killed in the middle of a word
            while True:
                self.acknowledged |= set(heard.recv())
        self.kills += 1

    def settle(self) -> Counter[str]:
        """Let every job end; return how it is with them. Raises AssertionError for any that is not right."""
        with opened(str(self.folder)) as memos:
            worker = memos.worker(handlers={KIND: lambda work: effect(memos, work)})
            worker.run_until_idle()
            worker.close()
            jobs = {job.id: job for job in memos.jobs.list(limit=100_000)}
            with memos._core.catalog.read() as view:
                rows = view.connection.exec_driver_sql("SELECT job FROM effects").scalars()
                effects = Counter(rows)
        lost = self.acknowledged - jobs.keys()
        assert not lost, f"acknowledged and gone: {sorted(lost)}"
        unfinished = [job.id for job in jobs.values() if job.state is not JobState.DONE]
        assert not unfinished, f"never done: {unfinished}"
        assert effects.keys() == jobs.keys(), "an effect without a job, or a job without its effect"
        twice = [name for name, times in effects.items() if times != 1]
        assert not twice, f"done twice: {twice}"
        return Counter(
            jobs=len(jobs),
            acknowledged=len(self.acknowledged),
            begun_again=sum(job.attempts > 1 for job in jobs.values()),
        )
