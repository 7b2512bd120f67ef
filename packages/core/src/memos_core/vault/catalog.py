"""The catalog: one snapshot to read, one transaction to write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, bindparam, delete, update

from memos_core.cube import SYSTEM, Principal
from memos_core.vault import tx_life
from memos_core.vault.engine import READ_ONLY, open_engine, run_alone, translated, use_write_ahead_log
from memos_core.vault.migrate import migrate
from memos_core.vault.schema import memories, store
from memos_core.vault.settings import ERASED_WORDS
from memos_core.vault.tx import Tx
from memos_core.vault.view import View


def utc_now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


class Catalog:
    """The store's truth on SQLite at `path`, made or upgraded as needed."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.clock = clock
        self._engine = open_engine(path)
        self._writing = threading.RLock()
        with ExitStack() as undo, translated():
            undo.callback(self._engine.dispose)
            migrate(self._engine)  # looks whose database it is before anything is changed in it
            use_write_ahead_log(self._engine)
            undo.pop_all()

    @contextmanager
    def read(self) -> Generator[View]:
        """Open a snapshot; it does not see what is committed meanwhile."""
        with translated(), self._engine.connect().execution_options(**{READ_ONLY: True}) as connection:
            yield View(connection, now=self.clock())

    @contextmanager
    def write(self, principal: Principal) -> Generator[Tx]:
        """Open the writing transaction; it commits at the end of the block, or leaves no trace."""
        with self.connection() as connection:
            yield Tx(connection, principal=principal, now=self.clock())

    def count_uses(self, uses: Mapping[int, int]) -> None:
        """Add to the hits of memories, by seq; erased ones are passed over."""
        with self.write(SYSTEM) as tx:
            tx.connection.execute(
                update(memories)
                .where(memories.c.seq == bindparam("used"))
                .values(hits=memories.c.hits + bindparam("times"), last_used=tx.now),
                [{"used": seq, "times": times} for seq, times in uses.items()],
            )
            tx_life.first_uses(tx, uses.keys())

    def scrub(self) -> None:
        """Take what was erased out of the bytes of the full-text index and of the log, if anything was.

        While somebody reads an older state, the log has to stay; then this is still owed.
        """
        with self.read() as view:
            owed = view.setting(ERASED_WORDS)
        if owed is None:
            return
        with self.connection() as connection:
            connection.exec_driver_sql("INSERT INTO lexical(lexical) VALUES('optimize')")
        if self._fold():
            self.settle(ERASED_WORDS, owed)

    def settle(self, key: str, owed: str) -> None:
        """Write down that a debt was paid, unless it has grown since it was read as `owed`."""
        with self.connection() as connection:
            connection.execute(delete(store).where(store.c.key == key, store.c.value == owed))

    def vacuum(self) -> None:
        """Write the whole file anew, so that no page holds more than what is there now."""
        with self._writing:
            run_alone(self._engine, "VACUUM")
        self._fold()

    def _fold(self) -> bool:
        """Fold the log into the file and empty it; return whether nobody was in the way."""
        with self._writing:
            ((busy, *_),) = run_alone(self._engine, "PRAGMA wal_checkpoint(TRUNCATE)")
        return not busy

    @contextmanager
    def connection(self) -> Generator[Connection]:
        """Open a bare writing transaction, for the queue."""
        with self._writing, translated(), self._engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Scrub, and release the files; SQLite folds its write-ahead log in when the last connection goes."""
        with self._writing:
            try:
                self.scrub()
            finally:
                self._engine.dispose()
