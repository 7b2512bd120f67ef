"""The worker: threads that claim jobs, do them, and keep their leases alive."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Protocol, Self

from memos_core.errors import BackendError, Closed, InvalidInput, JobLost
from memos_core.job import LEASE, Alive, Done, Failed, Job, Kind, News, Released, delay
from memos_core.memory import checked_within
from memos_core.protocols import JobQueue
from memos_core.scheduler.work import Handler, Work, failed
from memos_core.telemetry import observing

log = logging.getLogger(__name__)

POLL: Final = 0.5  # seconds between two looks at a queue that was empty
BEAT: Final = LEASE.total_seconds() / 4  # between two renewals of a lease
TICK: Final = 0.1  # between two looks at how long the jobs in hand take
TIDY: Final = 3600.0  # between two purges
GRACE: Final = 5.0  # that `close` waits for the jobs in hand
_KNOWN: Final = frozenset(Kind)
_TIERS: Final = {Kind.PREFILL.value: "kv", Kind.TRAIN.value: "lora", Kind.EVALUATE.value: "lora"}


class PurgedQueue(JobQueue, Protocol):
    """A queue whose old jobs the worker clears away."""

    def purge(self) -> int:
        """Delete what finished long ago; return how many."""
        ...


class _Post:
    """A thread's place, and the work that it has in hand. Abandoned, it takes no other."""

    def __init__(self) -> None:
        self.work: Work | None = None
        self.abandoned = False
        self.thread: threading.Thread | None = None


class Worker:
    """Does jobs in threads of its own, from `start` (or the `with` line) to `close`.

    ::

        with memos.worker(threads=2):
            ...                                     # jobs are done meanwhile

    A handler that takes longer than its job may is given up: its lease ends, another thread takes the
    place of the one that hangs, and nothing that the handler still does for the job can commit. Waits
    `poll` seconds between two looks at an empty queue, less where `bell` is rung.
    """

    def __init__(
        self,
        queue: PurgedQueue,
        handlers: Mapping[str, Handler],
        *,
        threads: int = 1,
        bell: threading.Event | None = None,
        poll: float = POLL,
    ) -> None:
        self._queue, self._handlers = queue, dict(handlers)
        self._threads = checked_within(threads, 1, 256, what="threads")
        self._bell, self._poll = bell or threading.Event(), poll
        self.name = uuid.uuid4().hex[:12]
        self._stop = threading.Event()
        self._posts: list[_Post] = []
        self._given_up: list[Job] = []  # and not reported yet; the heart's own
        self._changing = threading.Lock()
        self._heart: threading.Thread | None = None
        self._beaten, self._tidied = time.monotonic(), time.monotonic()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of jobs that it does; the others are left waiting."""
        return tuple(sorted(self._handlers))

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not closed."""
        return self._heart is not None and not self._stop.is_set()

    def start(self) -> Self:
        """Begin; return itself. InvalidInput where it was begun before."""
        with self._changing:
            if self._heart is not None or self._stop.is_set():
                raise InvalidInput("this worker was started before: make another one")
            self._begin_heart()
            for _ in range(self._threads):
                self._hire()
        return self

    def run_until_idle(self) -> int:
        """Do in this thread what can be done now; return how many jobs were run.

        Jobs that wait for their time, or for a worker that knows their kind, are left.
        """
        done = 0
        with self._post() as post:
            while not self._stop.is_set() and not post.abandoned and self._step(post):
                done += 1
        return done

    @contextmanager
    def _post(self) -> Generator[_Post]:
        """Open a place for the calling thread, that is watched meanwhile."""
        with self._changing:
            if self._stop.is_set():
                raise Closed
            if self._heart is None:
                self._begin_heart()
            post = _Post()
            self._posts.append(post)
        try:
            yield post
        finally:
            with self._changing:
                self._posts.remove(post)

    def close(self, *, grace: float = GRACE) -> None:
        """Stop: the jobs in hand have so many seconds to end; the others are given back."""
        self._stop.set()
        self._bell.set()
        until = time.monotonic() + grace
        with self._changing:
            posts = list(self._posts)
        for post in posts:
            if post.thread is not None and post.thread is not threading.current_thread():
                post.thread.join(max(0.0, until - time.monotonic()))
        for post in posts:
            self._give_back(post)
        if self._heart is not None and self._heart is not threading.current_thread():
            self._heart.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- one thread --------------------------------------------------------------------------

    def _hire(self) -> None:
        post = _Post()
        name = f"memos-worker-{self.name}"
        post.thread = threading.Thread(target=self._run, args=(post,), name=name, daemon=True)
        self._posts.append(post)
        post.thread.start()

    def _run(self, post: _Post) -> None:
        pause = self._poll
        while not self._stop.is_set() and not post.abandoned:
            try:
                busy = self._step(post)
                pause = self._poll
            except Exception as exc:  # the supervisor: whatever a queue raises, this thread has to live on
                log.warning("no job could be claimed or reported: %s", exc, exc_info=True)
                busy, pause = False, min(2 * pause, 30.0)
            if not busy:
                self._bell.wait(pause)
                self._bell.clear()

    def _step(self, post: _Post) -> bool:
        """Claim a job and do it; return whether there was one."""
        job = self._queue.claim(self.kinds, worker=self.name)
        if job is None:
            return False
        self._do(post, job)
        return True

    def _do(self, post: _Post, job: Job) -> None:
        work = Work(job, self._queue)
        post.work = work
        try:
            news = self._tried(work)
        except BaseException:  # the process is told to end: somebody else begins anew
            self._release(job)
            raise
        finally:
            post.work = None
        if news is not None and not work.lost.is_set():
            self._queue.report(job, news)

    def _tried(self, work: Work) -> News | None:
        """Return what to report of the job; None where that was done already, or is no longer ours to do."""
        job = work.job
        try:
            with observing(_verb(job.kind), tier=_TIERS.get(job.kind, "text")):
                self._handlers[job.kind](work)
        except JobLost as exc:
            log.info("dropped: %s", exc)
            return None
        except Closed:
            return Released()
        except Exception as exc:  # the supervisor: whatever a handler raises becomes the job's own error
            log.warning("job %s (%s) failed: %s", job.id, job.kind, type(exc).__name__, exc_info=True)
            return failed(job, exc)
        return None if work.finished else Done()

    # --- the heart ---------------------------------------------------------------------------

    def _begin_heart(self) -> None:
        self._heart = threading.Thread(target=self._watch, name=f"memos-heart-{self.name}", daemon=True)
        self._heart.start()

    def _watch(self) -> None:
        """Renew leases, give up what hangs, clear away what is old, until stopped."""
        while not self._stop.wait(TICK):
            with self._changing:
                posts = list(self._posts)
            try:
                for post in posts:
                    self._look_at(post)
                self._beat(posts)
                self._tell()
                if time.monotonic() - self._tidied > TIDY:
                    self._tidied = time.monotonic()
                    self._queue.purge()
            except BackendError as exc:
                log.warning("leases were not renewed: %s", exc)
                self._stop.wait(1.0)

    def _beat(self, posts: list[_Post]) -> None:
        if time.monotonic() - self._beaten < BEAT:
            return
        self._beaten = time.monotonic()
        for work in [post.work for post in posts if post.work is not None]:
            if not (work.finished or work.lost.is_set()) and not self._queue.report(work.job, Alive()):
                work.lost.set()

    def _look_at(self, post: _Post) -> None:
        """Give up what takes longer than it may; its thread is replaced, whosever the job is by now."""
        work = post.work
        if work is None or post.abandoned or not work.is_overdue:
            return
        post.abandoned = True
        log.warning("job %s (%s) took longer than it may: given up", work.job.id, work.job.kind)
        if not work.lost.is_set():
            work.lost.set()
            self._given_up.append(work.job)
        with self._changing:
            if post.thread is not None and not self._stop.is_set():
                self._posts.remove(post)
                self._hire()

    def _tell(self) -> None:
        """Report what was given up; where that fails, it is tried at the next look."""
        while self._given_up:
            self._queue.report(self._given_up[0], _overdue(self._given_up[0]))
            del self._given_up[0]

    def _give_back(self, post: _Post) -> None:
        """Give back the job that a thread has still in hand when the worker closes."""
        work = post.work
        if work is None or work.lost.is_set() or post.thread is threading.current_thread():
            return
        post.abandoned = True
        work.lost.set()
        self._release(work.job)

    def _release(self, job: Job) -> None:
        """Give a job back; where that cannot be written down, its lease runs out."""
        try:
            self._queue.report(job, Released())
        except BackendError as exc:
            log.warning("job %s (%s) was not given back: %s", job.id, job.kind, exc)


def queue_of(worker: Worker) -> PurgedQueue:
    """Return where a worker finds its jobs, for those who claim them in its name."""
    return worker._queue


def do(worker: Worker, job: Job) -> None:
    """Do in this thread a job that was claimed in the worker's name, and report what comes of it."""
    with worker._post() as post:
        worker._do(post, job)


def _verb(kind: str) -> str:
    """Return what a job is called in telemetry, where kinds of other people's are one."""
    return f"job.{kind if kind in _KNOWN else 'other'}"


def _overdue(job: Job) -> Failed:
    span = job.timeout.total_seconds()
    return Failed(error=f"it took longer than {span:g} s, and was given up", after=delay(job.attempts))
