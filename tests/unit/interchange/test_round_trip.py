from memos_core import Message
from tests.unit.interchange.conftest import NOON, ranking, told


def test_a_cube_that_was_moved_is_equal(full, file, elsewhere):
    dump = full.dump(file)
    load = elsewhere.load(file)
    moved = elsewhere.cube("notes")
    assert told(moved) == told(full)
    assert (load.embedded, load.added, load.renamed) == (0, dump.manifest.counts["memories"], {})
    assert ranking(moved, "Where is the key?") == ranking(full, "Where is the key?")


def test_without_vectors_it_is_embedded_anew_and_found_alike(full, file, elsewhere):
    dump = full.dump(file, vectors=False)
    load = elsewhere.load(file)
    assert load.embedded == dump.manifest.counts["memories"]
    assert ranking(elsewhere.cube("notes"), "salt") == ranking(full, "salt")


def test_what_is_known_stays_known(full, file, elsewhere):
    full.dump(file)
    elsewhere.load(file)
    moved = elsewhere.cube("notes")
    count = moved.count()
    moved.remember("Mira lives in Lisbon", at=NOON)
    moved.ingest([Message("Ana", "Where is the spare key?", at=NOON, id="m1")], session="first evening")
    moved.ingest([Message("assistant", "ok")], session="first evening")
    assert moved.count() == count


def test_a_file_that_is_loaded_twice_changes_nothing(full, file, elsewhere, catalog_rows):
    full.dump(file)
    first = elsewhere.load(file)
    before = told(elsewhere.cube("notes"))
    second = elsewhere.load(file)
    assert (second.added, second.same) == (0, first.added)
    assert told(elsewhere.cube("notes")) == before


def test_in_its_own_store_it_gets_ids_of_its_own(full, file, memos):
    full.dump(file)
    load = memos.load(file, name="copy")
    assert len(load.renamed) == load.added
    assert told(memos.cube("copy"), ids=False) == told(full, ids=False)
    again = memos.load(file, name="copy")
    assert (again.added, again.same, again.renamed) == (0, load.added, load.renamed)


def test_a_memory_tells_which_file_it_came_in(full, file, elsewhere):
    dump = full.dump(file)
    elsewhere.load(file)
    moved = elsewhere.cube("notes")
    assert {m.header.descriptive.imported_from for m in moved.list()} == {dump.manifest.digest}
    assert [(each.digest, each.name, each.by) for each in moved.imports()] == [
        (dump.manifest.digest, "notes", "local")
    ]
    assert {line.detail for line in elsewhere.audit() if line.verb == "load"} == {dump.manifest.digest}


def test_an_empty_cube_makes_a_file_too(cube, file, elsewhere):
    cube.dump(file)
    load = elsewhere.load(file)
    assert (load.added, elsewhere.cube("notes", create=False).count()) == (0, 0)
