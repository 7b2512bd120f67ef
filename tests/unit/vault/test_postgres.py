"""What PostgreSQL promises the vault: one writer, snapshots, names in order, words that are found, errors."""

import sys
import threading

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from memos_core import (
    BackendError,
    BackendUnavailable,
    FormatError,
    InvalidInput,
    MigrationNeeded,
    NotFound,
    Principal,
)
from memos_core.vault import postgres as dialect
from memos_core.vault import schema
from memos_core.vault.catalog import Catalog
from memos_core.vault.engine import catalog_url, holds_password
from memos_core.vault.migrate import HEAD
from memos_core.vault.postgres_errors import translated
from tests.postgres_server import PASSWORD, USER

ANA = Principal("ana")


@pytest.fixture
def url(postgres):
    name = postgres.take()
    yield postgres.url(name)
    postgres.give_back(name)


@pytest.fixture
def catalog(url, clock):
    catalog = Catalog(catalog_url(url), clock=clock)
    yield catalog
    catalog.close()


@pytest.fixture
def empty(postgres):
    """A database with nothing in it."""
    name = postgres.fresh()
    yield name
    postgres.drop(name)


# --- the schema ---------------------------------------------------------------------------------


def test_the_migrations_make_exactly_the_schema_that_the_code_uses(catalog):
    def is_ours(_object, name, kind, _reflected, _compared):
        return not (kind == "table" and name in ("lexical", "postings"))

    with catalog.connection() as connection:
        options = {"include_object": is_ours, "compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata) == []


def test_a_database_that_got_tables_is_not_given_to_the_next_test(postgres):
    name = postgres.take()
    postgres.execute("CREATE TABLE more (n int)", database=name)
    postgres.give_back(name)
    assert postgres.execute(f"SELECT 1 FROM pg_database WHERE datname = '{name}'") == []


def test_names_sort_by_their_characters_whatever_the_database_speaks(postgres, empty, monkeypatch):
    monkeypatch.setattr(dialect, "_CODEPOINTS", ())  # this build has no other language than C
    Catalog(catalog_url(postgres.url(empty))).close()
    left = postgres.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' "
        "AND data_type IN ('text', 'character varying') AND collation_name IS DISTINCT FROM 'C'",
        database=empty,
    )
    assert left == []


def test_several_may_open_an_empty_database_at_once(postgres, empty):
    failed = []

    def make():
        try:
            Catalog(catalog_url(postgres.url(empty))).close()
        except BaseException as exc:
            failed.append(exc)
            raise

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert postgres.execute("SELECT version_num FROM alembic_version", database=empty) == [(HEAD,)]


def test_a_database_of_somebody_else_is_refused_and_left_as_it_is(postgres, empty):
    postgres.execute("CREATE TABLE recipes (name text)", database=empty)
    with pytest.raises(FormatError, match="search_path"):
        Catalog(catalog_url(postgres.url(empty)))
    assert postgres.rows(postgres.url(empty)) == {"recipes": []}


def test_a_schema_of_its_own_in_a_database_of_somebody_else_will_do(postgres, empty):
    postgres.execute("CREATE TABLE recipes (name text); CREATE SCHEMA memory", database=empty)
    url = postgres.url(empty) + "&options=-csearch_path%3Dmemory"
    Catalog(catalog_url(url)).close()
    assert postgres.execute("SELECT count(*) FROM memory.memories", database=empty) == [(0,)]


def test_a_newer_schema_is_refused(postgres, empty):
    Catalog(catalog_url(postgres.url(empty))).close()
    postgres.execute("UPDATE alembic_version SET version_num = '9999'", database=empty)
    with pytest.raises(MigrationNeeded, match="upgrade memos-suite-core"):
        Catalog(catalog_url(postgres.url(empty)))


def test_a_line_of_the_audit_can_be_neither_changed_nor_deleted(catalog):
    with catalog.write(ANA) as tx:
        tx.create_cube("notes")
    for statement in ("UPDATE audit SET verb = 'x'", "DELETE FROM audit"):
        with pytest.raises(Exception, match="append-only"), catalog.connection() as connection:
            connection.execute(text(statement))


# --- readers and writers ------------------------------------------------------------------------


def count(view):
    return len(view.connection.execute(select(schema.cubes.c.id)).all())


def test_a_reader_sees_one_snapshot_while_another_process_commits(catalog, url, clock):
    other = Catalog(catalog_url(url), clock=clock)
    with catalog.read() as view:
        before = count(view)
        with other.write(ANA) as tx:
            tx.create_cube("notes")
        within = count(view)
    with catalog.read() as view:
        assert (before, within, count(view)) == (0, 0, 1)
    other.close()


def test_a_writer_of_another_process_waits_for_the_one_before_it(catalog, url, clock):
    other, order = Catalog(catalog_url(url), clock=clock), []

    def second():
        with other.write(ANA) as tx:
            order.append(count(tx))

    with catalog.write(ANA) as tx:
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        tx.create_cube("notes")
        order.append("first")
    thread.join()
    other.close()
    assert order == ["first", 1]  # it saw what the first one wrote


def test_who_waits_too_long_to_write_is_told_to_try_again(catalog, url, clock):
    other = Catalog(catalog_url(url + "&options=-c%20lock_timeout%3D100"), clock=clock)
    with (
        catalog.write(ANA),
        pytest.raises(BackendUnavailable, match="another process writes"),
        other.write(ANA),
    ):
        pass
    other.close()


def test_stores_in_two_schemas_do_not_wait_for_each_other(postgres, empty):
    postgres.execute("CREATE SCHEMA one; CREATE SCHEMA two", database=empty)
    one, two = (
        Catalog(catalog_url(f"{postgres.url(empty)}&options=-csearch_path%3D{name}"))
        for name in ("one", "two")
    )
    with one.write(ANA) as first, two.write(ANA) as second:
        found = first.create_cube("notes"), second.create_cube("notes")
    one.close()
    two.close()
    assert [cube.name for cube in found] == ["notes", "notes"]


def test_a_connection_that_broke_is_replaced(catalog, postgres, url):
    with catalog.read() as view:
        assert count(view) == 0
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'memos'"
    )
    with catalog.read() as view:
        assert count(view) == 0


def test_a_sequence_number_is_never_given_twice(catalog):
    with pytest.raises(NotFound), catalog.connection() as connection:  # noqa: PT012 - the block is what raises
        lost = dialect.reserve_seqs(connection, 3)
        raise NotFound("memory", "m1")
    with catalog.connection() as connection:
        first = dialect.reserve_seqs(connection, 2)
        assert (lost, first, dialect.last_seq(connection)) == (1, 4, 5)


# --- words ----------------------------------------------------------------------------------------


def found(catalog, words, *, cubes=("c",), limit=9):
    with catalog.read() as view:
        return dialect.matches(view.connection, list(cubes), words, limit=limit)


def write(catalog, *rows):
    with catalog.connection() as connection:
        connection.execute(
            insert(schema.lexical),
            [{"rowid": seq, "cube": cube, "terms": terms} for seq, cube, terms in rows],
        )


def test_a_rare_word_counts_more_than_a_common_one_and_twice_more_than_once(catalog):
    common = [(seq, "c", "harbour boat") for seq in range(10, 20)]
    write(catalog, (1, "c", "ferry boat"), (2, "c", "ferry ferry"), (3, "d", "ferry"), *common)
    assert [seq for seq, _ in found(catalog, ["ferry", "boat"], limit=3)] == [2, 1, 10]


def test_words_are_those_of_the_cubes_that_are_asked(catalog):
    write(catalog, (1, "c", "ferry"), (2, "d", "ferry"), (3, "e", "ferry"))
    assert {seq for seq, _ in found(catalog, ["ferry"], cubes=("c", "d"))} == {1, 2}


def test_what_leaves_the_full_text_or_moves_in_it_takes_its_postings_along(catalog):
    write(catalog, (1, "c", "ferry"), (2, "c", "ferry"))
    with catalog.connection() as connection:
        connection.execute(text("DELETE FROM lexical WHERE rowid = 1"))
        connection.execute(text("UPDATE lexical SET cube = 'd' WHERE rowid = 2"))
        kept = connection.execute(text("SELECT term, cube, rowid FROM postings")).all()
    assert [tuple(row) for row in kept] == [("ferry", "d", 2)]


def test_a_word_of_a_megabyte_is_found_by_how_it_begins(catalog):
    write(catalog, (1, "c", "x" * (1 << 20)), (2, "c", ""))
    assert [seq for seq, _ in found(catalog, ["x" * 5000])] == [1]


def test_a_check_finds_words_that_lost_their_postings(catalog):
    write(catalog, (1, "c", "ferry"))
    with catalog.connection() as connection:
        sound = dialect.check(connection)
        connection.execute(text("DELETE FROM postings"))
        assert (sound, dialect.check(connection)) == ("ok", "the words of 1 memories have no postings")


# --- errors ---------------------------------------------------------------------------------------

REMEDY = "postgresql\\+psycopg://user@host"


@pytest.mark.parametrize(
    "given",
    ["", "catalog.db", "sqlite:///x.db", "mysql://u:hunter2@h/d", "postgresql+psycopg://u:hunter2@h", "://"],
)
def test_what_is_no_address_of_a_database_is_refused_without_its_password(given):
    with pytest.raises(InvalidInput, match=REMEDY) as caught:
        catalog_url(given)
    assert "hunter2" not in str(caught.value)


def test_a_password_is_found_wherever_it_stands_in_an_address():
    addresses = ["postgresql://u:x@h/d", "postgresql://u@h/d?password=x", "postgresql://u@h/d"]
    assert [holds_password(each) for each in addresses] == [True, True, False]


def test_a_server_that_is_not_there_may_be_there_later():
    with pytest.raises(BackendUnavailable, match="see that it runs"):
        Catalog(catalog_url("postgresql+psycopg://u:hunter2@127.0.0.1:1/d"))


@pytest.mark.parametrize(
    ("user", "database", "remedy"),
    [
        (f"{USER}:hunter2", "postgres", "the user or the password is wrong"),
        (USER, "postgres", "asks for a password"),
        (f"{USER}:{PASSWORD}", "nowhere", "createdb"),
    ],
)
def test_a_server_that_lets_nobody_in_so_says_why_and_never_the_password(
    postgres, user, database, remedy, monkeypatch
):
    monkeypatch.setenv("PGPASSFILE", "/dev/null")
    with pytest.raises(BackendError, match=remedy) as caught:
        Catalog(catalog_url(f"postgresql://{user}@127.0.0.1:{postgres.port}/{database}"))
    told = [caught.value, caught.value.__cause__]
    assert type(caught.value) is BackendError
    assert not [each for each in told if "hunter2" in str(each) or PASSWORD in str(each)]


def test_without_the_driver_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(BackendError, match="memos-suite-core\\[postgres\\]"):
        Catalog(catalog_url("postgresql://u@h/d"))


@pytest.mark.parametrize(
    ("raised", "error", "remedy"),
    [
        (psycopg.errors.LockNotAvailable(), BackendUnavailable, "try again"),
        (psycopg.errors.SerializationFailure(), BackendUnavailable, "try again"),
        (psycopg.errors.AdminShutdown("terminating"), BackendUnavailable, "see that it runs"),
        (psycopg.errors.DiskFull(), BackendError, "disk is full"),
        (psycopg.errors.InsufficientPrivilege("permission denied"), BackendError, "may not"),
        (psycopg.errors.UndefinedTable("no such table"), BackendError, "no such table"),
    ],
)
def test_what_postgresql_says_becomes_an_error_with_a_remedy(raised, error, remedy):
    cause = OperationalError("SELECT 1", {}, raised)
    with pytest.raises(error, match=remedy) as caught, translated():
        raise cause
    assert (type(caught.value), caught.value.__cause__) == (error, cause)


@pytest.mark.parametrize(
    "said", ["PostgreSQL text fields cannot contain NUL (0x00) bytes", "integer out of range"]
)
def test_a_value_that_it_cannot_keep_is_bad_input(said):
    with pytest.raises(InvalidInput), translated():
        raise DataError("INSERT", {}, psycopg.DataError(said))


def test_too_many_readers_are_told_to_try_again():
    with pytest.raises(BackendUnavailable, match="too many threads"), translated():
        raise PoolTimeout


def test_no_word_of_a_memory_is_in_what_an_error_says(catalog):
    with pytest.raises(InvalidInput) as caught, catalog.write(ANA) as tx:
        tx.connection.execute(insert(schema.store).values(key="k", value="a secret word \0"))
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"
