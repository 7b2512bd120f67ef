"""However long the queue is, a step of it looks at a few rows."""

import time

import pytest
from sqlalchemy import event, insert

from memos_core.job import Done
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
