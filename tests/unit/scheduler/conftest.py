"""A queue over a catalog with many cubes: the embedded one on SQLite or, where a test is marked so, on both
engines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memos_core import Principal
from memos_core.job import Order
from memos_core.scheduler.engines import JobEngine, queue_of
from memos_core.scheduler.queue import CatalogQueue
from memos_core.vault.catalog import Catalog
from memos_core.vault.engine import catalog_url
from tests.conftest import Clock
from tests.procrastinate_store import ServerClock, clocked

ANA = Principal("ana")


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> JobEngine:
    """Who hands out the jobs: what `procrastinate_store.ENGINES` says, or else the catalog itself."""
    return getattr(request, "param", JobEngine.EMBEDDED)


@pytest.fixture
def place(
    engine: JobEngine, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[str | None, Clock | ServerClock]]:
    """The address of the catalog (None: a file), and the clock that it goes by."""
    if engine is JobEngine.EMBEDDED:
        yield None, Clock()
        return
    with clocked(request.getfixturevalue("postgres"), pool=engine) as found:
        yield found


@pytest.fixture
def clock(place: tuple[str | None, Clock | ServerClock]) -> Clock | ServerClock:
    return place[1]


@pytest.fixture
def catalog(place: tuple[str | None, Clock | ServerClock], tmp_path: Path) -> Iterator[Catalog]:
    url, clock = place
    catalog = Catalog(tmp_path / "catalog.db" if url is None else catalog_url(url), clock=clock)
    yield catalog
    catalog.close()


@pytest.fixture
def cubes(catalog: Catalog) -> list[str]:
    with catalog.write(ANA) as tx:
        return [tx.create_cube(f"cube {number}").id for number in range(8)]


@pytest.fixture
def queue(catalog: Catalog, engine: JobEngine) -> CatalogQueue:
    return queue_of(catalog, engine, on_server=engine is JobEngine.PROCRASTINATE)


@pytest.fixture
def put(catalog: Catalog, cubes: list[str]) -> Callable[..., str]:
    """Put a job about one of the cubes, or about the store."""

    def put_one(kind: str = "work", *, cube: int | None = 0, **fields: object) -> str:
        with catalog.write(ANA) as tx:
            where = None if cube is None else cubes[cube]
            return tx.enqueue(Order(**{"kind": kind, "by": "ana", "cube": where, **fields}))

    return put_one
