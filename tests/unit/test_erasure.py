"""Erasing by filter, by cube, by person: what goes, what stays, who may, and what the receipt is good for."""

from __future__ import annotations

import json
import stat

import pytest

from memos_core import (
    BackendError,
    Conflict,
    Entry,
    Erasure,
    Forbidden,
    FormatError,
    IllegalTransition,
    InvalidInput,
    Message,
    NotFound,
    Runtime,
    Where,
)
from memos_core.testing import ScriptedEngine

pytestmark = pytest.mark.databases


def texts(cube):
    return sorted(memory.text for memory in cube.list())


# --- by filter -------------------------------------------------------------------------------


def test_a_filter_reaches_the_archived_and_the_overdue(cube, clock):
    from datetime import timedelta

    seen, away = cube.remember("seen", tags=["x"]), cube.remember("away", tags=["x"])
    over = cube.remember("over", tags=["x"], ttl=timedelta(hours=1))
    cube.remember("other")
    cube.archive(away.id)
    clock.move(hours=2)
    receipt = cube.forget(where=Where(tags=("x",)))
    assert receipt.memories == (seen.id, away.id, over.id)
    assert (receipt.scope, receipt.erased["memories"], set(receipt.texts)) == (
        "where", 3, {"seen", "away", "over"},
    )  # fmt: skip
    assert (texts(cube), cube.list(state="archived")) == (["other"], [])


def test_a_filter_that_meets_something_frozen_erases_nothing(memos, cube, catalog_rows):
    cube.remember("one")
    cube.freeze(cube.remember("two").id)
    memos.drain()
    before = catalog_rows(memos)
    with pytest.raises(IllegalTransition):
        cube.forget(where=Where(kinds=("fact",)))
    assert catalog_rows(memos) == before


def test_a_filter_forgets_nothing_that_one_may_not_see(memos):
    ana = memos.as_principal("ana").cube("notes")
    ana.remember("hidden")
    ana.remember("shown", visibility="shared")
    ana.grant("bob", "write")
    receipt = memos.as_principal("bob").cube("notes", owner="ana").forget(where=Where(kinds=("fact",)))
    assert (len(receipt.memories), texts(ana)) == (1, ["hidden"])


def test_a_filter_that_matches_nothing_gives_an_empty_receipt(cube):
    receipt = cube.forget(where=Where(tags=("none",)))
    assert (receipt.memories, receipt.memory_id, receipt.cube, dict(receipt.erased)) == ((), "", "", {})


def test_what_was_changed_since_it_was_read_is_not_erased(cube):
    memory = cube.remember("one")
    cube.revise(memory.id, "two")
    with pytest.raises(Conflict) as told:
        cube.forget(memory.id, expected=1)
    assert (told.value.expected, told.value.found, texts(cube)) == (1, 2, ["two"])
    assert cube.forget(memory.id, expected=2).memories == (memory.id,)
    with pytest.raises(InvalidInput, match="no version"):
        cube.forget(where=Where(tags=("x",)), expected=1)


def test_more_memories_than_one_statement_takes_go_in_one_act(memos, cube):
    cube.ingest([Message("Ana", f"turn {n}") for n in range(1203)])
    receipt = cube.forget(where=Where(speakers=("Ana",)))
    lines = [line for line in memos.audit() if line.verb == "forget"]
    assert (receipt.erased["memories"], receipt.owed, len({line.change for line in lines})) == (1203, 1203, 1)
    assert cube.count() == 0


# --- a cube ----------------------------------------------------------------------------------


def test_a_cube_goes_whole_with_what_is_frozen(memos, cube):
    memory = cube.remember("one")
    cube.freeze(memory.id)
    cube.records.put([Entry(key="bare", data={"n": 1}), Entry(key="k", data={}, texts=("words",))])
    cube.grant("bob", "admin")
    memos.cube("other").remember("stays")
    receipt = memos.forget_cube("notes")
    assert {place: receipt.erased[place] for place in ("memories", "records", "grants", "cubes")} == {
        "memories": 2, "records": 2, "grants": 1, "cubes": 1,
    }  # fmt: skip
    with pytest.raises(NotFound):
        cube.count()
    with pytest.raises(NotFound):
        memos.cube("notes", create=False)
    assert [each.name for each in memos.cubes()] == ["other"]
    assert [line.detail for line in memos.audit() if line.memory == memory.id and line.verb == "forget"] == []
    assert memos.cube("notes").count() == 0
    assert (memos.verify_erasure(receipt).ok, memos.doctor().ok) == (True, True)


def test_the_row_of_a_cube_waits_for_its_files(memos, cube, monkeypatch, catalog_rows):
    cube.remember("words that fill a segment. " * 40)
    with Runtime(ScriptedEngine()) as runtime:
        runtime.build(cube)
        with monkeypatch.context() as patch:
            patch.setattr(memos._core.blobs, "delete", lambda name: (_ for _ in ()).throw(OSError("busy")))
            receipt = memos.forget_cube("notes")
            rows = catalog_rows(memos)
        assert [(row[1], row[2]) for row in rows["cubes"]] == [("", cube.id)]
        assert all(row[-1] == "erased" for row in rows["artifacts"])
        check = memos.verify_erasure(receipt)
    assert (check.ok, catalog_rows(memos)["cubes"], catalog_rows(memos)["artifacts"]) == (True, [], [])


@pytest.mark.parametrize("right", ["write", "share"])
def test_only_an_admin_erases_a_cube(memos, right):
    memos.as_principal("ana").cube("notes").grant("bob", right)
    with pytest.raises(Forbidden):
        memos.as_principal("bob").forget_cube("notes", owner="ana")
    with pytest.raises(NotFound):
        memos.as_principal("eve").forget_cube("notes", owner="ana")


# --- a person --------------------------------------------------------------------------------


@pytest.fixture
def inn(memos):
    """Ana's cube, in which Bob writes and Mira speaks."""
    ana = memos.as_principal("ana").cube("inn")
    ana.grant("bob", "write")
    bob = memos.as_principal("bob").cube("inn", owner="ana")
    ana.remember("of Ana's")
    bob.remember("of Bob's", visibility="shared")
    ana.ingest([Message("Mira", "said by Mira"), Message("Bob", "said by another Bob")], session="s")
    memos.as_principal("bob").cube("own").remember("in Bob's own cube")
    return ana, bob


def test_an_admin_erases_what_a_person_wrote_and_said(memos, inn):
    ana, bob = inn
    receipt = memos.as_principal("ana").forget_principal("bob")
    assert texts(ana) == ["of Ana's", "said by Mira", "said by another Bob"]  # "Bob" is another name
    assert (set(receipt.texts), receipt.erased["grants"], receipt.cubes) == ({"of Bob's"}, 1, (ana.id,))
    with pytest.raises(NotFound):
        bob.count()
    assert texts(memos.as_principal("bob").cube("own")) == ["in Bob's own cube"]  # not Ana's to erase
    assert memos.as_principal("ana").forget_principal("Mira").texts == ("said by Mira",)


def test_a_person_erases_what_is_their_own(memos, inn):
    ana, bob = inn
    ana.freeze(bob.remember("kept by Ana", visibility="shared").id)
    staff = memos.as_principal("bob").group("staff", members=["eve"])
    memos.as_principal("ana").group("guests", members=["bob", "eve"])
    receipt = memos.as_principal("bob").forget_principal("bob")
    assert texts(ana) == ["kept by Ana", "of Ana's", "said by Mira", "said by another Bob"]
    assert (receipt.left, receipt.erased["cubes"], receipt.erased["groups"]) == (1, 1, 1)
    assert [group.name for group in memos.as_principal("eve").groups()] == ["guests"]
    assert staff not in memos.as_principal("bob").groups()
    assert memos.as_principal("bob").cubes()[0].id == ana.id  # a right that Ana gave is hers to take
    assert memos.as_principal("ana").forget_principal("bob").erased["memories"] == 1  # an admin: frozen, too


def test_a_stranger_erases_nothing_and_learns_nothing(memos, inn, catalog_rows):
    memos.drain()
    before = {name: rows for name, rows in catalog_rows(memos).items() if name != "erasures"}
    receipt = memos.as_principal("eve").forget_principal("bob")
    after = {name: rows for name, rows in catalog_rows(memos).items() if name != "erasures"}
    assert (receipt.memories, receipt.cubes, receipt.left, after == before) == ((), (), 0, True)


def test_of_a_memory_that_others_told_as_well_only_the_telling_goes(memos):
    ana = memos.as_principal("ana").cube("inn")
    ana.grant("bob", "write")
    bob = memos.as_principal("bob").cube("inn", owner="ana")
    shared = ana.remember("The ferry leaves at noon.", visibility="shared")
    bob.remember("The ferry  leaves at noon.", visibility="shared")
    revised = ana.remember("Room 4 is dry.", visibility="shared")
    bob.revise(revised.id, "Room 4 leaks, said Bob.")
    ana.revise(revised.id, "Room 4 is dry again.")
    taken = ana.remember("Room 5 is dry.", visibility="shared")
    bob.revise(taken.id, "Room 5 is Bob's.")
    receipt = memos.as_principal("ana").forget_principal("bob")
    assert texts(ana) == ["Room 4 is dry again.", "The ferry leaves at noon."]
    assert [source.speaker for source in ana.sources(shared.id)] == ["ana"]
    assert [each.text for each in ana.history(revised.id)] == ["Room 4 is dry.", "Room 4 is dry again."]
    assert "Room 4 leaks, said Bob." in receipt.texts
    assert receipt.memories == (taken.id,)
    assert memos.as_principal("ana").verify_erasure(receipt).ok


# --- the receipt -----------------------------------------------------------------------------


def test_the_store_keeps_no_word_of_what_was_erased(memos, cube, catalog_rows):
    memory = cube.remember("the xylotomous password")
    receipt = cube.forget(memory.id)
    assert (receipt.texts, receipt.memory_id, receipt.cube) == (
        ("the xylotomous password",), memory.id, cube.id,
    )  # fmt: skip
    (kept,) = memos.erasures()
    assert (kept, kept.texts) == (receipt, ())
    memos.drain()
    assert "xylotom" not in json.dumps(catalog_rows(memos), default=str)
    assert "xylotom" not in repr(receipt)


def test_a_receipt_can_be_saved_by_who_wants_to_and_read_again(cube, tmp_path):
    receipt = cube.forget(cube.remember("the xylotomous password").id)
    path = tmp_path / "receipt.json"
    receipt.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Erasure.load(path)
    assert (again, again.texts) == (receipt, receipt.texts)
    with pytest.raises(BackendError, match="new file"):
        receipt.save(path)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"format": "memos.erasure/9"}', b'{"format": "memos.erasure/1"}', b"\xff"]
)
def test_what_is_no_receipt_is_refused(tmp_path, data):
    (tmp_path / "r").write_bytes(data)
    with pytest.raises(FormatError):
        Erasure.load(tmp_path / "r")
    with pytest.raises(BackendError):
        Erasure.load(tmp_path / "none")


def test_a_receipt_is_for_whom_it_was_made_out(memos, cube):
    receipt = cube.forget(cube.remember("words").id)
    eve = memos.as_principal("eve")
    assert eve.erasures() == []
    for wanted in (receipt, receipt.id, "0" * 32, ""):
        with pytest.raises(NotFound):
            eve.verify_erasure(wanted)
    assert memos.verify_erasure(receipt.id[:8]).erasure == receipt
    with pytest.raises(InvalidInput):
        memos.verify_erasure(receipt, words="words")
    with pytest.raises(InvalidInput):
        memos.verify_erasure(receipt, words=[""])


def test_what_the_living_say_too_is_no_residue(memos, cube):
    cube.remember("The old harbour is closed until the end of March.")
    receipt = cube.forget(cube.remember("The old harbour is closed until I say so myself.").id)
    check = memos.verify_erasure(receipt)
    assert (check.ok, check.shared > 0, check.looked_for > 0) == (True, True, True)


def test_a_debt_that_cannot_be_paid_is_told(memos, cube, index):
    memory = cube.remember("words that are owed")
    memos.drain()
    index.down = True
    receipt = cube.forget(memory.id)
    check = memos.verify_erasure(receipt)
    assert (receipt.owed, check.owed, check.ok, check.reason != "") == (1, 1, False, True)
    index.down = False
    assert memos.verify_erasure(receipt).ok


def test_a_row_that_came_back_is_found(memos, cube):
    from sqlalchemy import insert

    from memos_core.vault import schema

    receipt = cube.forget(cube.remember("words").id)
    with memos._core.catalog.connection() as connection:
        connection.execute(insert(schema.lexical).values(rowid=1, cube="x", terms="word"))
    assert [each.place for each in memos.verify_erasure(receipt).residues] == ["lexical"]


def test_a_debt_that_grew_while_it_was_paid_stays_a_debt(memos, cube, monkeypatch):
    from memos_core.vault.settings import ERASED_WORDS

    catalog = memos._core.catalog
    one, two = cube.remember("one thing"), cube.remember("two things")
    cube.forget(one.id)
    compact = catalog.dialect.compact

    def late(engine):
        monkeypatch.setattr(catalog.dialect, "compact", compact)
        cube.forget(two.id)
        return compact(engine)

    monkeypatch.setattr(catalog.dialect, "compact", late)
    catalog.scrub()
    with catalog.read() as view:
        assert view.setting(ERASED_WORDS) is not None
    catalog.scrub()
    with catalog.read() as view:
        assert view.setting(ERASED_WORDS) is None


def test_while_somebody_reads_an_older_state_the_log_is_still_owed(memos, cube, monkeypatch):
    from memos_core.vault.settings import ERASED_WORDS

    catalog = memos._core.catalog
    memory = cube.remember("one thing")
    monkeypatch.setattr(catalog.dialect, "compact", lambda engine: False)
    cube.forget(memory.id)
    catalog.scrub()
    with catalog.read() as view:
        assert view.setting(ERASED_WORDS) is not None
