"""A process made to be killed, one of several on a catalog that Procrastinate hands the jobs of out.

It orders jobs and does them. As in `job_worker`, an effect is a row in a table that forbids nothing.
"""

from __future__ import annotations

import random
import time
from contextlib import closing
from multiprocessing.connection import Connection

from memos_core import Principal
from memos_core.job import Order
from memos_core.scheduler.engines import queue_of
from memos_core.scheduler.queue import CatalogQueue
from memos_core.scheduler.work import Work
from memos_core.scheduler.worker import Worker
from memos_core.vault.catalog import Catalog
from memos_core.vault.engine import catalog_url

ANA = Principal("ana")
BATCH = 5  # jobs in one transaction of the load
KIND = "effect"


def worker_of(catalog: Catalog, queue: CatalogQueue, *, threads: int) -> Worker:
    return Worker(queue, {KIND: lambda work: effect(catalog, work)}, threads=threads, poll=0.05)


def effect(catalog: Catalog, work: Work) -> None:
    """Have the job's effect, and end the job, in one transaction; be slow about it now and then."""
    work.progress(0, 1)
    with catalog.connection() as connection:
        connection.exec_driver_sql("INSERT INTO effects VALUES (%s)", (work.job.id,))
        if random.random() < 0.2:
            time.sleep(0.002)
        work.finish(connection)


def load(catalog: Catalog, cubes: list[str], told: Connection) -> None:
    """Order jobs for ever; say which were acknowledged."""
    while True:
        with catalog.write(ANA) as tx:
            cubes_now = random.choices(cubes, k=BATCH)
            ids = [tx.enqueue(Order(kind=KIND, by="ana", cube=cube, max_attempts=1000)) for cube in cubes_now]
        told.send(ids)
        time.sleep(0.05)


def main(url: str, cubes: list[str], told: Connection) -> None:
    with closing(Catalog(catalog_url(url))) as catalog:
        queue = queue_of(catalog, None, on_server=True)
        with worker_of(catalog, queue, threads=2):
            told.send("ready")
            load(catalog, cubes, told)
