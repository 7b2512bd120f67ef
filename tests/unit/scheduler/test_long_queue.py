"""However long the queue is, a step of it looks at a few rows."""

import time

import pytest
from sqlalchemy import event, insert, text

from memos_core.job import Done
from memos_core.scheduler.engines import JobEngine
from memos_core.vault.schema_jobs import jobs

MANY, LANES = 100_000, 200


@pytest.fixture
def asked(catalog):
    """Collect every statement that is put to the catalog."""
    seen = []

    def note(_connection, _cursor, statement, parameters, _context, _many):
        seen.append((statement, parameters))

    event.listen(catalog._engine, "before_cursor_execute", note)
    return seen


def plan(catalog, statement, parameters):
    raw = catalog._engine.raw_connection()
    try:
        return [row[3] for row in raw.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    finally:
        raw.close()


def test_no_step_scans_the_jobs(catalog, queue, put, asked):
    for number in range(20):
        put(cube=number % 8, key=f"k{number}")
    put(key="k0")
    put(cube=None, priority=3)
    queue.report(queue.claim(("work",), worker="w"), Done())
    queue.move(put(), "cancel")
    steps = [pair for pair in asked if pair[0].startswith(("SELECT", "UPDATE", "DELETE"))]
    scans = [each for pair in steps for each in plan(catalog, *pair) if each.startswith("SCAN jobs")]
    assert (len(steps) > 40, scans) == (True, [])


@pytest.mark.slow
def test_a_claim_in_a_queue_of_a_hundred_thousand_is_a_claim_like_any_other(catalog, queue, cubes, clock):
    now = clock()
    common = {"kind": "work", "cube_id": None, "payload": {}, "rank": 0, "state": "waiting", "attempts": 0}
    common |= {
        "max_attempts": 6,
        "timeout": 10**9,
        "run_at": now,
        "by": "ana",
        "purpose": "",
        "created_at": now,
    }
    rows = [
        {
            **common,
            "id": f"job-{number}",
            "lane": f"work {number % LANES}",
            "turn": number // LANES,
            "lead": number < LANES,
            "front": f"work {number}" if number < LANES else None,
        }
        for number in range(MANY)
    ]
    with catalog.connection() as connection:
        connection.execute(insert(jobs), rows)
    begin, done = time.process_time(), []
    for _ in range(50):
        job = queue.claim(("work",), worker="w")
        queue.report(job, Done())
        done.append(job.id)
    took = time.process_time() - begin
    assert done == [f"job-{number}" for number in range(50)]
    assert took < 50 * 0.1  # seconds; a scan of the queue takes longer for each


_MANY = (
    "INSERT INTO jobs (id, kind, lane, lead, front, payload, rank, turn, state, attempts, max_attempts, "
    'timeout, run_at, "by", purpose, created_at) '
    "SELECT 'job-' || n, 'work', 'work ' || (n % :lanes), n < :lanes, "
    "CASE WHEN n < :lanes THEN 'work ' || n END, '{}', 0, n / :lanes, 'waiting', 0, 6, 1000000, 0, 'ana', "
    "'', 0 FROM generate_series(0, :many - 1) AS n"
)
_FETCH = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT procrastinate_fetch_job_v2(NULL, NULL)"


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("engine", [JobEngine.PROCRASTINATE], indirect=True)
@pytest.mark.parametrize(("many", "lanes"), [(100_000, 200), (20_000, 20_000)])
def test_what_procrastinate_looks_at_does_not_grow_with_the_queue(catalog, queue, many, lanes):
    with catalog.connection() as connection:
        connection.execute(text(_MANY), {"many": many, "lanes": lanes})
    with catalog.connection() as connection:
        tickets = connection.exec_driver_sql("SELECT count(*) FROM procrastinate_jobs").scalar_one()
        connection.exec_driver_sql(_FETCH)  # the first plans it
        plan = connection.exec_driver_sql(_FETCH).scalar_one()[0]["Plan"]
    pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    assert (tickets, pages < 200) == (lanes, True), pages  # all tickets of the second case are some 500 pages
    done = []
    for _ in range(3):
        job = queue.claim(("work",), worker="w")
        queue.report(job, Done())
        done.append(job.id)
    assert done == ["job-2", "job-3", "job-4"]
