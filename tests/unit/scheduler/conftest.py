"""A queue over a catalog with many cubes, and a worker whose handlers note what they did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memos_core import Principal
from memos_core.job import Order
from memos_core.scheduler.queue import CatalogQueue
from memos_core.vault.catalog import Catalog

ANA = Principal("ana")


@pytest.fixture
def catalog(tmp_path: Path, clock: Callable) -> Iterator[Catalog]:
    catalog = Catalog(tmp_path / "catalog.db", clock=clock)
    yield catalog
    catalog.close()


@pytest.fixture
def cubes(catalog: Catalog) -> list[str]:
    with catalog.write(ANA) as tx:
        return [tx.create_cube(f"cube {number}").id for number in range(8)]


@pytest.fixture
def queue(catalog: Catalog) -> CatalogQueue:
    return CatalogQueue(catalog)


@pytest.fixture
def put(catalog: Catalog, cubes: list[str]) -> Callable[..., str]:
    """Put a job about one of the cubes, or about the store."""

    def put_one(kind: str = "work", *, cube: int | None = 0, **fields: object) -> str:
        with catalog.write(ANA) as tx:
            where = None if cube is None else cubes[cube]
            return tx.enqueue(Order(**{"kind": kind, "by": "ana", "cube": where, **fields}))

    return put_one
