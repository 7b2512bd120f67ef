import sqlite3
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from memos_core import FormatError, MigrationNeeded
from memos_core.vault.catalog import Catalog
from memos_core.vault.engine import open_engine
from memos_core.vault.migrate import HEAD, migrate, schema_revision
from memos_core.vault.schema import metadata


@pytest.fixture
def path(tmp_path):
    return tmp_path / "catalog.db"


def execute(path, *statements):
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_the_migrations_make_exactly_the_schema_that_the_code_uses(path):
    engine = open_engine(path)
    migrate(engine)

    def is_ours(_object, name, kind, _reflected, _compared):
        return not (kind == "table" and name.startswith("lexical"))

    with engine.connect() as connection:
        options = {"include_object": is_ours, "compare_type": True, "compare_server_default": True}
        drift = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    engine.dispose()
    assert drift == []


def test_a_new_catalog_is_at_the_head(path):
    Catalog(path).close()
    engine = open_engine(path)
    with engine.connect() as connection:
        assert schema_revision(connection) == HEAD
    engine.dispose()


def test_a_current_catalog_is_left_as_it_is(path):
    Catalog(path).close()
    before = path.read_bytes()
    Catalog(path).close()
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused_with_both_revisions_and_left_as_it_is(path):
    Catalog(path).close()
    execute(path, "UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    with pytest.raises(MigrationNeeded, match="upgrade memos-suite-core") as caught:
        Catalog(path)
    assert (caught.value.found, caught.value.wanted, path.read_bytes() == before) == ("9999", HEAD, True)


FOREIGN = [
    ["CREATE TABLE recipes (name TEXT)", "INSERT INTO recipes VALUES ('bread')"],
    ["CREATE TABLE alembic_version (version_num TEXT)"],
    ["CREATE TABLE memories (id TEXT)", "CREATE TABLE cubes (id TEXT)"],
]


@pytest.mark.parametrize("statements", FOREIGN, ids=lambda statements: statements[0])
def test_a_database_of_somebody_else_is_refused(path, statements):
    execute(path, *statements)
    with pytest.raises(FormatError, match="choose another folder"):
        Catalog(path)


def test_a_database_of_somebody_else_is_left_as_it_is(path):
    execute(path, *FOREIGN[0])
    before = path.read_bytes()
    with pytest.raises(FormatError):
        Catalog(path)
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_catalog(path):
    path.touch()
    Catalog(path).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]


def test_a_migration_that_fails_leaves_no_table(path, monkeypatch):
    from alembic import op

    def fail(*_args, **_kwargs):
        raise RuntimeError("the power went")

    monkeypatch.setattr(op, "execute", fail)  # the last step of the first revision
    with pytest.raises(RuntimeError, match="the power went"):
        Catalog(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
