"""Order and do many jobs; then kill workers over and over, and look at what came of each job.

`python -m benchmarks.scheduler.jobs [--jobs 100000] [--kills 200] [--minutes 5] [--seed 2026]` prints its
figures and writes `benchmarks/results/scheduler_jobs.json`. Three ways: the embedded queue on SQLite and
on PostgreSQL, and Procrastinate on PostgreSQL; a server that syncs its commits is started for the run. On
PostgreSQL as many jobs are ordered as that takes `minutes`. Half of the kills are of the one worker of an
embedded queue, half of several that Procrastinate serves. A violation ends the run with a traceback, and
no result is written.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

from benchmarks.latency.machine import machine
from memos_core import Principal
from memos_core.job import Done, Order
from memos_core.scheduler.engines import JobEngine
from memos_core.scheduler.queue import CatalogQueue
from memos_core.scheduler.worker import Worker
from memos_core.vault.catalog import Catalog
from tests.crash.job_campaign import JobCampaign
from tests.crash.queue_campaign import QueueCampaign
from tests.postgres_server import Server, postgres_server
from tests.procrastinate_store import database, queue_at

RESULT = Path(__file__).parents[1] / "results" / "scheduler_jobs.json"
ANA = Principal("ana")
CUBES, BATCH, SINGLE, CLAIMS, RUN = 100, 1000, 500, 300, 2000
PER_STORE = 20  # kills that one store lives through before its jobs are counted


class Desk(NamedTuple):
    """A catalog with cubes, and the queue over it."""

    catalog: Catalog
    queue: CatalogQueue
    cubes: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scheduler.jobs", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--note", default="", help="what else the machine did")
    arguments = parser.parse_args()
    with postgres_server(durable=True) as server:
        record: dict[str, Any] = {
            "cubes": CUBES,
            "jobs_lost": 0,  # whoever loses one, or has an effect twice, ends the run
            "effects_had_twice": 0,
            "seed": arguments.seed,
            "note": arguments.note,
            "rates": [
                {"engine": name, **rates(desk, arguments.jobs, seconds=60 * arguments.minutes)}
                for name, desk in desks(server)
            ],
            "kills": killed(server, arguments.kills, seed=arguments.seed),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
        }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for row in (*record["rates"], *record["kills"]):
        print("\n".join(f"{name:44} {value}" for name, value in row.items()), end="\n\n")


def desks(server: Server) -> Iterator[tuple[str, Desk]]:
    """Yield each way to hand out jobs with a fresh catalog, that is gone when the next is asked for."""
    with (
        tempfile.TemporaryDirectory(prefix="jobs-") as folder,
        closing(Catalog(Path(folder) / "catalog.db")) as catalog,
    ):
        yield "embedded on SQLite", _desk(catalog, CatalogQueue(catalog))
    for engine, name in (
        (JobEngine.EMBEDDED, "embedded on PostgreSQL"),
        (JobEngine.PROCRASTINATE, "Procrastinate on PostgreSQL"),
    ):
        with on_server(server, engine) as desk:
            yield name, desk


@contextmanager
def on_server(server: Server, engine: JobEngine) -> Iterator[Desk]:
    with database(server) as name, queue_at(server.url(name), engine) as (catalog, queue):
        yield _desk(catalog, queue)


def _desk(catalog: Catalog, queue: CatalogQueue) -> Desk:
    with catalog.write(ANA) as tx:
        return Desk(catalog, queue, [tx.create_cube(f"cube {number}").id for number in range(CUBES)])


# --- rates -----------------------------------------------------------------------------------


def rates(desk: Desk, count: int, *, seconds: float) -> dict[str, Any]:
    """Return how many jobs a second are ordered, claimed and done, and what a claim takes in a long queue."""
    single = ordered(desk, min(SINGLE, count), batch=1, seconds=seconds)
    short = claims(desk.queue)
    batched = ordered(desk, count, batch=BATCH, seconds=seconds)
    print(f"{batched.count:,} jobs ordered", flush=True)
    long = claims(desk.queue)
    return {
        "jobs": batched.count,
        "ordered_per_second_one_a_transaction": round(single.per_second),
        f"ordered_per_second_{BATCH}_a_transaction": round(batched.per_second),
        "claim_and_finish_ms_in_a_short_queue": short,
        "claim_and_finish_ms_in_the_long_queue": long,
        "done_per_second_by_threads": {
            f"{threads}": round(done(desk.queue, threads, min(RUN, batched.count // 4)))
            for threads in (1, 2, 4)
        },
    }


class Ordered(NamedTuple):
    """How many jobs were ordered, and how fast."""

    count: int
    per_second: float


def ordered(desk: Desk, count: int, *, batch: int, seconds: float) -> Ordered:
    """Order jobs, so many in one transaction, until there are as many or the time is over."""
    begin, start = time.perf_counter(), 0
    while start < count and time.perf_counter() - begin < seconds:
        with desk.catalog.write(ANA) as tx:
            for number in range(start, min(start + batch, count)):
                tx.enqueue(Order(kind="work", by="ana", cube=desk.cubes[number % CUBES]))
        start = min(start + batch, count)
    return Ordered(start, start / (time.perf_counter() - begin))


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


def killed(server: Server, kills: int, *, seed: int) -> list[dict[str, Any]]:
    """Kill workers of both engines under load; a loss, or an effect had twice, raises."""
    theirs = kills // 2
    plans = {
        "embedded on SQLite, one worker": (kills - theirs, None),
        "Procrastinate on PostgreSQL, three": (theirs, server),
    }
    return [
        {"engine": name, **_killed(count, where, seed=seed)}
        for name, (count, where) in plans.items()
        if count
    ]


def _killed(kills: int, server: Server | None, *, seed: int) -> dict[str, Any]:
    totals: Counter[str] = Counter()
    began, stores = time.perf_counter(), 0
    while totals["kills"] < kills:
        with ExitStack() as undo:
            campaign = _campaign(server, undo, seed=seed + stores)
            for _ in range(min(PER_STORE, kills - totals["kills"])):
                campaign.kill()
            found = campaign.settle()
        totals += found + Counter(kills=campaign.kills)
        stores += 1
        print(f"{totals['kills']:4d} kills, {totals['jobs']} jobs", flush=True)
    return {
        "kills": totals["kills"],
        "jobs": totals["jobs"],
        "acknowledged": totals["acknowledged"],
        "begun_again": totals["begun_again"],
        "seconds": round(time.perf_counter() - began, 1),
    }


def _campaign(server: Server | None, undo: ExitStack, *, seed: int) -> JobCampaign | QueueCampaign:
    if server is not None:
        return undo.enter_context(QueueCampaign(server, seed=seed))
    folder = undo.enter_context(tempfile.TemporaryDirectory(prefix="jobs-sigkill-"))
    return JobCampaign(Path(folder) / "store", seed=seed)


if __name__ == "__main__":
    main()
