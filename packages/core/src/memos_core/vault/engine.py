"""SQLite as we want it: durable, one writer at a time, readers never blocked."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from memos_core.errors import BackendError, BackendUnavailable, FormatError

READ_ONLY = "memos_read_only"

_PRAGMAS = (
    "PRAGMA synchronous=FULL",  # an acknowledged write survives a power cut
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=10000",
    "PRAGMA secure_delete=ON",  # what is erased is overwritten
    "PRAGMA cache_size=-32768",
    "PRAGMA mmap_size=268435456",
    "PRAGMA temp_store=MEMORY",
)


def open_engine(path: Path) -> Engine:
    """Return an engine on the SQLite file at `path`, which is made if it is missing.

    The driver's own transaction handling is off; a transaction begins as BEGIN IMMEDIATE, or as a
    plain BEGIN (a snapshot) on connections with the execution option `READ_ONLY`.
    """
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"isolation_level": None, "check_same_thread": False},
        pool_size=4,
        max_overflow=16,
    )
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: sqlite3.Connection, _record: Any) -> None:
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _begin(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def use_write_ahead_log(engine: Engine) -> None:
    """Turn the write-ahead log on; the file remembers it."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def run_alone(engine: Engine, statement: str) -> list[Any]:
    """Run a statement that takes no part in a transaction; return its rows.

    Raises BackendUnavailable where somebody holds the file, BackendError where the disk refuses.
    """
    connection = engine.raw_connection()
    try:
        return list(connection.cursor().execute(statement).fetchall())
    except sqlite3.OperationalError as exc:
        raise _operational(str(exc)) from exc
    finally:
        connection.close()


@contextmanager
def translated() -> Generator[None]:
    """Map what SQLite raises to our errors, with the remedy."""
    try:
        yield
    except OperationalError as exc:
        raise _operational(str(exc.orig)) from exc
    except PoolTimeout as exc:
        raise BackendUnavailable("too many threads read this store at once: try again") from exc
    except DatabaseError as exc:
        if "not a database" in str(exc.orig) or "malformed" in str(exc.orig):
            raise FormatError(
                f"the catalog is damaged or not ours ({exc.orig}): restore it from a backup"
            ) from exc
        raise


def _operational(text: str) -> BackendError:
    if "locked" in text or "busy" in text:
        return BackendUnavailable(f"the catalog is busy ({text}): try again")
    if "full" in text or "disk I/O" in text:
        return BackendError(
            f"the disk refused the write ({text}): free some space and try again; nothing changed"
        )
    if "readonly" in text or "unable to open" in text:
        return BackendError(f"the catalog cannot be written ({text}): check the folder's permissions")
    return BackendError(f"the catalog failed: {text}")
