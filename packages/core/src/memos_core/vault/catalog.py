"""The catalog: one snapshot to read, one transaction to write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, bindparam, delete, update

from memos_core.cube import SYSTEM, Principal
from memos_core.errors import Closed
from memos_core.vault import meters, tx_life
from memos_core.vault.dialect import BESIDE, Cell
from memos_core.vault.engine import dialect_for
from memos_core.vault.migrate import migrate
from memos_core.vault.schema import memories, store
from memos_core.vault.settings import ERASED_WORDS
from memos_core.vault.tx import Tx
from memos_core.vault.uses import Counted, Uses
from memos_core.vault.view import View


def utc_now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


class Catalog:
    """The store's truth, made or upgraded as needed: an SQLite file, or a PostgreSQL database at a URL.

    After `close` every transaction raises Closed: the folder may be another's by then.
    """

    def __init__(self, where: Path | URL, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.clock = clock
        self.dialect = dialect_for(where)
        self._engine = self.dialect.open_engine(where)
        self._reading = self._engine.execution_options(**self.dialect.reading)
        self._beside = self._engine.execution_options(**{BESIDE: True})
        self._writing = threading.RLock()
        self._closed = False
        self._embedder = ""  # as whoever looked last has found it
        self.uses = Uses(self._write_uses, clock)
        with ExitStack() as undo, self.dialect.translated():
            undo.callback(self._engine.dispose)
            migrate(self._engine)  # looks whose database it is before anything is changed in it
            self.dialect.settle_in(self._engine)
            undo.pop_all()

    @contextmanager
    def read(self) -> Generator[View]:
        """Open a snapshot; it does not see what is committed meanwhile."""
        self._check_open()
        with self.dialect.translated(), self._reading.connect() as connection:
            yield View(connection, now=self.clock(), noticed=self._notice)

    @contextmanager
    def write(self, principal: Principal) -> Generator[Tx]:
        """Open the writing transaction; it commits at the end of the block, or leaves no trace."""
        with self.connection() as connection:
            tx = Tx(connection, principal=principal, now=self.clock(), noticed=self._notice)
            yield tx
        if tx.replaced:
            self.uses.correct(tx.replaced)

    def _check_open(self) -> None:
        if self._closed:
            raise Closed

    def _notice(self, embedder: str) -> None:
        self._embedder = embedder

    def is_of_another_embedder(self, identity: str) -> bool:
        """Return whether somebody found, when they last looked, that the vectors are not of this embedder."""
        return self._embedder not in ("", identity)

    def moment(self, connection: Connection) -> datetime:
        """Return the moment by the clock of every process that has the store open."""
        return self.dialect.now(connection, self.clock)

    def _write_uses(self, counted: Counted) -> None:
        self.count_uses(counted)  # by name: it is looked up when it is needed

    def count_uses(self, counted: Counted) -> None:
        """Add to the hits of memories, and to what the meter knows; what was erased is passed over."""
        with self.write(SYSTEM) as tx:
            if counted.found:
                tx.connection.execute(
                    update(memories)
                    .where(memories.c.seq == bindparam("used"))
                    .values(hits=memories.c.hits + bindparam("times"), last_used=tx.now),
                    [{"used": seq, "times": times} for seq, times in counted.found.items()],
                )
                tx_life.first_uses(tx, counted.found.keys())
            meters.count(tx.connection, counted, now=tx.now)

    def scrub(self) -> None:
        """Take what was erased out of the full-text index and of the log, as far as the database can.

        While somebody reads an older state of a file, its log has to stay; then this is still owed.
        """
        with self.read() as view:
            owed = view.setting(ERASED_WORDS)
        if owed is None:
            return
        with self._writing:
            done = self.dialect.compact(self._engine)
        if done:
            self.settle(ERASED_WORDS, owed)

    def settle(self, key: str, owed: str) -> None:
        """Write down that a debt was paid, unless it has grown since it was read as `owed`."""
        with self.connection() as connection:
            connection.execute(delete(store).where(store.c.key == key, store.c.value == owed))

    def vacuum(self) -> None:
        """Write everything anew, so that no page holds more than what is there now."""
        with self._writing:
            self._check_open()
            self.dialect.rewrite(self._engine)

    def cells(self) -> Iterator[Cell]:
        """Yield every text of every table where the database's files are out of reach; else nothing."""
        with self.read() as view:
            yield from self.dialect.cells(view.connection)

    def size(self) -> int:
        """Return the bytes that the catalog takes."""
        with self.read() as view:
            return self.dialect.size(view.connection)

    @contextmanager
    def connection(self) -> Generator[Connection]:
        """Open a bare writing transaction, for the queue."""
        with self._writing:
            self._check_open()
            with self.dialect.translated(), self._engine.begin() as connection:
                yield connection

    @contextmanager
    def beside(self) -> Generator[Connection]:
        """Open a transaction beside whoever writes, on a server: it has to hold its rows itself."""
        self._check_open()
        with self.dialect.translated(), self._beside.begin() as connection:
            yield connection

    def connect_args(self) -> dict[str, Any]:
        """Return what the driver is told to connect, for others that use the same database."""
        _, given = self._engine.dialect.create_connect_args(self._engine.url)
        return dict(given)

    def close(self) -> None:
        """Scrub, and let go of the database; SQLite folds its log in when the last connection goes.

        Closing twice is no error.
        """
        with self._writing:
            if self._closed:
                return
            try:
                self.scrub()
            finally:
                self._closed = True
                self._engine.dispose()
