import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from memos_core import FormatError, MigrationNeeded, Principal, Right, Where
from memos_core.vault.catalog import Catalog
from memos_core.vault.migrate import HEAD, migrate, schema_revision
from memos_core.vault.schema import metadata
from memos_core.vault.sqlite import open_engine

pytestmark = pytest.mark.usefixtures("no_copied_catalogs")


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


# --- what an older catalog knows of its past ------------------------------------------------------


OLDER = [
    "INSERT INTO cubes (id, owner, name, change, created_at) VALUES ('c', 'ana', 'notes', 5, 1)",
    "INSERT INTO memories (seq, id, cube_id, version, text, digest, state, kind, tags, origin, created_at, "
    "updated_at, owner, visibility, sensitivity, priority, hits, usefulness) VALUES "
    "(1, 'm1', 'c', 2, 'two', 'd', 'archived', 'fact', '[]', 'stated', 1, 3, 'ana', 'private', 0, 0, 0, 0), "
    "(2, 'm2', 'c', 1, 'other', 'e', 'generated', 'fact', '[]', 'stated', 2, 2, 'ana', 'private', "
    "0, 0, 0, 0)",
    "INSERT INTO versions (memory_seq, version, text, kind, tags, state, written_at, written_by) VALUES "
    "(1, 1, 'one', 'fact', '[]', 'generated', 1, 'ana'), (1, 2, 'two', 'fact', '[]', 'generated', 3, 'ana'), "
    "(2, 1, 'other', 'fact', '[]', 'generated', 2, 'ana')",
    "INSERT INTO edges (source, relation, target, created_at) VALUES ('m1', 'supports', 'm2', 40)",
    *(
        "INSERT INTO audit (seq, at, principal, cube_id, change, verb, memory_seq, version, detail) VALUES "
        f"({seq}, {10 * change}, 'ana', 'c', {change}, '{verb}', {memory}, {version}, {detail})"
        for seq, change, verb, memory, version, detail in [
            (1, 1, "remember", 1, 1, "NULL"),
            (2, 2, "remember", 2, 1, "NULL"),
            (3, 3, "revise", 1, 2, "NULL"),
            (4, 4, "link", 1, 2, "NULL"),
            (5, 5, "archive", 1, 2, "'generated>archived'"),
        ]
    ),
]


@pytest.fixture
def older(path, monkeypatch):
    """A catalog as the release before wrote it: two memories, a revision, a link, a step."""
    with monkeypatch.context() as patch:
        patch.setattr("memos_core.vault.migrate.HEAD", "0004")
        engine = open_engine(path)
        migrate(engine)
        engine.dispose()
    execute(path, *OLDER)
    return path


def test_the_audit_tells_which_change_wrote_moved_and_linked_what(older):
    Catalog(older).close()
    with closing(sqlite3.connect(older)) as connection:
        told = [
            connection.execute(query).fetchall()
            for query in (
                "SELECT memory_seq, version, change, keyed FROM versions ORDER BY memory_seq, version",
                "SELECT memory_seq, until, state FROM standings",
                "SELECT source, target, change, cube_id, created_at, ended FROM edges",
            )
        ]
    assert told == [
        [(1, 1, 1, 1), (1, 2, 3, 2), (2, 1, 2, 1)],
        [(1, 5, "generated")],
        [("m1", "m2", 4, "c", 40, None)],
    ]


def test_the_past_of_an_older_catalog_can_be_looked_at(older):
    catalog = Catalog(older)
    with catalog.read() as view:
        cube = view.enter("c", Principal("ana"), Right.READ)
        texts = [
            [memory.text for memory in view.listed(replace(cube, at=at), Where(), limit=None, offset=0)]
            for at in range(6)
        ]
    catalog.close()
    assert texts == [[], ["one"], ["one", "other"], ["two", "other"], ["two", "other"], ["other"]]
