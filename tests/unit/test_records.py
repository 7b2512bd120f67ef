"""A cube as a dictionary: what is put is there, what is dropped or expired is gone, in every place."""

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy import text

from memos_core import Closed, Entry, InvalidInput, MemOS, Message, NotFound
from memos_core.testing import HashEmbedder, InMemoryIndex
from memos_core.vault.catalog import Catalog
from memos_core.vault.migrations.versions import r0002_artifacts

pytestmark = pytest.mark.databases


class Other(HashEmbedder):
    identity = "another@1"


def entry(key, *texts, ttl=None, **data):
    return Entry(key=key, data=data, texts=texts, ttl=ttl)


def told(records, key):
    return {name: record.data for name, record in records.get([key]).items()}


def found(records, query, **given):
    return [match.record.key for match in records.recall(query, **given)]


@pytest.fixture
def records(cube):
    return cube.records


def test_what_is_put_is_there_and_survives_reopening(open_memos):
    with open_memos() as memos:
        memos.cube("notes").records.put([entry("a", "salt", n=[1, {"deep": None}])])
    records = open_memos().cube("notes").records
    assert (told(records, "a"), found(records, "salt")) == ({"a": {"n": [1, {"deep": None}]}}, ["a"])


def test_a_record_that_is_only_read_by_its_key_never_goes_to_the_archive(memos, records, clock):
    records.put([entry("a", "salt", n=1), entry("b", n=2)])
    memos.cube("notes").remember("The ferry leaves at noon.")
    clock.move(days=40)
    assert memos.upkeep(archive_after=timedelta(days=30)).archived == 1
    assert (told(records, "a"), told(records, "b")) == ({"a": {"n": 1}}, {"b": {"n": 2}})


def test_a_key_put_again_keeps_its_beginning_and_nothing_else(records, clock):
    first = records.put([entry("a", "salt", n=1)])[0]
    clock.move(hours=1)
    second = records.put([entry("a", "pepper", n=2)])[0]
    assert (second.created_at, second.updated_at) == (first.created_at, first.updated_at + timedelta(hours=1))
    assert (second.data, second.memory_id) == ({"n": 2}, first.memory_id)


def test_the_last_of_a_key_in_one_call_wins(records):
    kept = records.put([entry("a", n=1), entry("b", n=2), entry("a", n=3)])
    assert [(each.key, each.data) for each in kept] == [("a", {"n": 3}), ("b", {"n": 2})]


def test_what_is_returned_is_a_copy(records):
    records.put([entry("a", tags=["x"])])
    records.get(["a"])["a"].data["tags"].append("y")
    assert told(records, "a") == {"a": {"tags": ["x"]}}


def test_the_last_written_comes_first(records, clock):
    for key in ("a", "b", "c", "a"):
        clock.move(seconds=1)
        records.put([entry(key, n=1)])
    assert [each.key for each in records.list()] == ["a", "c", "b"]
    assert [each.key for each in records.list(limit=1, offset=1)] == ["c"]


def test_a_record_is_found_by_its_best_text_and_one_without_texts_never(records):
    records.put(
        [
            entry("both", "salt from the sea", "a violin maker in Cremona"),
            entry("one", "pepper from the hills"),
            entry("mute", n="violin"),
        ]
    )
    assert found(records, "violin maker", k=1) == ["both"]
    assert sorted(found(records, "violin maker")) == ["both", "one"]


def test_likeness_is_the_cosine_of_the_best_text_and_scores_fall(records):
    records.put([entry("both", "entirely other words", "salt of the sea"), entry("one", "pepper")])
    matches = records.recall("salt of the sea")
    assert [match.record.key for match in matches] == ["both", "one"]
    assert matches[0].likeness == pytest.approx(1, abs=2e-3)
    assert matches[0].score > matches[1].score


def test_texts_that_have_not_changed_are_not_embedded_and_not_versioned_again(cube, embedder, monkeypatch):
    first = cube.records.put([entry("a", "salt", n=1)])[0]
    monkeypatch.setattr(HashEmbedder, "embed", lambda *_: pytest.fail("embedded again"))
    cube.records.put([entry("a", "salt", n=2)])
    assert (told(cube.records, "a"), cube.get(first.memory_id).version) == ({"a": {"n": 2}}, 1)


def test_a_record_that_loses_its_texts_is_found_no_more(cube):
    first = cube.records.put([entry("a", "salt", n=1)])[0]
    cube.records.put([entry("a", n=2)])
    assert (found(cube.records, "salt"), told(cube.records, "a")) == ([], {"a": {"n": 2}})
    with pytest.raises(NotFound):
        cube.get(first.memory_id)


def test_the_memory_behind_a_record_is_an_ordinary_one(cube):
    record = cube.records.put([entry("a", "Mira lives in Porto", n=1)])[0]
    assert [hit.memory.id for hit in cube.recall("Porto")] == [record.memory_id]
    receipt = cube.forget(record.memory_id)
    assert (receipt.erased["records"], told(cube.records, "a")) == (1, {})


def test_statements_are_no_records(cube):
    cube.remember("salt", kind="record")
    cube.ingest([Message("Ana", "salt")])
    assert (found(cube.records, "salt"), cube.records.count(), cube.records.list()) == ([], 0, [])


def test_dropping_erases_the_record_its_memory_and_their_words(cube, catalog_rows):
    cube.records.put(
        [entry("secretkey", "secretword", secretname="secretvalue"), entry("mute", other="secretvalue")]
    )
    cube.records.put([], drop=["secretkey", "mute", "never there"])
    assert cube.records.count() == 0
    left = catalog_rows(cube._core.folder)
    assert "secret" not in repr(
        {name: rows for name, rows in left.items() if not name.startswith("lexical_")}
    )


def test_putting_and_dropping_are_one_transaction(memos, cube, monkeypatch, catalog_rows):
    cube.records.put([entry("a", "salt"), entry("b", "pepper")])
    memos.drain()  # what is owed to the index is paid at any time
    before = catalog_rows(cube._core.folder)
    monkeypatch.setattr("memos_core.vault.records.write", lambda *_a, **_k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cube.records.put([entry("c", "sugar")], drop=["a"])
    assert catalog_rows(cube._core.folder) == before


def test_a_key_cannot_be_put_and_dropped_at_once(records):
    with pytest.raises(InvalidInput, match="both put and dropped"):
        records.put([entry("a")], drop=["a"])


def test_a_record_lives_as_long_as_its_ttl_and_no_reader_sees_it_after(cube, clock):
    record = cube.records.put([entry("a", "salt", ttl=timedelta(minutes=5)), entry("b", "pepper")])[0]
    clock.move(minutes=5)
    assert (told(cube.records, "a"), found(cube.records, "salt"), cube.records.count()) == ({}, ["b"], 1)
    assert [each.key for each in cube.records.list()] == ["b"]
    with pytest.raises(NotFound):
        cube.get(record.memory_id)


def test_renewing_lets_a_ttl_begin_anew_for_the_record_and_its_memory(cube, clock):
    record = cube.records.put([entry("a", "salt", ttl=timedelta(minutes=5)), entry("b")])[0]
    clock.move(minutes=4)
    assert cube.records.get(["a", "b"], renew=True)["a"].expires_at == record.expires_at + timedelta(
        minutes=4
    )
    clock.move(minutes=4)
    assert (cube.get(record.memory_id).text, cube.records.renew(["a", "b", "c"])) == ("salt", 1)


def test_a_key_put_without_a_ttl_stays(cube, clock):
    cube.records.put([entry("a", "salt", ttl=timedelta(minutes=5))])
    cube.records.put([entry("a", "salt")])
    clock.move(days=1)
    assert found(cube.records, "salt") == ["a"]


def test_a_key_put_again_after_its_time_begins_anew(cube, clock):
    first = cube.records.put([entry("a", "salt", ttl=timedelta(minutes=5))])[0]
    clock.move(minutes=6)
    again = cube.records.put([entry("a", "salt", n=1)])[0]
    assert (again.created_at, again.memory_id != first.memory_id) == (clock.now, True)
    assert found(cube.records, "salt") == ["a"]


def test_sweeping_erases_what_has_expired_and_counts_it(memos, cube, clock):
    minute = timedelta(minutes=1)
    cube.records.put([entry("a", "salt", ttl=minute), entry("b", ttl=minute), entry("c", "sugar")])
    clock.move(minutes=2)
    assert (cube.records.sweep(), cube.records.sweep()) == (2, 0)
    with memos._core.catalog.read() as view:
        counts = (text(f"SELECT count(*) FROM {table}") for table in ("records", "memories"))
        rows = [view.connection.execute(query).scalar_one() for query in counts]
    assert rows == [1, 1]


def test_an_archived_memory_is_made_anew_when_its_record_is_put_again(memos, cube):
    first = cube.records.put([entry("a", "salt", n=1)])[0]
    with memos._core.catalog.connection() as connection:
        connection.execute(text("UPDATE memories SET state = 'archived'"))
    assert (found(cube.records, "salt"), told(cube.records, "a")) == ([], {})
    again = cube.records.put([entry("a", "salt", n=2)])[0]
    assert (found(cube.records, "salt"), again.created_at) == (["a"], first.created_at)


def test_cubes_do_not_see_each_others_keys(memos):
    one, other = memos.cube("one").records, memos.cube("other").records
    one.put([entry("a", "salt", n=1)])
    other.put([entry("a", "salt", n=2)])
    one.put([], drop=["a"])
    assert (told(one, "a"), told(other, "a"), found(one, "salt")) == ({}, {"a": {"n": 2}}, [])


def test_a_cube_that_is_not_yours_does_not_exist(memos):
    stranger = memos.as_principal("stranger")
    mine = memos.cube("notes")
    mine.records.put([entry("a")])
    assert stranger.cubes(with_records=True) == []
    with pytest.raises(NotFound):
        stranger.cube("notes", owner="local")


def test_only_cubes_with_living_records_hold_records(memos, clock):
    memos.cube("statements").remember("salt")
    memos.cube("kept").records.put([entry("a")])
    memos.cube("brief").records.put([entry("a", ttl=timedelta(minutes=1))])
    clock.move(minutes=2)
    assert [cube.name for cube in memos.cubes(with_records=True)] == ["kept"]


def test_cubes_are_found_by_the_beginning_of_their_names(memos):
    for name in ("a", "a.b", "a.b.c", "ab", "a_b", "b", "a.\U0010fffe"):
        memos.cube(name)
    assert {cube.name for cube in memos.cubes(prefix="a.")} == {"a.b", "a.b.c", "a.\U0010fffe"}
    assert memos.cubes(prefix="a.b", with_records=True) == []


def test_looking_for_a_cube_need_not_make_it(memos):
    with pytest.raises(NotFound):
        memos.cube("nothing", create=False)
    assert memos.cubes() == []


def test_records_are_found_again_after_the_embedder_changed(memos):
    records = memos.cube("notes").records
    records.put([entry("a", "salt", "violin"), entry("b", n=1)])
    memos.reindex(embedder=Other(dimensions=64))
    assert found(records, "violin") == ["a"]


def test_records_are_found_where_the_cube_is_too_large_to_be_resident(open_memos):
    memos = open_memos(resident_bytes=0)
    records = memos.cube("notes").records
    records.put([entry(f"k{n}", f"word{n} one", f"other{n} two") for n in range(40)])
    assert found(records, "other7 two", k=1) == ["k7"]


@pytest.mark.parametrize("given", ["a", [5], None, [entry("a"), {"key": "b"}]])
def test_only_entries_are_put(records, given):
    with pytest.raises(InvalidInput):
        records.put(given)


@pytest.mark.parametrize("keys", ["a", 5, None, [""], [5]])
def test_keys_are_several_names(records, keys):
    with pytest.raises(InvalidInput):
        records.get(keys)


def test_after_close_every_verb_says_so(open_memos):
    memos = open_memos()
    records = memos.cube("notes").records
    memos.close()
    for verb in (
        records.count,
        records.sweep,
        records.list,
        lambda: records.get(["a"]),
        lambda: records.put([entry("a")]),
    ):
        with pytest.raises(Closed):
            verb()


def test_an_older_store_gets_its_records(folder, embedder, monkeypatch):
    folder.mkdir()
    monkeypatch.setattr("memos_core.vault.migrate.HEAD", r0002_artifacts.revision)
    Catalog(folder / "catalog.db").close()
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert "memories" in names
    assert "records" not in names
    monkeypatch.undo()
    with MemOS.open(folder, embedder=embedder, index=InMemoryIndex(dimensions=64)) as memos:
        memos.cube("notes").records.put([entry("a", "pepper")])
        assert memos.cube("notes").recall("pepper", k=1).texts == ["pepper"]
