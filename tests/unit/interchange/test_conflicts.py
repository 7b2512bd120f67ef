"""What becomes of what a cube has already, policy by policy; and of what it may not hold."""

from datetime import timedelta

import pytest

from memos_core import (
    AlreadyThere,
    Entry,
    Forbidden,
    IllegalTransition,
    Message,
    NotFound,
    QuotaExceeded,
    SecretFound,
    Terms,
)
from memos_core.interchange.fates import Fate, OnConflict, fate
from memos_core.testing import InMemoryIndex
from memos_core.vault.tx_load import Present
from tests.unit.interchange.conftest import told

HERE = Present(7, "m", 2, "words", "generated", "trusted")


@pytest.mark.parametrize(
    ("twin", "taken", "policy", "expected"),
    [
        (None, False, "fail", Fate.ADD),
        (None, True, "fail", Fate.ADD_ANEW),
        (HERE, True, "fail", Fate.SAME),
        (HERE._replace(text="other"), True, "fail", Fate.FAIL),
        (HERE._replace(version=3), True, "skip", Fate.SKIP),
        (HERE._replace(version=3), True, "replace", Fate.REPLACE),
        (HERE._replace(id="n"), False, "keep_both", Fate.ADD_ANEW),
        (HERE._replace(id="n"), False, "replace", Fate.REPLACE),
    ],
)
def test_a_memorys_fate_is_a_table(twin, taken, policy, expected):
    memory = {"id": "m", "version": 2, "text": "words"}
    same_id = twin is not None and twin.id == "m"
    found = fate(memory, twin, same_id=same_id, id_is_taken=taken, on_conflict=OnConflict(policy))
    assert found is expected


def test_what_came_from_there_and_was_left_alone_gives_way():
    memory = {"id": "m", "version": 3, "text": "words"}
    given = {"same_id": True, "id_is_taken": True, "on_conflict": OnConflict.FAIL}
    assert fate(memory, HERE, gives_way=True, **given) is Fate.REPLACE
    assert fate({**memory, "version": 2}, HERE, gives_way=True, **given) is Fate.SAME


@pytest.fixture
def diverged(full, file):
    """A file, and the cube that it is of, with one memory revised and one more since."""
    full.dump(file)
    first, second = full.list()[:2]
    full.revise(first.id, "Mira lives in Porto")
    full.remember("later")
    return full, first, second


def test_skip_keeps_what_is_there(diverged, memos, file):
    cube, _, _ = diverged
    before = told(cube)
    load = memos.load(file, on_conflict="skip")
    assert (load.skipped, load.added, load.replaced) == (1, 0, 0)
    assert told(cube) == before


def test_replace_takes_the_files_with_its_history_and_its_links(diverged, memos, file):
    cube, first, second = diverged
    load = memos.load(file, on_conflict="replace")
    again = cube.get(first.id)
    assert (load.replaced, load.same > 0, again.text, again.version) == (1, True, first.text, first.version)
    assert [revision.text for revision in cube.history(first.id)] == [first.text, first.text]
    assert second.id in {link.target for link in again.header.behaviour.lineage}
    assert cube.recall("Porto", k=1).texts != ["Mira lives in Porto"]


def test_keep_both_lets_the_files_in_beside(diverged, memos, file):
    cube, first, _ = diverged
    count = cube.count()
    load = memos.load(file, on_conflict="keep_both")
    other = load.renamed[first.id]
    assert (cube.count(), cube.get(first.id).text, cube.get(other).text) == (
        count + 1,
        "Mira lives in Porto",
        first.text,
    )


def test_fail_writes_nothing(diverged, memos, file, catalog_rows):
    memos.drain()
    before = catalog_rows(memos)
    with pytest.raises(AlreadyThere, match="on_conflict='skip'"):
        memos.load(file)
    assert catalog_rows(memos) == before


def test_a_statement_that_the_cube_has_under_another_id_is_a_conflict(cube, file, elsewhere):
    cube.remember("The harbour")
    cube.ingest([Message("Ana", "hello", id="m1")], session="s")
    cube.dump(file)
    other = elsewhere.cube("notes")
    mine = other.remember("The harbour")
    other.ingest([Message("Ana", "hello there", id="m1")], session="s")
    with pytest.raises(AlreadyThere):
        elsewhere.load(file)
    assert elsewhere.load(file, on_conflict="skip").skipped == 2
    assert elsewhere.load(file, on_conflict="replace").replaced == 2
    with pytest.raises(NotFound):
        other.get(mine.id)
    assert sorted(memory.text for memory in other.list()) == ["The harbour", "hello"]


def test_a_frozen_memory_does_not_give_way(cube, file, memos, catalog_rows):
    memory = cube.remember("The harbour")
    cube.dump(file)
    cube.revise(memory.id, "The old harbour")
    cube.freeze(memory.id)
    memos.drain()
    before = catalog_rows(memos)
    with pytest.raises(IllegalTransition):
        memos.load(file, on_conflict="replace")
    assert catalog_rows(memos) == before


def test_turns_come_after_those_that_are_there(cube, file, elsewhere):
    cube.ingest([Message("Ana", f"turn {n}") for n in range(3)], session="s")
    cube.dump(file)
    other = elsewhere.cube("notes")
    other.ingest([Message("Ana", f"earlier turn {n}") for n in range(2)], session="s")
    elsewhere.load(file)
    assert [memory.header.descriptive.position for memory in other.list()] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("policy", OnConflict)
def test_records_follow_the_policy(cube, file, memos, policy):
    cube.records.put([Entry(key="bare", data={"v": 1}), Entry(key="found", data={"v": 1}, texts=["salt"])])
    cube.dump(file)
    cube.records.put([Entry(key="bare", data={"v": 2}), Entry(key="found", data={"v": 2}, texts=["pepper"])])
    if policy is OnConflict.FAIL:
        with pytest.raises(AlreadyThere):
            memos.load(file, on_conflict=policy)
    else:
        memos.load(file, on_conflict=policy)
    values = sorted((key.split("~")[0], each.data["v"]) for key, each in
                    ((each.key, each) for each in cube.records.list()))  # fmt: skip
    expected = {
        OnConflict.FAIL: [("bare", 2), ("found", 2)],
        OnConflict.SKIP: [("bare", 2), ("found", 2)],
        OnConflict.REPLACE: [("bare", 1), ("found", 1)],
        OnConflict.KEEP_BOTH: [("bare", 1), ("bare", 2), ("found", 1), ("found", 2)],
    }
    assert values == expected[policy]


def test_what_was_forgotten_stays_forgotten(full, file, memos):
    gone = full.list()[0]
    full.dump(file)
    full.forget(gone.id)
    load = memos.load(file)
    assert (load.forgotten, load.added) == (1, 0)
    again = memos.load(file, name="another")
    assert again.forgotten == 1
    assert gone.text not in [memory.text for memory in memos.cube("another").list() if not memory.tags]
    assert "Lisbon" not in " ".join(m.text for m in memos.cube("another").list() if m.id == gone.id)


def test_what_is_over_by_now_stays_out(cube, file, elsewhere, clock):
    cube.remember("for an hour", ttl=timedelta(hours=1))
    cube.remember("for good")
    cube.records.put([Entry(key="brief", data={}, ttl=timedelta(hours=1))])
    cube.dump(file)
    clock.move(hours=2)
    load = elsewhere.load(file)
    assert (load.expired, load.added, load.records) == (1, 1, 0)


# --- governance applies as on remember ---------------------------------------------------------


def test_a_full_cube_takes_nothing(full, file, elsewhere, catalog_rows):
    full.dump(file)
    elsewhere.cube("notes").remember("here already")
    elsewhere.cube("notes").limit(memories=3)
    elsewhere.drain()
    before = catalog_rows(elsewhere)
    with pytest.raises(QuotaExceeded):
        elsewhere.load(file)
    assert catalog_rows(elsewhere) == before


def test_the_cubes_ttl_bounds_what_comes_in(full, file, elsewhere, clock):
    full.dump(file)
    elsewhere.cube("notes").limit(ttl=timedelta(days=2))
    elsewhere.load(file)
    ends = {memory.header.governance.expires_at for memory in elsewhere.cube("notes").list()}
    assert ends == {clock.now + timedelta(days=2)}
    clock.move(days=3)
    assert {memory.state for memory in elsewhere.cube("notes").list()} == {"frozen"}


def test_secrets_are_masked_and_their_vectors_are_made_anew(cube, file, open_memos, tmp_path):
    cube.remember("Her address is mira@example.org")
    cube.ingest([Message("bo@example.org", "call me", id="m1")], session="s")
    cube.records.put([Entry(key="k", data={"mail": "mira@example.org"})])
    cube.dump(file)
    masked = open_memos(tmp_path / "masked", index=InMemoryIndex(dimensions=64), redaction="mask")
    load = masked.load(file)
    moved = masked.cube("notes")
    assert load.embedded == 2
    assert "example" not in str([*moved.list(), *moved.records.list()])
    assert all("example" not in str(moved.sources(m.id)) + str(moved.history(m.id)) for m in moved.list())


def test_secrets_are_refused_where_they_are(cube, file, open_memos, tmp_path, catalog_rows):
    cube.remember("Her address is mira@example.org")
    cube.dump(file)
    strict = open_memos(tmp_path / "strict", index=InMemoryIndex(dimensions=64), redaction="refuse")
    strict.cube("mine").remember("here already")
    strict.drain()
    before = catalog_rows(strict)
    with pytest.raises(SecretFound):
        strict.load(file)
    assert catalog_rows(strict) == before


def test_a_file_shows_only_what_its_principal_may_see(memos, file, elsewhere):
    ana = memos.as_principal("ana").cube("notes")
    ana.remember("for Ana alone")
    shown = ana.remember("for both", visibility="shared")
    ana.link(ana.list()[0].id, "supports", shown.id)
    ana.records.put([Entry(key="hers", data={}), Entry(key="both", data={}, texts=["both"])])
    ana.grant("bo", "read")
    dump = memos.as_principal("bo").cube("notes", owner="ana").dump(file)
    counts = dump.manifest.counts
    assert (counts["memories"], counts["links"], counts["records"]) == (1, 0, 0)
    assert b"alone" not in file.read_bytes()
    assert [line.principal for line in memos.as_principal("ana").audit() if line.verb == "dump"] == ["bo"]


def test_who_loads_owns_and_only_admins_keep_frozen_what_is(memos, full, file):
    full.dump(file)
    ana = memos.as_principal("ana").cube("hers")
    ana.grant("eve", "write")
    load = memos.as_principal("eve").load(file, name="hers", owner="ana")
    states = {memory.state for memory in ana.list()}
    assert (load.owner, "frozen" in states) == ("ana", False)
    assert {memory.header.governance.owner for memory in ana.list()} == {"eve"}


def test_a_file_for_somebody_else_is_forbidden(full, file, elsewhere):
    full.dump(file, terms=Terms(licence="CC-BY-4.0", audience=["ana"]))
    with pytest.raises(Forbidden, match="ana"):
        elsewhere.load(file)
    assert elsewhere.as_principal("ana").load(file).manifest.terms.licence == "CC-BY-4.0"


def test_an_id_that_another_cube_has_is_not_taken_from_it(memos, full, file):
    full.dump(file)
    before = told(full)
    eve = memos.as_principal("eve")
    load = eve.load(file, on_conflict="replace")
    assert (load.added, load.replaced, len(load.renamed)) == (load.added, 0, load.added)
    assert told(full) == before
