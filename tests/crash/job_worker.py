"""A process made to be killed: it orders jobs and does them, each with an effect in the catalog.

An effect is a row in a table that forbids nothing: a job done twice has two.
"""

from __future__ import annotations

import random
import time
from multiprocessing.connection import Connection

from memos_core import MemOS
from memos_core.job import Order
from memos_core.scheduler.work import Work
from memos_core.testing import HashEmbedder, InMemoryIndex

CUBES = 6
BATCH = 5  # jobs in one transaction of the load
KIND = "effect"


def opened(folder: str) -> MemOS:
    return MemOS.open(folder, embedder=HashEmbedder(dimensions=64), index=InMemoryIndex(dimensions=64))


def prepared(folder: str) -> None:
    """Make the cubes and the table of effects."""
    with opened(folder) as memos:
        for number in range(CUBES):
            memos.cube(f"cube {number}")
        with memos._core.catalog.connection() as connection:
            connection.exec_driver_sql("CREATE TABLE effects (job VARCHAR)")


def effect(memos: MemOS, work: Work) -> None:
    """Have the job's effect, and end the job, in one transaction; be slow about it now and then."""
    work.progress(0, 1)
    with memos._core.catalog.connection() as connection:
        connection.exec_driver_sql("INSERT INTO effects VALUES (?)", (work.job.id,))
        if random.random() < 0.2:
            time.sleep(0.002)
        work.finish(connection)


def load(memos: MemOS, told: Connection) -> None:
    """Order jobs for ever; say which were acknowledged."""
    cubes = [cube.id for cube in memos.cubes()]
    catalog = memos._core.catalog
    while True:
        with catalog.write(memos.principal) as tx:
            orders = [
                Order(kind=KIND, by="local", cube=random.choice(cubes), max_attempts=1000)
                for _ in range(BATCH)
            ]
            ids = [tx.enqueue(order) for order in orders]
        told.send(ids)
        time.sleep(0.02)


def main(folder: str, told: Connection) -> None:
    with opened(folder) as memos, memos.worker(threads=3, handlers={KIND: lambda work: effect(memos, work)}):
        told.send("ready")
        load(memos, told)
