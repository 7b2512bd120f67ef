"""Kill a working process over and over; then let every job end, and look at what came of each."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from memos_core import JobState
from tests.crash.job_worker import KIND, effect, opened, prepared

ROOT = Path(__file__).parents[2]


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
        code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.crash.job_worker import main; "
        command = [sys.executable, "-c", f"{code}main({str(self.folder)!r})"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
            time.sleep(self.chance.uniform(0, within))
            worker.kill()
            told = worker.stdout.read()
            assert worker.wait() == -signal.SIGKILL, "the worker ended by itself"
        lines = told.splitlines() if told.endswith("\n") else told.splitlines()[:-1]
        self.acknowledged |= {name for line in lines for name in line.split()}
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
