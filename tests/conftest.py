"""What most tests stand on: a store in a temporary folder with the twins, a clock to set, catalog dumps."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

# There are as many test processes as cores: further threads of torch would wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from memos_core import MemCube, MemOS
from memos_core.testing import HashEmbedder, InMemoryIndex
from tests.postgres_server import Server, postgres_server, require_postgres

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


@pytest.fixture(autouse=True, scope="session")
def copied_catalogs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], Engine]]:
    """Begin an SQLite catalog that is not there yet as a copy of an empty one: a tenth of the time.

    Each process makes that one by the migrations, and so does whatever ends with another revision than the
    newest. Yields the long way.
    """
    from memos_core.vault import migrate, sqlite

    long_way, newest = sqlite.open_engine, migrate.HEAD
    empty = tmp_path_factory.mktemp("empty") / "catalog.db"

    def made() -> Path:
        if not empty.exists():
            engine = long_way(empty)
            migrate.migrate(engine)
            sqlite.settle_in(engine)
            engine.dispose()
        return empty

    def copied(path: Path) -> Engine:
        if newest == migrate.HEAD and path.parent.is_dir() and not path.exists():
            shutil.copyfile(made(), path)
        return long_way(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "open_engine", copied)
        yield long_way


@pytest.fixture
def no_copied_catalogs(copied_catalogs: Callable[[Path], Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let catalogs begin as they do for users."""
    monkeypatch.setattr("memos_core.vault.sqlite.open_engine", copied_catalogs)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


# --- which database the catalog is on --------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-databases", action="store_true", help="run every test that asks for a store on PostgreSQL, too"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests that are marked `databases` on both: nothing of theirs may depend on which it is."""
    both = metafunc.definition.get_closest_marker("databases") or metafunc.config.getoption("--all-databases")
    if both and "database" in metafunc.fixturenames:
        metafunc.parametrize("database", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """Which database the catalog is on."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server; begun by the first test that asks, with an empty catalog to copy."""
    require_postgres()
    with postgres_server() as server:
        yield server


@pytest.fixture
def catalog_of(database: str, request: pytest.FixtureRequest) -> Iterator[Callable[[Path], str | None]]:
    """Return the URL of a store's catalog by its folder: a database of its own; None on SQLite."""
    if database == "sqlite":
        yield lambda _folder: None
        return
    server: Server = request.getfixturevalue("postgres")
    made: dict[Path, str] = {}

    def url(folder: Path) -> str:
        if folder not in made:
            made[folder] = server.take()
        return server.url(made[folder])

    yield url
    for name in made.values():
        server.give_back(name)


@pytest.fixture
def open_memos(
    folder: Path,
    embedder: HashEmbedder,
    index: InMemoryIndex,
    clock: Clock,
    catalog_of: Callable[[Path], str | None],
) -> Iterator[Callable[..., MemOS]]:
    """Open the store with the twins, or with what is given instead; whatever is opened is closed."""
    with ExitStack() as opened:

        def open_one(where: Path = folder, **given: Any) -> MemOS:
            given = {"embedder": embedder, "index": index, "clock": clock, **given}
            given.setdefault("catalog", catalog_of(where))
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
def catalog_rows(
    database: str, catalog_of: Callable[[Path], str | None], request: pytest.FixtureRequest
) -> Callable[[MemOS | Path], Rows]:
    """Read every row of every table of a catalog, by table name: what "nothing changed" means."""
    if database == "sqlite":
        return _catalog_rows
    server: Server = request.getfixturevalue("postgres")
    return lambda store: server.rows(str(catalog_of(_folder_of(store))))


def _folder_of(store: MemOS | Path) -> Path:
    return store._core.folder if isinstance(store, MemOS) else store


def _catalog_rows(store: MemOS | Path) -> Rows:
    where = _folder_of(store)
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
