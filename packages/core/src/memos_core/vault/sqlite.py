"""SQLite as we want it: durable, one writer at a time, readers never blocked."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles

from memos_core.errors import BackendError, BackendUnavailable, FormatError
from memos_core.vault.dialect import READ_ONLY, Cell, byte_length, listed

__all__ = ["insert"]  # the one of the dialect's names that is another's

NAME: Final = "SQLite"
UNSEEN: Final = ""
reading: Final[Mapping[str, Any]] = {READ_ONLY: True}

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


def settle_in(engine: Engine) -> None:
    """Turn the write-ahead log on; the file remembers it."""
    _run_alone(engine, "PRAGMA journal_mode=WAL")


def _run_alone(engine: Engine, statement: str) -> list[Any]:
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


# --- what is said differently ------------------------------------------------------------------


@compiles(byte_length, "sqlite")
def _byte_length(element: Any, compiler: Any, **_: Any) -> str:
    return f"length(CAST({compiler.process(element.clauses)} AS BLOB))"


@compiles(listed, "sqlite")
def _listed(element: Any, compiler: Any, **_: Any) -> str:
    return f"json_each({compiler.process(element.clauses)})"


def reserve_seqs(connection: Connection, count: int) -> int:  # noqa: ARG001 - writing the rows takes them
    """Return the next free sequence number of memories; whoever writes is alone."""
    return last_seq(connection) + 1


def last_seq(connection: Connection) -> int:
    """Return the sequence number that was given last, 0 before the first."""
    used = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name='memories'")
    return int(used.scalar() or 0)


def now(connection: Connection, clock: Callable[[], datetime]) -> datetime:  # noqa: ARG001 - one process, one clock
    """Return what the clock tells."""
    return clock()


def matches(
    connection: Connection, cubes: Sequence[str], terms: Sequence[str], *, limit: int
) -> list[tuple[int, float]]:
    """Return (seq, BM25 score) by FTS5, best first; it takes its statistics over the whole store."""
    rows = connection.execute(
        text(
            "SELECT rowid, -bm25(lexical, 0.0, 1.0) AS score FROM lexical "
            "WHERE lexical MATCH :query ORDER BY score DESC LIMIT :limit"
        ),
        {"query": _fts_query(cubes, terms), "limit": limit},
    )
    return [(row.rowid, row.score) for row in rows]


def _fts_query(cubes: Sequence[str], terms: Sequence[str]) -> str:
    """Return the expression for any of the terms in these cubes; terms are words, so quoting is safe."""
    wanted = " OR ".join('"' + term.replace('"', "") + '"' for term in terms)
    places = " OR ".join(f'"{cube}"' for cube in cubes)
    return f"cube:({places}) AND terms:({wanted})"


# --- care --------------------------------------------------------------------------------------


def compact(engine: Engine) -> bool:
    """Merge the full-text index, which drops deleted words, and fold the log into the file and empty it.

    While somebody reads an older state, the log has to stay: then it returns False.
    """
    with translated(), engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO lexical(lexical) VALUES('optimize')")
    return _folded(engine)


def _folded(engine: Engine) -> bool:
    ((busy, *_),) = _run_alone(engine, "PRAGMA wal_checkpoint(TRUNCATE)")
    return not busy


def rewrite(engine: Engine) -> None:
    """Write the whole file anew, so that no page holds more than what is there now."""
    _run_alone(engine, "VACUUM")
    _folded(engine)


def check(connection: Connection) -> str:
    """Return "ok", or what SQLite found wrong."""
    return str(connection.execute(text("PRAGMA quick_check(1)")).scalar_one())


def size(connection: Connection) -> int:
    """Return the bytes of the file and its log."""
    path = Path(str(connection.engine.url.database))
    return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))


def cells(connection: Connection) -> Iterator[Cell]:  # noqa: ARG001 - the file's bytes are there to be read
    """Yield nothing: a check looks through the bytes of the file."""
    return iter(())


# --- for the schema's revisions ----------------------------------------------------------------


def full_text() -> Sequence[str]:
    """Return what makes the FTS5 table: `rowid` is the memory's seq."""
    return ("CREATE VIRTUAL TABLE lexical USING fts5(cube, terms, tokenize='unicode61 remove_diacritics 0')",)


def append_only(table: str, complaint: str) -> Sequence[str]:
    """Return what makes a table refuse to change or delete a row."""
    return tuple(
        f"CREATE TRIGGER {table}_refuses_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{complaint}'); END"
        for verb in ("UPDATE", "DELETE")
    )


def makes_way(name: str, table: str) -> Sequence[str]:  # noqa: ARG001 - here they are the table's
    """Return nothing: the names of keys are their table's."""
    return ()


def order_by_codepoint(connection: Connection) -> None:
    """Do nothing: SQLite compares bytes."""


# --- errors ------------------------------------------------------------------------------------


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
