"""What most tests stand on: a store in a temporary folder with the twins, a clock to set, catalog dumps."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

# There are as many test processes as cores: further threads of torch would wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from memos_core import MemCube, MemOS
from memos_core.testing import HashEmbedder, InMemoryIndex

DIMENSIONS = 64
Rows = dict[str, list[tuple[Any, ...]]]


class Clock:
    """Tells the time that a test has set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def embedder() -> HashEmbedder:
    return HashEmbedder(dimensions=DIMENSIONS)


@pytest.fixture
def index() -> InMemoryIndex:
    return InMemoryIndex(dimensions=DIMENSIONS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def open_memos(
    folder: Path, embedder: HashEmbedder, index: InMemoryIndex, clock: Clock
) -> Iterator[Callable[..., MemOS]]:
    """Open the store with the twins, or with what is given instead; whatever is opened is closed."""
    with ExitStack() as opened:

        def open_one(where: Path = folder, **given: Any) -> MemOS:
            given = {"embedder": embedder, "index": index, "clock": clock, **given}
            memos = MemOS.open(where, **given)
            opened.callback(memos.close)
            return memos

        yield open_one


@pytest.fixture
def thread_loop() -> Iterator[None]:
    """Give the thread an event loop and close it: LlamaIndex's blocking faces make one and leave it open."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        loop.close()
        asyncio.set_event_loop(None)


@pytest.fixture
def memos(open_memos: Callable[..., MemOS]) -> MemOS:
    return open_memos()


@pytest.fixture
def cube(memos: MemOS) -> MemCube:
    return memos.cube("notes")


@pytest.fixture
def catalog_rows() -> Callable[[MemOS | Path], Rows]:
    """Read every row of every table of a catalog, by table name: what "nothing changed" means."""
    return _catalog_rows


def _catalog_rows(store: MemOS | Path) -> Rows:
    where = store._core.folder if isinstance(store, MemOS) else store
    with closing(sqlite3.connect(f"file:{where / 'catalog.db'}?mode=ro", uri=True)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        return {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse to run a group in several processes: each would start a server of its own, on the same ports."""
    mark = item.get_closest_marker("xdist_group")
    if mark is not None and hasattr(item.config, "workerinput"):
        assert item.nodeid.endswith(f"@{mark.args[0]}"), "this test has lost its group: pass --dist loadgroup"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test is an error: there, everything a test needs has to be there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
