"""What every JobQueue promises, as tests.

Subclass `JobQueueConformance` and give its fixture `desk`: a fresh queue, a clock to set, a transaction
to put in, and the ids of three cubes::

    class TestMyQueue(JobQueueConformance):
        @pytest.fixture
        def desk(self, clock):
            queue = InMemoryQueue(clock=clock)
            yield JobDesk(queue=queue, clock=clock, writing=queue.transaction, cubes=("a", "b", "c"))
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import pytest

from memos_core.errors import IllegalTransition, NotFound
from memos_core.job import LEASE, LONGEST_DELAY, Alive, Done, Failed, Job, JobState, Order, Progress, Released
from memos_core.protocols import JobQueue

SOON = timedelta(seconds=2)


class SetClock(Protocol):
    """Tells the time that a test has set."""

    now: datetime

    def __call__(self) -> datetime: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDesk:
    """A queue under test and what belongs to it."""

    queue: JobQueue
    clock: SetClock
    writing: Callable[[], AbstractContextManager[Any]]
    cubes: tuple[str, str, str]

    def put(self, kind: str = "work", *, cube: int = 0, **fields: Any) -> str:
        with self.writing() as connection:
            order = Order(kind=kind, cube=self.cubes[cube], **{"by": "ana", **fields})
            return self.queue.put(connection, order)

    def claim(self, *kinds: str, worker: str = "w") -> Job | None:
        return self.queue.claim(kinds or ("work",), worker=worker)

    def claimed(self, *kinds: str) -> Job:
        job = self.claim(*kinds)
        assert job is not None, "there is nothing to claim"
        return job

    def drained(self) -> list[str]:
        """Claim and finish job after job; return their ids in that order."""
        order: list[str] = []
        while (job := self.claim()) is not None:
            assert self.queue.report(job, Done())
            order.append(job.id)
        return order

    def state(self, job_id: str) -> JobState:
        return self.queue.find(job_id).state

    def move(self, span: timedelta) -> None:
        self.clock.now += span


class JobQueueConformance:
    """Promises of `memos_core.protocols.JobQueue`. Mark a test xfail with a reason; override none."""

    @pytest.fixture
    def desk(self) -> JobDesk:
        """A fresh queue with what belongs to it."""
        pytest.fail("the subclass gives the fixture `desk`")

    # --- putting -----------------------------------------------------------------------------

    def test_an_empty_queue_has_nothing_to_do(self, desk: JobDesk) -> None:
        assert desk.claim() is None

    def test_a_job_is_claimed_as_it_was_ordered(self, desk: JobDesk) -> None:
        put = desk.put(payload={"n": 3}, priority=2, purpose="care", max_attempts=4)
        job = desk.claimed()
        assert (job.id, job.payload, job.priority, job.by, job.purpose, job.cube) == (
            put,
            {"n": 3},
            2,
            "ana",
            "care",
            desk.cubes[0],
        )
        assert (job.state, job.attempts, job.worker) == (JobState.RUNNING, 1, "w")

    def test_what_a_failing_transaction_put_was_never_there(self, desk: JobDesk) -> None:
        put: list[str] = []

        def fail() -> None:
            with desk.writing() as connection:
                put.append(desk.queue.put(connection, Order(kind="work", by="ana", cube=desk.cubes[0])))
                raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            fail()
        assert desk.claim() is None
        with pytest.raises(NotFound):
            desk.queue.find(put[0])

    def test_of_equal_keys_one_waits_with_the_newest_payload_and_the_highest_priority(
        self, desk: JobDesk
    ) -> None:
        first = desk.put(key="k", payload={"n": 1}, priority=5)
        again = desk.put(key="k", payload={"n": 2})
        job = desk.claimed()
        assert (again, job.payload, job.priority) == (first, {"n": 2}, 5)
        assert desk.drained() == []

    def test_keys_of_other_cubes_and_kinds_are_other_keys(self, desk: JobDesk) -> None:
        put = {desk.put(key="k"), desk.put(key="k", cube=1), desk.put("other", key="k"), desk.put()}
        assert len(put) == 4

    def test_keys_of_other_people_and_purposes_are_other_keys(self, desk: JobDesk) -> None:
        orders: list[dict[str, Any]] = [
            {"by": "ana", "payload": {"n": 1}},
            {"by": "bo", "payload": {"n": 2}},
            {"by": "bo", "purpose": "care", "payload": {"n": 3}},
        ]
        for order in orders:
            desk.put(key="k", **order)
        seen = []
        while (job := desk.claim()) is not None:
            seen.append({"by": job.by, "purpose": job.purpose, "payload": job.payload})
            desk.queue.report(job, Done())
        assert seen == [{"purpose": "", **order} for order in orders]

    def test_while_one_runs_another_of_its_key_may_wait(self, desk: JobDesk) -> None:
        first = desk.put(key="k")
        running = desk.claimed()
        second = desk.put(key="k")
        assert (second == first, desk.claim()) == (False, None)
        desk.queue.report(running, Done())
        assert desk.drained() == [second]

    def test_kinds_that_nobody_asks_for_are_left_waiting(self, desk: JobDesk) -> None:
        put = desk.put("newer-than-this")
        assert (desk.claim(), desk.state(put)) == (None, JobState.WAITING)
        assert desk.claimed("newer-than-this").id == put

    def test_what_is_ordered_for_later_waits_for_its_time(self, desk: JobDesk) -> None:
        put = desk.put(run_at=desk.clock() + SOON)
        assert (desk.claim(), desk.state(put)) == (None, JobState.DELAYED)
        desk.move(SOON)
        assert desk.drained() == [put]

    # --- whose turn it is --------------------------------------------------------------------

    def test_jobs_of_a_cube_come_in_their_order_and_one_at_a_time(self, desk: JobDesk) -> None:
        put = [desk.put() for _ in range(4)]
        first = desk.claimed()
        assert desk.claim() is None
        desk.queue.report(first, Done())
        assert [first.id, *desk.drained()] == put

    def test_two_kinds_of_one_cube_run_side_by_side(self, desk: JobDesk) -> None:
        put = {desk.put("work"), desk.put("other")}
        found = {desk.claimed("work", "other").id, desk.claimed("work", "other").id}
        assert found == put

    def test_the_higher_priority_goes_first(self, desk: JobDesk) -> None:
        low, high, middle = desk.put(priority=-9), desk.put(priority=9, cube=1), desk.put(cube=2)
        assert desk.drained() == [high, middle, low]

    def test_a_noisy_cube_starves_no_other(self, desk: JobDesk) -> None:
        noisy = [desk.put() for _ in range(50)]
        desk.queue.report(desk.claimed(), Done())
        quiet = [desk.put(cube=1), desk.put(cube=2), desk.put(cube=1)]
        order = desk.drained()
        assert all(order.index(each) < 6 for each in quiet)
        assert [each for each in order if each in noisy] == noisy[1:]

    # --- leases ------------------------------------------------------------------------------

    def test_a_worker_that_says_nothing_loses_its_job(self, desk: JobDesk) -> None:
        desk.put()
        lost = desk.claimed()
        desk.move(LEASE)
        assert desk.claim() is None  # it waits a little, as after any failure
        desk.move(LONGEST_DELAY)
        again = desk.claimed()
        assert (again.id, again.attempts, desk.queue.report(lost, Done())) == (lost.id, 2, False)
        assert desk.queue.report(again, Done())

    def test_a_worker_that_says_it_is_alive_keeps_its_job(self, desk: JobDesk) -> None:
        desk.put()
        job = desk.claimed()
        for number in range(5):
            desk.move(LEASE / 2)
            assert desk.queue.report(job, Alive(progress=Progress(done=number, of=5)))
            assert desk.claim() is None
        assert desk.queue.find(job.id).progress == Progress(done=4, of=5)

    def test_a_finished_job_is_finished_for_everybody(self, desk: JobDesk) -> None:
        job_id = desk.put()
        job = desk.claimed()
        assert [desk.queue.report(job, news) for news in (Done(), Done(), Alive())] == [True, False, False]
        assert desk.state(job_id) is JobState.DONE

    def test_a_job_that_is_given_back_is_there_at_once_and_counts_no_attempt(self, desk: JobDesk) -> None:
        desk.put()
        desk.queue.report(desk.claimed(), Released())
        assert desk.claimed().attempts == 1

    def test_what_is_reported_in_a_failing_transaction_was_not_said(self, desk: JobDesk) -> None:
        desk.put()
        job = desk.claimed()

        def fail() -> None:
            with desk.writing() as connection:
                assert desk.queue.report(job, Done(), connection=connection)
                raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            fail()
        assert desk.state(job.id) is JobState.RUNNING

    # --- failing -----------------------------------------------------------------------------

    def test_what_fails_is_tried_again_later(self, desk: JobDesk) -> None:
        desk.put()
        desk.queue.report(desk.claimed(), Failed(error="down", trace="t", after=SOON))
        assert desk.claim() is None
        desk.move(SOON)
        again = desk.claimed()
        assert (again.attempts, again.error) == (2, "down")

    def test_what_always_fails_dies_and_says_why(self, desk: JobDesk) -> None:
        put = desk.put(max_attempts=3)
        for _ in range(3):
            desk.queue.report(desk.claimed(), Failed(error="poison", trace="where", after=SOON))
            desk.move(SOON)
        dead = desk.queue.find(put)
        assert (dead.state, dead.error, dead.trace, desk.claim()) == (JobState.DEAD, "poison", "where", None)

    def test_what_kills_its_workers_dies_too(self, desk: JobDesk) -> None:
        put = desk.put(max_attempts=3)
        for _ in range(3):
            desk.claimed()
            desk.move(LEASE)
            assert desk.claim() is None
            desk.move(LONGEST_DELAY)
        assert (desk.state(put), desk.claim()) == (JobState.DEAD, None)

    def test_what_will_never_succeed_dies_at_once_and_a_retry_heals_it(self, desk: JobDesk) -> None:
        put = desk.put()
        desk.queue.report(desk.claimed(), Failed(error="refused"))
        assert desk.state(put) is JobState.DEAD
        assert desk.queue.move(put, "retry").attempts == 0
        assert desk.drained() == [put]

    def test_what_fails_while_an_equal_one_waits_is_done_by_that_one(self, desk: JobDesk) -> None:
        first = desk.put(key="k")
        running = desk.claimed()
        second = desk.put(key="k")
        desk.queue.report(running, Failed(error="down", after=SOON))
        assert (desk.state(first), desk.drained()) == (JobState.FOLDED, [second])

    def test_what_fails_while_an_equal_one_of_somebody_else_waits_is_tried_again(self, desk: JobDesk) -> None:
        first = desk.put(key="k")
        running = desk.claimed()
        second = desk.put(key="k", by="bo")
        desk.queue.report(running, Failed(error="down", after=SOON))
        desk.move(SOON)
        assert (desk.state(first), sorted(desk.drained())) == (JobState.DELAYED, sorted([first, second]))

    # --- what people ask for -----------------------------------------------------------------

    def test_what_is_cancelled_is_not_done(self, desk: JobDesk) -> None:
        waiting, later = desk.put(), desk.put(cube=1, run_at=desk.clock() + SOON)
        assert [desk.queue.move(each, "cancel").state for each in (waiting, later)] == [
            JobState.CANCELLED
        ] * 2
        desk.move(SOON)
        assert desk.drained() == []

    def test_a_running_job_that_is_cancelled_is_its_workers_no_more(self, desk: JobDesk) -> None:
        put, following = desk.put(), desk.put()
        job = desk.claimed()
        desk.queue.move(put, "cancel")
        assert [desk.queue.report(job, news) for news in (Alive(), Done())] == [False, False]
        assert desk.drained() == [following]

    def test_there_is_no_way_back_from_done(self, desk: JobDesk) -> None:
        put = desk.put()
        desk.drained()
        for verb in ("retry", "cancel"):
            with pytest.raises(IllegalTransition):
                desk.queue.move(put, verb)

    def test_what_is_not_there_is_not_found(self, desk: JobDesk) -> None:
        for ask in (desk.queue.find, lambda name: desk.queue.move(name, "retry")):
            with pytest.raises(NotFound):
                ask("nobody")

    # --- a clock that jumps ------------------------------------------------------------------

    def test_a_clock_that_is_set_back_keeps_nobody_waiting(self, desk: JobDesk) -> None:
        retried, leased = desk.put(), desk.put(cube=1)
        desk.queue.report(desk.claimed(), Failed(error="down", after=SOON))
        assert desk.claimed().id == leased
        desk.move(-timedelta(days=400))
        done = desk.drained()  # the lease, too, is further ahead than any can be
        desk.move(LONGEST_DELAY)
        assert {*done, *desk.drained()} == {retried, leased}

    def test_a_clock_that_leaps_ahead_loses_nothing(self, desk: JobDesk) -> None:
        put = {desk.put(), desk.put(cube=1, run_at=desk.clock() + SOON), desk.put(cube=2)}
        lost = desk.claimed()
        desk.move(timedelta(days=4000))
        done = set(desk.drained())
        desk.move(LONGEST_DELAY)
        assert (done | set(desk.drained()), desk.queue.report(lost, Done())) == (put, False)
