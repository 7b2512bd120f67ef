"""Order and do many jobs; then kill the worker over and over, and look at what came of each job.

`python -m benchmarks.scheduler.jobs [--jobs 100000] [--kills 200] [--seed 2026]` prints its figures and
writes `benchmarks/results/scheduler_jobs.json`. The embedded queue, on SQLite. A violation ends the run
with a traceback, and no result is written.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

from benchmarks.latency.machine import machine
from memos_core import Principal
from memos_core.job import Done, Order
from memos_core.scheduler.queue import CatalogQueue
from memos_core.scheduler.worker import Worker
from memos_core.vault.catalog import Catalog
from tests.crash.job_campaign import JobCampaign

RESULT = Path(__file__).parents[1] / "results" / "scheduler_jobs.json"
ANA = Principal("ana")
CUBES, BATCH, SINGLE, CLAIMS, RUN = 100, 1000, 500, 300, 2000
PER_STORE = 20  # kills that one store lives through before its jobs are counted


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scheduler.jobs", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2026)
    arguments = parser.parse_args()
    record: dict[str, Any] = {
        "engine": "embedded (SQLite)",
        "jobs": arguments.jobs,
        "cubes": CUBES,
        **rates(arguments.jobs),
        **killed(arguments.kills, seed=arguments.seed),
        "seed": arguments.seed,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for name, value in record.items():
        print(f"{name:40} {value}")


# --- rates -----------------------------------------------------------------------------------


def rates(count: int) -> dict[str, Any]:
    """Return how many jobs a second are ordered, claimed and done, and what a claim takes in a long queue."""
    with tempfile.TemporaryDirectory(prefix="jobs-") as folder:
        catalog = Catalog(Path(folder) / "catalog.db")
        with catalog.write(ANA) as tx:
            cubes = [tx.create_cube(f"cube {number}").id for number in range(CUBES)]
        queue = CatalogQueue(catalog)
        single = ordered(catalog, cubes, min(SINGLE, count), batch=1)
        short = claims(queue)
        batched = ordered(catalog, cubes, count, batch=BATCH)
        print(f"{count:,} jobs ordered", flush=True)
        long = claims(queue)
        found = {
            "ordered_per_second_one_a_transaction": round(single),
            f"ordered_per_second_{BATCH}_a_transaction": round(batched),
            "claim_and_finish_ms_in_a_short_queue": short,
            "claim_and_finish_ms_in_the_long_queue": long,
            "done_per_second_by_threads": {
                f"{threads}": round(done(queue, threads, min(RUN, count // 4))) for threads in (1, 2, 4)
            },
        }
        catalog.close()
    return found


def ordered(catalog: Catalog, cubes: list[str], count: int, *, batch: int) -> float:
    """Order jobs, so many in one transaction; return how many a second."""
    begin = time.perf_counter()
    for start in range(0, count, batch):
        with catalog.write(ANA) as tx:
            for number in range(start, min(start + batch, count)):
                tx.enqueue(Order(kind="work", by="ana", cube=cubes[number % len(cubes)]))
    return count / (time.perf_counter() - begin)


def claims(queue: CatalogQueue) -> dict[str, float]:
    """Claim and finish jobs one after the other; return the median and the 95th percentile in ms."""
    took: list[float] = []
    for _ in range(CLAIMS):
        begin = time.perf_counter()
        job = queue.claim(("work",), worker="bench")
        if job is None or not queue.report(job, Done()):
            break
        took.append(1000 * (time.perf_counter() - begin))
    cuts = quantiles(took, n=20)
    return {"p50": round(cuts[9], 2), "p95": round(cuts[18], 2)}


def done(queue: CatalogQueue, threads: int, count: int) -> float:
    """Let a worker do so many jobs that have nothing to do; return how many a second."""
    left = Counter(jobs=count)
    worker = Worker(queue, {"work": lambda _work: left.subtract(["jobs"])}, threads=threads)
    begin = time.perf_counter()
    with worker:
        while left["jobs"] > 0:
            time.sleep(0.005)
        took = time.perf_counter() - begin
    return count / took


# --- kills -----------------------------------------------------------------------------------


def killed(kills: int, *, seed: int) -> dict[str, Any]:
    """Kill workers under load; return how much was there; a loss, or an effect had twice, raises."""
    totals: Counter[str] = Counter()
    began = time.perf_counter()
    left, stores = kills, 0
    while left:
        with tempfile.TemporaryDirectory(prefix="jobs-sigkill-") as folder:
            campaign = JobCampaign(Path(folder) / "store", seed=seed + stores)
            for _ in range(min(PER_STORE, left)):
                campaign.kill()
            totals += campaign.settle()
        left, stores = left - campaign.kills, stores + 1
        print(f"{kills - left:4d} kills, {totals['jobs']} jobs", flush=True)
    return {
        "kills": kills,
        "jobs_under_kills": totals["jobs"],
        "jobs_acknowledged": totals["acknowledged"],
        "jobs_begun_again": totals["begun_again"],
        "jobs_lost": 0,
        "effects_had_twice": 0,
        "seconds_of_kills": round(time.perf_counter() - began, 1),
    }


if __name__ == "__main__":
    main()
