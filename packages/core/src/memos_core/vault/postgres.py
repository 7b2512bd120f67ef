"""PostgreSQL as we want it: whoever writes is alone, readers wait for nobody, many processes on one store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.compiler import compiles

from memos_core.errors import BackendError
from memos_core.vault.dialect import BESIDE, READ_ONLY, Cell, byte_length, listed
from memos_core.vault.postgres_errors import translated
from memos_core.vault.postgres_text import LONGEST_TERM, MATCHES, full_text
from memos_core.vault.schema import metadata, moment

__all__ = ["full_text", "insert", "translated"]  # of the dialect's names those that are others'

NAME: Final = "PostgreSQL"
UNSEEN: Final = (
    "the server's own files: they were written anew (VACUUM FULL), but its write-ahead log, its backups "
    "and its replicas keep what was erased until they are recycled"
)
reading: Final[Mapping[str, Any]] = {
    READ_ONLY: True,
    "isolation_level": "REPEATABLE READ",  # one snapshot, taken by the first statement
    "postgresql_readonly": True,
}

_WRITERS = 0x6D656D6F  # "memo": the advisory lock of whoever writes; its second half is the schema's
_SETTINGS = "-c lock_timeout=20000 -c jit=off"  # no statement of ours is worth compiling
_CODEPOINTS = ("C", "POSIX", "C.UTF-8", "C.utf8")


def open_engine(url: URL) -> Engine:
    """Return an engine on the database; nothing is connected yet.

    A transaction that writes holds an advisory lock until it ends, so there is one at a time in a store
    (a schema), and a process that dies lets go of it. Readers see one snapshot and take no lock.
    Raises BackendError where the driver is missing.
    """
    given = url.query.get("options", "")
    options = " ".join([_SETTINGS, given if isinstance(given, str) else " ".join(given)]).strip()
    try:
        engine = create_engine(
            url.update_query_dict({"options": options, "application_name": "memos"}),
            pool_size=4,
            max_overflow=16,
            pool_pre_ping=True,
            hide_parameters=True,  # they are people's words
        )
    except ImportError as exc:
        raise BackendError("psycopg is not installed: pip install 'memos-suite-core[postgres]'") from exc
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not (options.get(READ_ONLY, False) or options.get(BESIDE, False)):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS}, hashtext(current_schema()))")


def settle_in(engine: Engine) -> None:
    """Do nothing: what SQLite has to be told, a server does by itself."""


# --- what is said differently ------------------------------------------------------------------


@compiles(byte_length, "postgresql")
def _byte_length(element: Any, compiler: Any, **_: Any) -> str:
    return f"octet_length({compiler.process(element.clauses)})"


@compiles(listed, "postgresql")
def _listed(element: Any, compiler: Any, **_: Any) -> str:
    return f"json_array_elements_text({compiler.process(element.clauses)})"


_LAST = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM memories_seq_seq"


def reserve_seqs(connection: Connection, count: int) -> int:
    """Take the next `count` sequence numbers of memories; return the first. Whoever writes is alone."""
    first = last_seq(connection) + 1
    connection.execute(text("SELECT setval('memories_seq_seq', :last)"), {"last": first + count - 1})
    return first


def last_seq(connection: Connection) -> int:
    """Return the sequence number that was given last, 0 before the first."""
    return int(connection.exec_driver_sql(_LAST).scalar_one())


def now(connection: Connection, clock: Callable[[], datetime]) -> datetime:  # noqa: ARG001 - machines' clocks differ
    """Return what the server's clock tells, by which every process goes."""
    told = connection.exec_driver_sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    return moment(int(told.scalar_one()))


def matches(
    connection: Connection, cubes: Sequence[str], terms: Sequence[str], *, limit: int
) -> list[tuple[int, float]]:
    """Return (seq, BM25 score) from the postings, best first; statistics are those of these cubes."""
    wanted = [term[:LONGEST_TERM] for term in terms]
    rows = connection.execute(MATCHES, {"terms": wanted, "cubes": list(cubes), "limit": limit})
    return [(int(row.rowid), float(row.score)) for row in rows]


# --- care --------------------------------------------------------------------------------------


def compact(engine: Engine) -> bool:
    """Free what deleted rows took, for others to overwrite; nobody waits. Return True."""
    _vacuum(engine, "VACUUM")
    return True


def rewrite(engine: Engine) -> None:
    """Write every table anew, so that no page of it holds more than what is there now; readers wait."""
    _vacuum(engine, "VACUUM (FULL)")


def _vacuum(engine: Engine, how: str) -> None:
    alone = {READ_ONLY: True, "isolation_level": "AUTOCOMMIT"}
    tables = ", ".join(engine.dialect.identifier_preparer.quote(name) for name in _TABLES)
    with translated(), engine.connect().execution_options(**alone) as connection:
        connection.exec_driver_sql(f"{how} {tables}")


_TABLES = (*sorted(metadata.tables), "lexical", "postings")


def check(connection: Connection) -> str:
    """Return "ok", or what is wrong: an index that cannot be used, words that are not found by."""
    broken = "SELECT count(*) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE NOT indisvalid "
    mine = "AND relnamespace = current_schema()::regnamespace"
    if found := connection.exec_driver_sql(broken + mine).scalar_one():
        return f"{found} indexes are not valid: REINDEX them"
    if found := connection.exec_driver_sql(_LOST).scalar_one():
        return f"the words of {found} memories have no postings"
    return "ok"


_LOST = (
    "SELECT count(*) FROM lexical AS l WHERE l.length > 0 "
    "AND NOT EXISTS (SELECT 1 FROM postings WHERE rowid = l.rowid)"
)


def size(connection: Connection) -> int:
    """Return the bytes of the schema's tables with their indexes."""
    query = (
        "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class "
        "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
    )
    return int(connection.exec_driver_sql(query).scalar_one())


def cells(connection: Connection) -> Iterator[Cell]:
    """Yield every text of every table of the schema, whoever made the table, holding few at a time."""
    query = (
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = current_schema() "
        "AND data_type IN ('text', 'character varying', 'json', 'jsonb') ORDER BY table_name, column_name"
    )
    quote = connection.dialect.identifier_preparer.quote
    for table, column in connection.exec_driver_sql(query).all():
        each = f"SELECT {quote(column)}::text FROM {quote(table)} WHERE {quote(column)} IS NOT NULL"  # noqa: S608 - names
        for value in connection.execution_options(yield_per=1000).exec_driver_sql(each).scalars():
            yield Cell(table, value)


# --- for the schema's revisions ----------------------------------------------------------------


def append_only(table: str, complaint: str) -> Sequence[str]:
    """Return what makes a table refuse to change or delete a row."""
    return (
        f"CREATE FUNCTION {table}_refuses() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{complaint}'; END $$",
        f"CREATE TRIGGER {table}_refuses BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_refuses()",
    )


def makes_way(name: str, table: str) -> Sequence[str]:
    """Return what frees the name of a renamed table's key: here the names of keys are the schema's."""
    return (f"ALTER TABLE {table} RENAME CONSTRAINT {name} TO {name}_before",)


def order_by_codepoint(connection: Connection) -> None:
    """Let names sort and compare as SQLite's do, in whatever language the database was made."""
    if connection.execute(_SORTS, {"names": list(_CODEPOINTS)}).scalar_one():
        return
    quote = connection.dialect.identifier_preparer.quote
    for table, column, kind in connection.exec_driver_sql(_LOCALISED).all():
        connection.exec_driver_sql(
            f'ALTER TABLE {quote(table)} ALTER COLUMN {quote(column)} TYPE {kind} COLLATE "C"'
        )


_SORTS = text(  # of the C library or built in; others have rules of their own under any name
    "SELECT datlocprovider IN ('b', 'c') AND datcollate = ANY(:names) FROM pg_database "
    "WHERE datname = current_database()"
)
_LOCALISED = (
    "SELECT table_name, column_name, data_type FROM information_schema.columns "
    "WHERE table_schema = current_schema() AND data_type IN ('text', 'character varying') "
    "AND collation_name IS NULL ORDER BY table_name, column_name"
)
