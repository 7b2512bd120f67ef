"""A JobQueue in plain Python objects: the model that the embedded one is compared with."""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from memos_core.errors import NotFound
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
    Order,
    Released,
    delay,
    stepped,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

_PENDING = (JobState.DELAYED, JobState.WAITING)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A job with its place in the queue."""

    job: Job
    number: int
    turn: int
    until: datetime | None = None

    @property
    def lane(self) -> tuple[str, str | None]:
        return (self.job.kind, self.job.cube)

    @property
    def place(self) -> tuple[int, int, int]:
        return (-self.job.priority, self.turn, self.number)


class InMemoryQueue:
    """Keeps every promise of a JobQueue but durability. `transaction` undoes what a failing block put."""

    def __init__(self, *, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._jobs: dict[str, _Kept] = {}
        self._lock = threading.RLock()

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Put within the block, or not at all."""
        with self._lock:
            before = copy.copy(self._jobs)
            try:
                yield
            except BaseException:
                self._jobs = before
                raise

    def put(self, connection: Connection | None, order: Order) -> str:  # noqa: ARG002 - the seam's signature
        with self._lock:
            now = self._clock()
            for kept in self._jobs.values():
                if self._waits_as(kept, order):
                    return self._folded(kept, order, now)
            run_at = order.run_at or now
            job = Job(
                id=uuid.uuid4().hex,
                kind=str(order.kind),
                cube=order.cube,
                key=order.key,
                payload=dict(order.payload),
                by=order.by,
                purpose=order.purpose,
                priority=order.priority,
                state=JobState.DELAYED if run_at > now else JobState.WAITING,
                attempts=0,
                max_attempts=order.max_attempts,
                timeout=order.timeout,
                run_at=run_at,
                created_at=now,
            )
            self._jobs[job.id] = _Kept(job, len(self._jobs), self._turn(order.cube, order.priority))
            return job.id

    def claim(self, kinds: Collection[str], *, worker: str) -> Job | None:
        with self._lock:
            now = self._clock()
            self._lapse(now)
            self._come_due(now)
            leads = [kept for kept in self._leads() if kept.job.kind in kinds]
            if not leads:
                return None
            kept = min(leads, key=lambda kept: kept.place)
            lease = uuid.uuid4().hex
            job = replace(
                kept.job,
                state=stepped(kept.job.id, kept.job.state, "claim"),
                attempts=kept.job.attempts + 1,
                worker=worker,
                lease=lease,
                started_at=now,
                progress=None,
            )
            self._jobs[job.id] = replace(kept, job=job, until=now + LEASE)
            return job

    def report(self, job: Job, news: News, *, connection: Connection | None = None) -> bool:  # noqa: ARG002 - the seam's signature
        with self._lock:
            kept = self._jobs.get(job.id)
            if kept is None or kept.job.state is not JobState.RUNNING or kept.job.lease != job.lease:
                return False
            now = self._clock()
            match news:
                case Alive(progress=progress):
                    told = replace(kept.job, progress=progress or kept.job.progress)
                    self._jobs[job.id] = replace(kept, job=told, until=now + LEASE)
                case Done():
                    self._ended(kept, "finish", now)
                case Released():
                    released = replace(kept, job=replace(kept.job, attempts=kept.job.attempts - 1))
                    self._again(released, "release", now, run_at=now)
                case Failed():
                    self._fail(kept, news, now)
            return True

    def move(self, job_id: str, verb: str) -> Job:
        with self._lock:
            kept, now = self._kept(job_id), self._clock()
            if verb == "cancel":
                self._ended(kept, verb, now)
            else:
                stepped(job_id, kept.job.state, verb)
                turn = self._turn(kept.job.cube, kept.job.priority)
                self._again(
                    replace(kept, job=replace(kept.job, attempts=0), turn=turn), verb, now, run_at=now
                )
            return self.find(job_id)

    def find(self, job_id: str) -> Job:
        with self._lock:
            return self._kept(job_id).job

    # --- its steps ---------------------------------------------------------------------------

    def _kept(self, job_id: str) -> _Kept:
        if job_id not in self._jobs:
            raise NotFound("job", job_id)
        return self._jobs[job_id]

    def _waits_as(self, kept: _Kept, other: Job | Order) -> bool:
        alike = (
            getattr(kept.job, name) == getattr(other, name)
            for name in ("kind", "cube", "key", "by", "purpose")
        )
        return other.key is not None and kept.job.state in _PENDING and all(alike)

    def _folded(self, kept: _Kept, order: Order, now: datetime) -> str:
        run_at = min(kept.job.run_at, order.run_at or now)
        if order.run_at is None and kept.job.attempts:
            run_at = kept.job.run_at
        priority = max(kept.job.priority, order.priority)
        turn = kept.turn if priority == kept.job.priority else self._turn(kept.job.cube, priority)
        job = replace(
            kept.job,
            payload=dict(order.payload),
            priority=priority,
            run_at=run_at,
            state=JobState.WAITING if run_at <= now else JobState.DELAYED,
        )
        self._jobs[job.id] = replace(kept, job=job, turn=turn)
        return job.id

    def _turn(self, cube: str | None, priority: int) -> int:
        same = [kept for kept in self._jobs.values() if kept.job.priority == priority]
        own = [k.turn for k in same if k.job.cube == cube and k.job.state is JobState.WAITING]
        present = [kept.turn for kept in self._leads() if kept.job.priority == priority]
        running = [kept.turn for kept in same if kept.job.state is JobState.RUNNING]
        at = min(present) if present else max(running, default=0)
        return max(max(own, default=-1), at - 1) + 1

    def _leads(self) -> list[_Kept]:
        busy = {kept.lane for kept in self._jobs.values() if kept.job.state is JobState.RUNNING}
        best: dict[tuple[str, str | None], _Kept] = {}
        for kept in self._jobs.values():
            if kept.job.state is JobState.WAITING and kept.lane not in busy:
                best[kept.lane] = min(best.get(kept.lane, kept), kept, key=lambda each: each.place)
        return list(best.values())

    def _fail(self, kept: _Kept, news: Failed, now: datetime) -> None:
        told = replace(kept.job, error=news.error, trace=news.trace or None)
        kept = replace(kept, job=told)
        if news.after is None or told.attempts >= told.max_attempts:
            self._ended(kept, "die", now)
        else:
            self._again(kept, "delay", now, run_at=now + min(news.after, LONGEST_DELAY))

    def _ended(self, kept: _Kept, verb: str, now: datetime) -> None:
        state = stepped(kept.job.id, kept.job.state, verb)
        job = replace(kept.job, state=state, finished_at=now, worker=None, lease=None)
        if state is JobState.DONE:
            job = replace(job, error=None, trace=None)
        self._jobs[job.id] = replace(kept, job=job, until=None)

    def _again(self, kept: _Kept, verb: str, now: datetime, *, run_at: datetime) -> None:
        job = kept.job
        for other in self._jobs.values():
            if other.job.id != job.id and self._waits_as(other, job):
                self._ended(kept, "fold", now)
                return
        state = stepped(job.id, job.state, verb)
        if state is JobState.DELAYED and run_at <= now:
            state = stepped(job.id, state, "due")
        job = replace(job, state=state, run_at=run_at, finished_at=None, worker=None, lease=None)
        self._jobs[job.id] = replace(kept, job=job, until=None)

    def _come_due(self, now: datetime) -> None:
        for kept in list(self._jobs.values()):
            job = kept.job
            too_long = job.attempts > 0 and job.run_at > now + LONGEST_DELAY
            if job.state is JobState.DELAYED and (job.run_at <= now or too_long):
                self._jobs[job.id] = replace(kept, job=replace(job, state=JobState.WAITING))

    def _lapse(self, now: datetime) -> None:
        for kept in list(self._jobs.values()):
            if kept.until is not None and not now < kept.until <= now + 2 * LEASE:
                after = delay(kept.job.attempts)
                self._fail(kept, Failed(error=LOST, after=after), now)
