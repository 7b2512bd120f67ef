import logging
import threading
import time
from contextlib import closing
from datetime import timedelta

import pytest

from memos_core import Closed, InvalidInput, JobLost, NotFound
from memos_core.errors import BackendUnavailable
from memos_core.job import Failed, JobState, delay
from memos_core.scheduler import worker as scheduler_worker
from memos_core.scheduler.worker import Worker
from tests.procrastinate_store import ENGINES


def until(condition, *, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


@pytest.fixture
def worker(queue):
    """Make a worker of these handlers; it is closed at the end."""
    made = []

    def make(threads=1, **handlers):
        made.append(Worker(queue, handlers, threads=threads, poll=0.02))
        return made[-1]

    yield make
    for each in made:
        each.close(grace=0.2)


@ENGINES
def test_jobs_are_done_in_threads_from_start_to_close(worker, put, queue):
    seen, before = [], set(threading.enumerate())  # other tests' stores may have threads
    with worker(threads=2, work=lambda work: seen.append((work.job.id, threading.current_thread().name))):
        ids = [put(cube=number) for number in range(4)]
        until(lambda: all(queue.find(each).state is JobState.DONE for each in ids))
    assert sorted(each for each, _ in seen) == sorted(ids)
    assert {name.startswith("memos-worker-") for _, name in seen} == {True}
    assert set(threading.enumerate()) <= before


def test_nothing_runs_before_start(worker, put, queue):
    made, job = worker(work=print), put()
    time.sleep(0.1)
    assert (made.is_running, queue.find(job).state) == (False, JobState.WAITING)


def test_a_worker_starts_once(worker):
    made = worker(work=print)
    made.start()
    with pytest.raises(InvalidInput, match="started before"):
        made.start()
    made.close()
    with pytest.raises(Closed):
        made.run_until_idle()


@ENGINES
def test_a_poison_job_dies_with_its_traceback_and_a_retry_heals_it(worker, put, queue, clock):
    sound = threading.Event()

    def handle(work):
        if not sound.is_set():
            raise ZeroDivisionError("poison")

    job, made = put(max_attempts=3), worker(work=handle)
    for _ in range(3):
        made.run_until_idle()
        clock.move(hours=1)
    dead = queue.find(job)
    assert (dead.state, dead.attempts, dead.error) == (JobState.DEAD, 3, "ZeroDivisionError: poison")
    assert "in handle" in dead.trace
    sound.set()
    queue.move(job, "retry")
    assert (made.run_until_idle(), queue.find(job).state) == (1, JobState.DONE)


@ENGINES
def test_what_may_work_later_is_tried_later(worker, put, queue, clock):
    plan = [BackendUnavailable("down"), None]

    def handle(work):
        if (error := plan.pop(0)) is not None:
            raise error

    job, made = put(), worker(work=handle)
    assert (made.run_until_idle() >= 1, queue.find(job).error) == (True, "BackendUnavailable: down")
    clock.move(minutes=10)
    made.run_until_idle()
    done = queue.find(job)
    assert (done.state, done.error, plan) == (JobState.DONE, None, [])


@ENGINES
def test_what_is_refused_is_not_tried_again(worker, put, queue):
    def handle(work):
        raise NotFound("cube", "x")

    job = put()
    worker(work=handle).run_until_idle()
    assert (queue.find(job).state, queue.find(job).attempts) == (JobState.DEAD, 1)


@ENGINES
def test_a_handler_that_hangs_is_given_up_and_harms_nobody(worker, put, queue, caplog):
    caplog.set_level(logging.ERROR)
    hang, lost = threading.Event(), []

    def handle(work):
        if work.job.payload.get("hangs"):
            hang.wait(20)
            try:
                work.check()
            except JobLost:
                lost.append(work.job.id)
                raise

    hanging = put(payload={"hangs": True}, timeout=timedelta(seconds=0.2), max_attempts=1)
    following, other = put(), put(cube=1)
    with worker(work=handle):
        until(lambda: queue.find(following).state is JobState.DONE)
        until(lambda: queue.find(other).state is JobState.DONE)
        dead = queue.find(hanging)
        assert (dead.state, dead.error) == (JobState.DEAD, "it took longer than 0.2 s, and was given up")
        hang.set()
        until(lambda: lost == [hanging])
    assert queue.find(hanging).state is JobState.DEAD


@pytest.fixture
def hanging(put):
    """A job that hangs until the test ends, what its handler does, and when it began."""
    begun, hang = threading.Event(), threading.Event()

    def handle(work):
        if work.job.payload.get("hangs"):
            begun.set()
            hang.wait(20)

    job = put(payload={"hangs": True}, timeout=timedelta(seconds=1), max_attempts=1)
    yield job, handle, begun
    hang.set()


@ENGINES
def test_a_handler_that_hangs_over_a_cancelled_job_is_replaced(worker, put, queue, hanging, monkeypatch):
    monkeypatch.setattr(scheduler_worker, "BEAT", 0.05)
    cancelled, handle, begun = hanging
    following = put(cube=1)
    with worker(work=handle):
        assert begun.wait(10)
        queue.move(cancelled, "cancel")
        until(lambda: queue.find(following).state is JobState.DONE)
    assert queue.find(cancelled).state is JobState.CANCELLED


@ENGINES
def test_a_handler_that_hangs_while_the_queue_fails_is_replaced_and_told_of(
    worker, put, queue, hanging, monkeypatch
):
    monkeypatch.setattr(scheduler_worker, "BEAT", 0.05)
    job, handle, _ = hanging
    following, real, failing = put(cube=1), queue.report, [True]

    def report(job, news, **given):
        if isinstance(news, Failed) and failing[0]:
            failing[:] = [False]
            raise BackendUnavailable("the disk is full")
        return real(job, news, **given)

    monkeypatch.setattr(queue, "report", report)
    with worker(work=handle):
        until(lambda: queue.find(following).state is JobState.DONE)
        until(lambda: queue.find(job).state is JobState.DEAD)
    assert queue.find(job).error == "it took longer than 1 s, and was given up"


@ENGINES
def test_what_a_lost_worker_finishes_does_not_commit(worker, put, queue, catalog):
    def handle(work):
        queue.move(work.job.id, "cancel")
        with catalog.connection() as connection:
            work.finish(connection)

    job = put()
    assert worker(work=handle).run_until_idle() == 1
    assert queue.find(job).state is JobState.CANCELLED


@ENGINES
def test_an_effect_that_fails_to_commit_leaves_the_job_unfinished(worker, put, queue, catalog, cubes):
    def handle(work):
        with catalog.connection() as connection:
            work.finish(connection)
            raise BackendUnavailable("the disk is full")

    job = put()
    worker(work=handle).run_until_idle()
    assert queue.find(job).error == "BackendUnavailable: the disk is full"
    assert queue.find(job).state is not JobState.DONE


@ENGINES
def test_closing_gives_back_what_is_in_hand(worker, put, queue):
    begun, end = threading.Event(), threading.Event()

    def handle(work):
        begun.set()
        end.wait(20)

    job, made = put(), worker(work=handle).start()
    assert begun.wait(10)
    made.close(grace=0.05)
    waiting = queue.find(job)
    end.set()
    assert (waiting.state, waiting.attempts) == (JobState.WAITING, 0)


@ENGINES
def test_progress_is_told_and_a_cancelled_job_learns_of_it(worker, put, queue):
    seen = []

    def handle(work):
        work.progress(3, 10)
        seen.append(queue.find(work.job.id).progress)
        queue.move(work.job.id, "cancel")
        work._told = 0.0
        work.progress(4, 10)
        seen.append("went on")

    put()
    worker(work=handle).run_until_idle()
    assert [(each.done, each.of) for each in seen] == [(3, 10)]


@ENGINES
def test_two_workers_share_the_work_and_do_nothing_twice(worker, put, queue):
    seen, lock = [], threading.Lock()

    def handle(work):
        time.sleep(0.002)
        with lock:
            seen.append(work.job.id)

    ids = [put(cube=number % 8) for number in range(64)]
    with worker(threads=2, work=handle), worker(threads=2, work=handle):
        until(lambda: all(queue.find(each).state is JobState.DONE for each in ids), seconds=30)
    assert sorted(seen) == sorted(ids)


@ENGINES
def test_kinds_without_a_handler_wait(worker, put, queue):
    newer = put("from-a-newer-version")
    assert (worker(work=print).run_until_idle(), queue.find(newer).state) == (0, JobState.WAITING)


def test_an_idle_worker_writes_nothing(worker, put, catalog, tmp_path):
    made = worker(work=print)
    put("unknown")
    made.run_until_idle()
    before = (tmp_path / "catalog.db-wal").read_bytes()
    made.run_until_idle()
    assert (tmp_path / "catalog.db-wal").read_bytes() == before


def test_a_worker_lives_through_a_queue_that_fails(worker, put, queue, monkeypatch):
    failing, real = [3], queue.claim

    def claim(kinds, *, worker):
        if failing[0]:
            failing[0] -= 1
            raise BackendUnavailable("busy")
        return real(kinds, worker=worker)

    monkeypatch.setattr(queue, "claim", claim)
    job = put()
    with worker(work=lambda work: None):
        until(lambda: queue.find(job).state is JobState.DONE)


@ENGINES
def test_what_finished_long_ago_is_purged_and_the_dead_stay_longer(worker, put, queue, clock, catalog):
    def handle(work):
        if work.job.payload:
            raise InvalidInput("no")

    done, dead, waiting = put(), put(payload={"bad": True}), put("unknown")
    worker(work=handle).run_until_idle()
    clock.move(days=8)
    assert queue.purge() == 1
    clock.move(days=90)
    assert queue.purge() == 1
    assert queue.find(waiting).state is JobState.WAITING
    for gone in (done, dead):
        with pytest.raises(NotFound):
            queue.find(gone)


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_delays_double_up_to_a_bound_and_are_drawn_below_it(chance):
    spans = [delay(attempt, chance=chance).total_seconds() for attempt in (1, 2, 3, 9, 10, 1000)]
    assert spans == [chance * bound for bound in (2, 4, 8, 512, 600, 600)]


def test_the_library_starts_no_thread_by_itself(open_memos):
    with closing(open_memos()) as memos:
        memos.worker()
        assert not [each for each in threading.enumerate() if each.name.startswith("memos-worker")]


def test_closing_the_store_stops_its_workers(open_memos):
    memos = open_memos()
    worker = memos.worker(threads=2).start()
    memos.close()
    assert not worker.is_running
    assert not [each for each in threading.enumerate() if each.name.startswith("memos-worker")]


def test_closing_the_store_releases_the_folder_though_a_job_cannot_be_given_back(
    open_memos, monkeypatch, caplog
):
    monkeypatch.setitem(Worker.close.__kwdefaults__, "grace", 0.05)
    caplog.set_level(logging.ERROR)
    begun, end = threading.Event(), threading.Event()

    def handle(work):
        begun.set()
        end.wait(20)

    def refuse(job, news, **given):
        raise BackendUnavailable("the disk is full")

    memos = open_memos()
    job = memos.jobs.submit("letters")
    memos.worker(handlers={"letters": handle}).start()
    assert begun.wait(10)
    monkeypatch.setattr(memos._core.queue, "report", refuse)
    memos.close()
    end.set()
    with closing(open_memos()) as again:
        assert again.jobs.get(job.id).state is JobState.WAITING


def test_closing_the_store_releases_the_folder_though_a_worker_does_not_close(open_memos, monkeypatch):
    def fail(worker):
        raise RuntimeError("no")

    memos = open_memos()
    worker = memos.worker()
    monkeypatch.setattr(Worker, "close", fail)
    with pytest.raises(RuntimeError, match="no"):
        memos.close()
    open_memos().close()
    assert not worker.is_running
