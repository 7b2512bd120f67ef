"""A store under test: it can crash, lose its index, and be overtaken; all of it on purpose and repeatable."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import ClassVar, NoReturn

from memos_core import MemOS
from memos_core.operator.indexer import Indexer
from memos_core.protocols import IndexEntry
from memos_core.testing import HashEmbedder, InMemoryIndex
from tests.postgres_server import Server as Postgres

DIMENSIONS = 64
RESIDENT = 64 << 20
BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Crash(BaseException):
    """The process ends here: no handler of the library may see it."""


class Server(InMemoryIndex):
    """The twin as a server: it outlives its clients, loses data, and lets things happen in between."""

    def __init__(self) -> None:
        super().__init__(dimensions=DIMENSIONS)
        self.before: Callable[[], None] | None = None  # called once, when a write is about to land
        self.after: Callable[[], None] | None = None  # called once, when it has landed

    def close(self) -> None:
        """Stay: it is the client that goes."""

    def upsert(self, entries: Sequence[IndexEntry]) -> None:
        self._reach("before")
        super().upsert(entries)
        self._reach("after")

    def delete(self, ids: Sequence[str]) -> None:
        self._reach("before")
        super().delete(ids)
        self._reach("after")

    def lose(self) -> None:
        self._held.clear()

    def entries(self) -> dict[str, IndexEntry]:
        return dict(self._held)

    def _reach(self, point: str) -> None:
        happen: Callable[[], None] | None = getattr(self, point)
        if happen is not None and not self.down:
            setattr(self, point, None)
            happen()


class Store:
    """One folder with its clock and its index. The background thread is off: only `drain` pays."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="machine-"))
        self._lives = 0
        self.now = BEGIN
        self.server = Server()
        self.resident_bytes = RESIDENT
        self.folder = self._root / "0"
        self.catalog = self._begun()
        self._open()

    def _begun(self) -> str | None:
        """Put an empty store into the folder; return where its catalog is, if elsewhere."""
        shutil.copytree(_template(), self.folder)
        return None

    def _open(self) -> None:
        self.memos = _opened(
            self.folder,
            catalog=self.catalog,
            index=self.server,
            clock=lambda: self.now,
            resident_bytes=self.resident_bytes,
        )

    def reopen(self) -> None:
        self.memos.close()
        self._open()

    def crash(self) -> None:
        """Go on with the bytes that are on the disk now, as after a SIGKILL: nobody tidies up before."""
        self._open_copy(self._copy())

    def crash_while(self, work: Callable[[], object], *, after: bool) -> bool:
        """Crash before or after the first write of `work` to the index; return whether there was one."""
        copies: list[Path] = []

        def die() -> None:
            copies.append(self._copy())
            raise Crash

        setattr(self.server, "after" if after else "before", die)
        with suppress(Crash):
            work()
        self.server.before = self.server.after = None
        if copies:
            self._open_copy(copies[0])
        return bool(copies)

    def _copy(self) -> Path:
        """Copy the folder with its write-ahead log as it is at this moment."""
        self._lives += 1
        return Path(shutil.copytree(self.folder, self._root / str(self._lives)))

    def _open_copy(self, copy: Path) -> None:
        left, self.folder = self.folder, copy
        self._discard()
        shutil.rmtree(left)
        self._open()

    def _discard(self) -> None:
        self.memos._core.catalog.close()
        self.memos._core._unlock()

    def rival(self) -> Indexer:
        """Return a second payer of the same debts, as a second process on a shared catalog would be."""
        core = self.memos._core
        return Indexer(core.catalog, index=core.index, model=lambda: core.embedder().identity)

    def close(self) -> None:
        self.memos.close()
        shutil.rmtree(self._root)


class PostgresStore(Store):
    """The same on PostgreSQL, which outlives its clients: after a crash all is there that was committed."""

    postgres: ClassVar[Postgres]

    def _begun(self) -> str:
        self._database = self.postgres.take()
        return self.postgres.url(self._database)

    def crash(self) -> None:
        self._discard()
        self._open()

    def crash_while(self, work: Callable[[], object], *, after: bool) -> bool:
        reached = []

        def refuse() -> NoReturn:
            raise Crash

        def die() -> None:
            reached.append(True)
            self.memos._core.catalog.connection = refuse  # type: ignore[method-assign,assignment]
            raise Crash

        setattr(self.server, "after" if after else "before", die)
        with suppress(Crash):
            work()
        self.server.before = self.server.after = None
        if reached:
            self.crash()
        return bool(reached)

    def _discard(self) -> None:
        self.memos._core.catalog._engine.dispose()
        self.memos._core._unlock()

    def close(self) -> None:
        super().close()
        self.postgres.give_back(self._database)


def _opened(
    folder: Path,
    *,
    index: InMemoryIndex,
    clock: Callable[[], datetime],
    resident_bytes: int,
    catalog: str | None = None,
) -> MemOS:
    embedder = HashEmbedder(dimensions=DIMENSIONS)
    memos = MemOS.open(
        folder, catalog=catalog, embedder=embedder, index=index, clock=clock, resident_bytes=resident_bytes
    )
    memos._core.indexer.writing = nullcontext  # the background thread begins with the first write
    return memos


@cache
def _template() -> Path:
    """Return an empty store, made once: its schema takes longer than fifty steps."""
    root = Path(tempfile.mkdtemp(prefix="machine-template-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    folder = root / "store"
    _opened(folder, index=Server(), clock=lambda: BEGIN - timedelta(days=1), resident_bytes=0).close()
    return folder
