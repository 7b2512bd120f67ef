"""Each queue against its model in plain objects: crashes, jumps of the clock, cancellations.

Both are told the same in the same order. Their jobs have ids of their own, so they are compared by the
number in the payload. Delays are drawn; the machine takes the chance out of them.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run

from memos_core import Principal
from memos_core.errors import IllegalTransition
from memos_core.job import FIRST_DELAY, LEASE, LONGEST_DELAY, Alive, Done, Failed, JobState, Order, Released
from memos_core.scheduler.engines import JobEngine
from memos_core.scheduler.queue import CatalogQueue
from memos_core.testing import InMemoryQueue
from memos_core.vault import jobs as job_rows
from memos_core.vault import queue as queue_steps
from memos_core.vault.catalog import Catalog
from memos_core.vault.schema_jobs import jobs
from tests.postgres_server import Server
from tests.procrastinate_store import clocked, queue_at

KINDS = ("work", "care")
ANA = Principal("ana")


@functools.cache
def a_catalog() -> Path:
    """Return a catalog with three cubes, made once and copied: making one takes longer than many steps."""
    folder = Path(tempfile.mkdtemp(prefix="queue-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    catalog = Catalog(folder / "catalog.db")
    with catalog.write(ANA) as tx:
        for name in "abc":
            tx.create_cube(name)
    catalog.close()
    return folder / "catalog.db"


class QueueMachine(RuleBasedStateMachine):
    """Puts, claims, reports, crashes, waits and meddles with two queues at once."""

    model_of: ClassVar[type[InMemoryQueue]] = InMemoryQueue

    def __init__(self) -> None:
        super().__init__()
        self.real, self.model = self.begun(), self.model_of(clock=lambda: self.now)
        self.ids: dict[int, tuple[str, str]] = {}
        self.in_hand: list[tuple[int, object, object]] = []
        self.effects: dict[int, int] = {}
        self.finished: dict[int, int] = {}

    def begun(self) -> CatalogQueue:
        """Return an empty queue of three cubes, by the machine's clock."""
        self.now = datetime(2026, 5, 1, tzinfo=UTC)
        self.folder = tempfile.TemporaryDirectory(prefix="queue-")
        shutil.copy(a_catalog(), self.folder.name)
        self.catalog = Catalog(Path(self.folder.name) / "catalog.db", clock=lambda: self.now)
        with self.catalog.read() as view:
            self.cubes = [header.id for header in view.cubes_of(ANA)]
        return CatalogQueue(self.catalog)

    def teardown(self) -> None:
        self.catalog.close()
        self.folder.cleanup()

    @contextmanager
    def patiently(self):
        """Draw every delay as half of its bound."""
        half = mock.Mock(side_effect=lambda attempt, *, chance=None: FIRST_DELAY * attempt)
        with (
            mock.patch("memos_core.vault.queue.delay", half),
            mock.patch("memos_core.vault.tickets.delay", half),
            mock.patch("memos_core.testing.memory_queue.delay", half),
        ):
            yield

    # --- what happens ------------------------------------------------------------------------

    @rule(
        kind=st.sampled_from(KINDS),
        cube=st.integers(0, 2),
        key=st.sampled_from([None, None, "k", "l"]),
        by=st.sampled_from(["ana", "ana", "bo"]),
        priority=st.sampled_from([0, 0, 0, 5]),
        later=st.sampled_from([0, 0, 0, 3, 100]),
        attempts=st.sampled_from([1, 2, 6]),
    )
    def put(self, kind, cube, key, by, priority, later, attempts) -> None:
        number = len(self.ids)
        order = Order(
            kind=kind,
            by=by,
            cube=self.cubes[cube],
            key=key,
            payload={"n": number},
            priority=priority,
            run_at=self.now + timedelta(seconds=later) if later else None,
            max_attempts=attempts,
        )
        with self.catalog.connection() as connection:
            real = self.real.put(connection, order)
        model = self.model.put(None, order)
        known = {each: n for n, pair in self.ids.items() for each in pair}
        assert known.get(real) == known.get(model)
        if real not in known:
            self.ids[number] = (real, model)

    @rule(kinds=st.sampled_from([KINDS, ("work",), ("unknown",)]))
    def claim(self, kinds) -> None:
        self.claim_one(kinds)

    def claim_one(self, kinds) -> None:
        with self.patiently():
            real, model = self.takes(kinds)
        assert (real is None) == (model is None), f"{real} {model}"
        if real is None or model is None:
            return
        number = self.number_of(real.id)
        assert number == self.number_of(model.id)
        assert (real.attempts, real.payload) == (model.attempts, model.payload)
        self.in_hand.append((number, real, model))

    def takes(self, kinds):
        return self.real.claim(kinds, worker="w"), self.model.claim(kinds, worker="w")

    @precondition(lambda self: self.in_hand)
    @rule(
        which=st.integers(0, 9),
        news=st.sampled_from([Done(), Done(), Alive(), Released(), "later", "never"]),
        keep=st.booleans(),
    )
    def report(self, which, news, keep) -> None:
        """Report of a job in hand, which may be lost by now; a worker that keeps it will report again."""
        number, real, model = self.in_hand[which % len(self.in_hand)]
        if news == "later":
            news = Failed(error="later", after=FIRST_DELAY)
        elif news == "never":
            news = Failed(error="never")
        ended = isinstance(news, Done)
        done = self.effect(number, real) if ended else self.real.report(real, news)
        assert done == self.model.report(model, news)
        if not keep and not isinstance(news, Alive):
            self.in_hand.remove((number, real, model))

    def effect(self, number, job) -> bool:
        """Do what the job is for, in the transaction that ends it."""
        with self.catalog.connection() as connection:
            done = self.real.report(job, Done(), connection=connection)
        if done:
            self.effects[number] = self.effects.get(number, 0) + 1
        return done

    @precondition(lambda self: self.in_hand)
    @rule(undead=st.booleans())
    def crash(self, undead) -> None:
        """Every worker is killed, or sleeps, and will report when its lease has run out."""
        if not undead:
            self.in_hand.clear()
        self.now += LEASE

    @precondition(lambda self: self.in_hand)
    @rule(which=st.integers(0, 9))
    def oversleep(self, which) -> None:
        """A worker falls asleep over its job, others go on with it, and then it says that it is done."""
        number, real, model = self.in_hand[which % len(self.in_hand)]
        self.now += LEASE
        self.claim_one(KINDS)
        self.now += LONGEST_DELAY
        for _ in range(3):
            self.claim_one(KINDS)
        assert self.effect(number, real) == self.model.report(model, Done())

    @rule(seconds=st.sampled_from([1, 2, 30, 61, 700]))
    def wait(self, seconds) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(days=st.sampled_from([-400, 400]))
    def jump(self, days) -> None:
        self.now += timedelta(days=days)

    @precondition(lambda self: self.ids)
    @rule(which=st.integers(0, 99), verb=st.sampled_from(["cancel", "retry"]))
    def move(self, which, verb) -> None:
        number = sorted(self.ids)[which % len(self.ids)]
        real, model = self.ids[number]
        outcomes = []
        for queue, job_id in ((self.real, real), (self.model, model)):
            try:
                outcomes.append(queue.move(job_id, verb).state)
            except IllegalTransition:
                outcomes.append("refused")
        assert outcomes[0] == outcomes[1]

    # --- what holds --------------------------------------------------------------------------

    def number_of(self, job_id) -> int:
        return next(number for number, pair in self.ids.items() if job_id in pair)

    @invariant()
    def both_say_the_same(self) -> None:
        for real, model in self.ids.values():
            one, other = self.real.find(real), self.model.find(model)
            assert (one.state, one.attempts, one.error, one.run_at, one.priority) == (
                other.state,
                other.attempts,
                other.error,
                other.run_at,
                other.priority,
            )

    @invariant()
    def no_effect_is_had_twice(self) -> None:
        assert all(times == 1 for times in self.effects.values())

    @invariant()
    def each_lane_has_the_front_that_it_should_have(self) -> None:
        with self.catalog.read() as view:
            rows = view.connection.execute(jobs.select()).all()
        lanes: dict[str, list] = {}
        for row in rows:
            lanes.setdefault(row.lane, []).append(row)
        for found in lanes.values():
            running = [row for row in found if row.state == JobState.RUNNING.value]
            waiting = [row for row in found if row.state == JobState.WAITING.value]
            front = [row for row in found if row.front is not None]
            first = running or sorted(waiting, key=lambda row: (row.rank, row.turn, row.seq))[:1]
            assert len(running) <= 1
            assert [row.id for row in front] == [row.id for row in first]
            assert [row.id for row in found if row.lead] == [row.id for row in first if not running]


class OnPostgres(QueueMachine):
    """The same on a server, which goes by the machine's clock."""

    server: ClassVar[Server]
    engine: ClassVar[JobEngine] = JobEngine.EMBEDDED

    def begun(self) -> CatalogQueue:
        self.undo = ExitStack()
        url, self.clock = self.undo.enter_context(clocked(self.server, pool=self.engine))
        self.catalog, queue = self.undo.enter_context(queue_at(url, self.engine, clock=self.clock))
        with self.catalog.write(ANA) as tx:
            self.cubes = [tx.create_cube(name).id for name in "abc"]
        return queue

    def teardown(self) -> None:
        self.undo.close()

    @property
    def now(self) -> datetime:
        return self.clock.now

    @now.setter
    def now(self, value: datetime) -> None:
        self.clock.now = value


class Following(InMemoryQueue):
    """The model where two lanes are equal: it takes the one of them that the queue beside it has taken."""

    taken: str | None = None

    def _leads(self):
        found = super()._leads()
        taken = [kept for kept in found if kept.job.id == self.taken]
        ahead = [kept for kept in found if taken and kept.job.kind in self.kinds]
        is_as_good = taken and taken[0].place[:2] == min(kept.place[:2] for kept in ahead)
        return taken if is_as_good else found

    def claim(self, kinds, *, worker):
        self.kinds = kinds
        return super().claim(kinds, worker=worker)


class ByProcrastinate(OnPostgres):
    """Procrastinate hands out: of two equal lanes first the one whose next job came to its front first."""

    model_of = Following
    engine = JobEngine.PROCRASTINATE
    workers = itertools.count()

    def takes(self, kinds):
        """Claim by a worker of its own: Procrastinate's heartbeats are a worker's, for all that it has."""
        real = self.real.claim(kinds, worker=f"w{next(self.workers)}")
        self.model.taken = None if real is None else self.ids[self.number_of(real.id)][1]
        return real, self.model.claim(kinds, worker="w")


EXAMPLES = 6  # on a server, where a step takes longer
QUICK = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes minutes
    report_multiple_bugs=False,
)


@pytest.mark.slow
def test_the_embedded_queue_does_what_its_model_does():
    run(QueueMachine, settings=QUICK)


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.xdist_group("postgres")
@pytest.mark.parametrize("machine", [OnPostgres, ByProcrastinate])
def test_a_queue_on_a_server_does_what_its_model_does(machine, postgres, monkeypatch):
    monkeypatch.setattr(OnPostgres, "server", postgres, raising=False)
    run(machine, settings=settings(QUICK, max_examples=EXAMPLES))


# --- planted bugs ----------------------------------------------------------------------------


def reports_are_not_fenced(monkeypatch):
    """A worker that lost its job may still end it."""
    real = queue_steps.report

    def report(connection, job, news, *, now):
        row = connection.execute(jobs.select().where(jobs.c.id == job.id)).one()
        if row.state == JobState.RUNNING.value:
            from dataclasses import replace

            job = replace(job, lease=row.lease)
        return real(connection, job, news, now=now)

    monkeypatch.setattr(queue_steps, "report", report)


def a_noisy_cube_takes_every_turn(monkeypatch):
    """Turns are given in the order of arrival, whosever the jobs are."""
    real = job_rows._place
    monkeypatch.setattr(job_rows, "_place", lambda *where: real(*where)._replace(turn=0))


def the_lane_forgets_to_move_on(monkeypatch):
    """What failed for good leaves its lane without a next one."""
    real = queue_steps._ended

    def ended(connection, row, verb, **values):
        with mock.patch.object(queue_steps, "lead", mock.Mock()) if verb == "die" else mock.MagicMock():
            real(connection, row, verb, **values)

    monkeypatch.setattr(queue_steps, "_ended", ended)


class Turns(QueueMachine):
    """Puts and takes only: what is told by whose turn it is."""

    crash = oversleep = wait = jump = move = None

    @rule(kind=st.sampled_from(KINDS), cube=st.integers(0, 2))
    def put(self, kind, cube) -> None:
        super().put(kind=kind, cube=cube, key=None, by="ana", priority=0, later=0, attempts=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "machine"),
    [
        (reports_are_not_fenced, QueueMachine),
        (a_noisy_cube_takes_every_turn, Turns),
        (the_lane_forgets_to_move_on, QueueMachine),
    ],
)
def test_a_planted_bug_is_found(plant, machine, monkeypatch):
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        run(machine, settings=settings(QUICK, max_examples=200, database=None))
