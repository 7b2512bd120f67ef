"""What is Procrastinate's own in handing out jobs: its tickets, its workers, and who chose it."""

import asyncio
import builtins
import threading
from contextlib import closing

import pytest
from sqlalchemy import text

from memos_core import InvalidInput
from memos_core.errors import BackendError
from memos_core.job import LEASE, Alive, Done, JobState
from memos_core.scheduler.engines import JobEngine, queue_of
from memos_core.scheduler.procrastinate_app import app_of
from memos_core.scheduler.procrastinate_queue import ProcrastinateQueue
from memos_core.scheduler.queue import CatalogQueue
from memos_core.vault import jobs as job_rows
from memos_core.vault import tickets
from memos_core.vault.catalog import Catalog
from memos_core.vault.engine import catalog_url
from tests.procrastinate_store import database

pytestmark = [pytest.mark.slow, pytest.mark.server]
ON_BOTH = pytest.mark.parametrize("engine", [JobEngine.PROCRASTINATE], indirect=True)


def asked(catalog, question, **given):
    with catalog.read() as view:
        return view.connection.execute(text(question), given).all()


def held(catalog):
    """Return the tickets as (queue, status, whether it waits for its time)."""
    return [tuple(row) for row in asked(catalog, _TICKETS)]


_TICKETS = "SELECT queue_name, status::text, scheduled_at IS NOT NULL FROM procrastinate_jobs ORDER BY id"


@ON_BOTH
def test_of_each_lane_one_job_has_a_ticket_and_so_has_what_waits_for_its_time(catalog, queue, put, clock):
    for _ in range(3):
        put(), put(cube=1)
    put(run_at=clock() + LEASE)
    waits = [("memos.work", "todo", False)] * 2
    assert held(catalog) == [*waits, ("memos.work", "todo", True)]
    queue.report(queue.claim(("work",), worker="w"), Done())
    assert sorted(held(catalog)) == sorted([*waits, ("memos.work", "todo", True)])


@ON_BOTH
def test_a_ticket_holds_no_word_of_a_key_or_payload(catalog, queue, put):
    put(key="Mira's home", payload={"word": "Lisbon"})
    row = asked(catalog, "SELECT procrastinate_jobs::text FROM procrastinate_jobs")[0][0]
    assert ("Mira" in row, "Lisbon" in row) == (False, False)


@ON_BOTH
def test_ended_erased_and_cancelled_jobs_leave_no_ticket(catalog, queue, put, cubes):
    done, cancelled = put(), put(cube=1)
    put(cube=2), put(cube=3, run_at=catalog.clock() + LEASE)
    queue.report(queue.claim(("work",), worker="w"), Done())
    queue.move(cancelled, "cancel")
    with catalog.connection() as connection:
        for cube in cubes[2:4]:
            assert job_rows.remove_of(connection, cube) == 1
    assert (held(catalog), queue.find(done).state) == ([], JobState.DONE)


@ON_BOTH
def test_who_fetches_does_not_wait_for_who_writes(catalog, queue, put):
    put()
    found = []
    with catalog.connection() as connection:
        connection.execute(text("SELECT 1"))  # the catalog's lock is held
        thread = threading.Thread(target=lambda: found.append(queue.claim(("work",), worker="w")))
        thread.start()
        thread.join(10)
        assert len(found) == 1
        assert queue.report(found[0], Alive())


@ON_BOTH
def test_a_job_that_somebody_is_at_is_had_when_he_is_done(catalog, queue, put):
    job = put()
    began, found = threading.Event(), []

    def claim():
        began.set()
        found.append(queue.claim(("work",), worker="w"))

    thread = threading.Thread(target=claim)
    with catalog.connection() as connection:
        job_rows.found(connection, job, for_update=True)
        thread.start()
        began.wait(10)
        thread.join(0.5)
        assert found == []
    thread.join(10)
    assert [each.id for each in found] == [job]


@ON_BOTH
@pytest.mark.parametrize(
    "loss",
    [
        "DELETE FROM procrastinate_workers",  # as a worker of theirs prunes one that it takes for dead
        "DELETE FROM procrastinate_jobs WHERE status = 'doing'",
        "SELECT procrastinate_finish_job_v1(id, 'failed', false) FROM procrastinate_jobs",
    ],
)
def test_a_job_whose_ticket_or_worker_somebody_took_away_is_run_again(catalog, queue, put, clock, loss):
    job = put()
    lost = queue.claim(("work",), worker="w")
    with catalog.connection() as connection:
        connection.execute(text(loss))
    assert queue.claim(("work",), worker="w") is None  # it is noticed, and waits as after a failure
    clock.move(seconds=60)
    again = queue.claim(("work",), worker="w")
    assert (again.id, again.attempts, queue.report(lost, Done())) == (job, 2, False)
    assert queue.report(again, Done())


@ON_BOTH
def test_a_ticket_that_leads_nowhere_is_cleared_away(catalog, queue, put):
    with catalog.connection() as connection:
        connection.execute(text(_FALSE))
    job = put()
    assert queue.claim(("work",), worker="w").id == job
    assert held(catalog) == [("memos.work", "doing", False)]


_FALSE = (
    "SELECT procrastinate_defer_jobs_v1(ARRAY[ROW('memos.work', 'memos.work', 999999999, NULL, NULL, "
    """'{"job": "nobody"}'::jsonb, NULL)::procrastinate_job_to_defer_v1])"""
)


@ON_BOTH
def test_what_other_programs_put_into_procrastinate_is_left_to_them(catalog, queue, put):
    other = "SELECT procrastinate_defer_jobs_v1(ARRAY[ROW('work', 't', 0, NULL, NULL, '{}'::jsonb, NULL)"
    with catalog.connection() as connection:
        connection.execute(text(other + "::procrastinate_job_to_defer_v1])"))
    assert (queue.claim(("work",), worker="w"), held(catalog)) == (None, [("work", "todo", False)])
    with catalog.connection() as connection:
        tickets.unmake(connection, now=catalog.moment(connection))
    assert held(catalog) == [("work", "todo", False)]


@ON_BOTH
def test_a_claim_among_many_waiting_jobs_sees_as_many_tickets_as_there_are_lanes(catalog, queue, put, cubes):
    with catalog.connection() as connection:
        connection.execute(text(_MANY), {"cube": cubes[0]})
        job_rows.lead(connection, f"work {cubes[0]}")
    assert held(catalog) == [("memos.work", "todo", False)]
    order = []
    for _ in range(5):
        job = queue.claim(("work",), worker="w")
        assert queue.report(job, Done())
        order.append(job.id)
    assert order == [f"job-{number}" for number in range(5)]


_MANY = (
    "INSERT INTO jobs (id, kind, cube_id, lane, lead, payload, rank, turn, state, attempts, max_attempts, "
    'timeout, run_at, "by", purpose, created_at) '
    "SELECT 'job-' || n, 'work', CAST(:cube AS text), 'work ' || CAST(:cube AS text), false, '{}', 0, n, "
    "'waiting', 0, 6, 1000000, 0, 'ana', '', 0 FROM generate_series(0, 9999) AS n"
)

# --- choosing ----------------------------------------------------------------------------------


@pytest.fixture
def url(postgres):
    with database(postgres) as name:
        yield postgres.url(name)


@pytest.fixture
def plain(url):
    with closing(Catalog(catalog_url(url))) as catalog:
        yield catalog


def put_one(catalog):
    from memos_core import Principal
    from memos_core.job import Order

    with catalog.write(Principal("ana")) as tx:
        cube = tx.find_cube("ana", "a") or tx.create_cube("a")
        return tx.enqueue(Order(kind="work", by="ana", cube=cube.id))


def test_the_store_remembers_who_hands_out_its_jobs(plain):
    kinds = [
        type(queue_of(plain, wanted, on_server=True))
        for wanted in (None, "procrastinate", None, "procrastinate", "embedded", None)
    ]
    theirs = [ProcrastinateQueue] * 3
    assert kinds == [CatalogQueue, *theirs, CatalogQueue, CatalogQueue]


def test_what_waits_and_runs_is_there_after_a_change_of_engine_and_back(plain):
    embedded = queue_of(plain, "embedded", on_server=True)
    first, second, third = put_one(plain), put_one(plain), put_one(plain)
    running = embedded.claim(("work",), worker="w")
    theirs = queue_of(plain, "procrastinate", on_server=True)
    assert theirs.claim(("work",), worker="w") is None  # one of the lane runs, under its old lease
    assert theirs.report(running, Done())
    job = theirs.claim(("work",), worker="w")
    assert (running.id, job.id, theirs.report(job, Done())) == (first, second, True)
    back = queue_of(plain, "embedded", on_server=True)
    assert (back.claim(("work",), worker="w").id, held(plain)) == (third, [])


def test_a_process_that_does_not_know_of_the_change_is_told_to_open_the_store_anew(plain):
    outdated = queue_of(plain, None, on_server=True)
    queue_of(plain, "procrastinate", on_server=True)
    job = put_one(plain)
    with pytest.raises(BackendError, match="open it anew"):
        outdated.claim(("work",), worker="w")
    assert outdated.find(job).state is JobState.WAITING


def test_a_process_that_does_not_know_of_the_change_back_is_told_as_well(plain):
    outdated = queue_of(plain, "procrastinate", on_server=True)
    queue_of(plain, "embedded", on_server=True)
    job = put_one(plain)
    with pytest.raises(BackendError, match="open it anew"):
        outdated.claim(("work",), worker="w")
    assert outdated.find(job).state is JobState.WAITING


def test_procrastinate_wants_postgresql_and_engines_have_names(open_memos, folder):
    with pytest.raises(InvalidInput, match="PostgreSQL"):
        open_memos(jobs="procrastinate")
    with pytest.raises(InvalidInput, match="jobs is one of embedded, procrastinate"):
        open_memos(jobs="celery")
    assert not folder.exists()


def test_without_the_package_the_remedy_is_named(plain, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("procrastinate"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BackendError, match=r"memos-suite-core\[procrastinate\]"):
        queue_of(plain, "procrastinate", on_server=True)


def test_tables_of_another_version_are_refused(plain):
    queue_of(plain, "procrastinate", on_server=True)
    queue_of(plain, "embedded", on_server=True)
    with plain.connection() as connection:
        connection.execute(text("DROP FUNCTION procrastinate_fetch_job_v2"))
    with pytest.raises(BackendError, match="lack procrastinate_fetch_job_v2"):
        queue_of(plain, "procrastinate", on_server=True)


def test_a_store_is_opened_with_it_and_its_worker_does_the_jobs(url, open_memos):
    memos = open_memos(catalog=url, jobs="procrastinate")
    job = memos.jobs.submit("expire")
    seen = []
    mine = memos.jobs.submit("greet", cube=memos.cube("notes"))
    worker = memos.worker(handlers={"greet": lambda work: seen.append(work.job.id)})
    assert worker.run_until_idle() == 2
    states = [memos.jobs.get(each.id).state for each in (job, mine)]
    assert (states, seen, memos.doctor().ok) == ([JobState.DONE] * 2, [mine.id], True)


def test_a_ticket_that_somebody_cancelled_in_procrastinate_is_put_again(plain):
    queue_of(plain, "procrastinate", on_server=True)
    job = put_one(plain)
    with plain.connection() as connection:
        connection.execute(
            text("SELECT procrastinate_cancel_job_v1(id, false, false) FROM procrastinate_jobs")
        )
    opened_anew = queue_of(plain, None, on_server=True)
    assert opened_anew.claim(("work",), worker="w").id == job


# --- its own workers -----------------------------------------------------------------------------


def test_a_worker_of_procrastinates_own_runs_our_handlers(url, open_memos):
    memos = open_memos(catalog=url, jobs="procrastinate")
    cubes, seen = [memos.cube(f"cube {number}") for number in range(3)], []
    good = [memos.jobs.submit("greet", cube=cube) for cube in cubes]
    bad = memos.jobs.submit("archive", payload={"after_days": -1})
    unknown = memos.jobs.submit("newer", cube=cubes[0])

    def greet(work):
        work.progress(1, 2)
        with memos._core.catalog.connection() as connection:
            seen.append(work.job.id)
            work.finish(connection)

    app = app_of(memos.worker(handlers={"greet": greet}))

    async def run():
        async with app.open_async():
            await app.run_worker_async(wait=False, install_signal_handlers=False, concurrency=2)

    asyncio.run(run())
    states = [memos.jobs.get(each.id).state for each in (*good, bad, unknown)]
    assert (sorted(seen), states) == (
        sorted(each.id for each in good),
        [*[JobState.DONE] * 3, JobState.DEAD, JobState.WAITING],
    )
    assert "after_days" in memos.jobs.get(bad.id).error
    assert held(memos._core.catalog) == [("memos.newer", "todo", False)]


def test_an_app_is_of_a_store_whose_jobs_procrastinate_hands_out(open_memos):
    with pytest.raises(InvalidInput, match="jobs='procrastinate'"):
        app_of(open_memos().worker())
