"""Databases whose jobs Procrastinate hands out, and a server's clock that a test sets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from memos_core.scheduler.engines import JobEngine, queue_of
from memos_core.scheduler.queue import CatalogQueue
from memos_core.vault.catalog import Catalog
from memos_core.vault.engine import catalog_url
from tests.postgres_server import USER, Server

ENGINES = pytest.mark.parametrize(
    "engine",
    [
        JobEngine.EMBEDDED,
        pytest.param(JobEngine.PROCRASTINATE, marks=[pytest.mark.slow, pytest.mark.server]),
    ],
    indirect=True,
)
"""Marks a test that asks for the queue of `tests/unit/scheduler`: it runs on both engines."""

_BEGIN = datetime(2026, 5, 1, 12, tzinfo=UTC)
_TIME = (
    "CREATE TABLE told (at timestamptz NOT NULL)",
    "CREATE FUNCTION now() RETURNS timestamptz LANGUAGE sql AS 'SELECT at FROM public.told'",
    "CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT at FROM public.told'",
)


class ServerClock:
    """What a database believes to be the time: it finds our functions of these names before its own."""

    def __init__(self, where: str) -> None:
        self._connection = psycopg.connect(where, autocommit=True)
        self._now = _BEGIN

    @property
    def now(self) -> datetime:
        return self._now

    @now.setter
    def now(self, value: datetime) -> None:
        self._connection.execute("UPDATE public.told SET at = %s", (value,))
        self._now = value

    def __call__(self) -> datetime:
        return self._now

    def move(self, **by: float) -> None:
        self.now = self._now + timedelta(**by)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def database(server: Server) -> Iterator[str]:
    """Yield the name of a database with an empty catalog, gone afterwards."""
    name = server.fresh(like=server.template())
    yield name
    server.drop(name)


_FREE: dict[tuple[str, str], list[str]] = {}  # emptied databases, by server and what they are for


@contextmanager
def clocked(server: Server, *, pool: str) -> Iterator[tuple[str, ServerClock]]:
    """Yield the address of a database with an empty catalog that goes by a clock of ours, and the clock.

    Databases of one `pool` are emptied and used again.
    """
    free = _FREE.setdefault((server.folder, pool), [])
    if not free:
        free.append(server.fresh(like=server.template()))
        for statement in _TIME:
            server.execute(statement, database=free[-1])
    name = free.pop()
    server.execute(f"INSERT INTO told VALUES ('{_BEGIN.isoformat()}')", database=name)
    where = f"host={server.folder} port={server.port} user={USER} dbname={name}"
    with closing(ServerClock(where)) as clock:
        # with the path written out, pg_catalog is not looked through first
        yield f"{server.url(name)}&options=-csearch_path%3Dpublic,pg_catalog", clock
    server.empty(name)
    free.append(name)


@contextmanager
def queue_at(url: str, engine: JobEngine, **given: Any) -> Iterator[tuple[Catalog, CatalogQueue]]:
    """Yield a catalog and the queue that hands out its jobs."""
    with closing(Catalog(catalog_url(url), **given)) as catalog:
        yield catalog, queue_of(catalog, engine, on_server=True)
