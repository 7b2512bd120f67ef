import sqlite3
import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from memos_core import BackendError, BackendUnavailable, FormatError, NotFound
from memos_core.vault.dialect import READ_ONLY
from memos_core.vault.sqlite import open_engine, settle_in, translated


@pytest.fixture
def engine(tmp_path):
    engine = open_engine(tmp_path / "catalog.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
    settle_in(engine)
    yield engine
    engine.dispose()


def count(connection):
    return connection.execute(text("SELECT count(*) FROM numbers")).scalar_one()


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("busy_timeout", 10000),
        ("secure_delete", 1),
    ],
)
def test_every_connection_is_durable_and_strict(engine, pragma, value):
    reading = engine.execution_options(**{READ_ONLY: True})  # two writers would wait for each other
    with reading.connect() as one, reading.connect() as other:
        found = [each.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() for each in (one, other)]
    assert found == [value, value]


def test_a_reader_sees_one_snapshot_while_a_writer_commits(engine):
    with engine.connect().execution_options(**{READ_ONLY: True}) as reader:
        before = count(reader)
        with engine.begin() as writer:
            writer.execute(text("INSERT INTO numbers VALUES (1)"))
        within = count(reader)
    with engine.connect() as later:
        assert (before, within, count(later)) == (0, 0, 1)


def test_a_writer_waits_for_the_writer_before_it(engine):
    order = []
    begun = threading.Event()

    def second():
        begun.set()
        with engine.begin():
            order.append("second")

    with engine.begin():
        thread = threading.Thread(target=second)
        thread.start()
        begun.wait()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_block_that_raises_leaves_no_trace(engine):
    with pytest.raises(NotFound), engine.begin() as connection:  # noqa: PT012 - the block is what raises
        connection.execute(text("INSERT INTO numbers VALUES (1)"))
        raise NotFound("memory", "m1")
    with engine.connect() as connection:
        assert count(connection) == 0


@pytest.mark.parametrize(
    ("said", "error", "remedy"),
    [
        ("database is locked", BackendUnavailable, "try again"),
        ("database table is busy", BackendUnavailable, "try again"),
        ("database or disk is full", BackendError, "free some space"),
        ("disk I/O error", BackendError, "free some space"),
        ("attempt to write a readonly database", BackendError, "permissions"),
        ("unable to open database file", BackendError, "permissions"),
        ("no such table: memories", BackendError, "no such table"),
    ],
)
def test_what_sqlite_says_becomes_an_error_with_a_remedy(said, error, remedy):
    cause = OperationalError("SELECT 1", {}, sqlite3.OperationalError(said))
    with pytest.raises(error, match=remedy) as caught, translated():
        raise cause
    assert (type(caught.value), caught.value.__cause__) == (error, cause)


def test_our_own_errors_pass_unchanged():
    mine = NotFound("memory", "m1")
    with pytest.raises(NotFound) as caught, translated():
        raise mine
    assert caught.value is mine


def test_a_file_that_is_no_database_is_named_as_that(tmp_path):
    (tmp_path / "catalog.db").write_bytes(b"I am a letter, not a database. " * 200)
    engine = open_engine(tmp_path / "catalog.db")
    with pytest.raises(FormatError, match="not a database"), translated(), engine.connect():
        pass
