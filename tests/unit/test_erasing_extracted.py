"""Erasing what an extractor found together with what it was found in: what goes, what stays, who may."""

import pytest

from memos_core import IllegalTransition, Message, Where
from tests.unit.test_consolidation import GIST, MERGE, talk

pytestmark = pytest.mark.databases

TWICE = ("Mira can't swim.", "Mira cannot swim")


def texts(cube):
    return sorted(memory.text for memory in cube.list())


def found(cube, text, *turns, by="finder"):
    return cube.remember(text, made_by=by, derived_from=[turn.id for turn in turns])


def test_what_was_extracted_from_what_goes_and_from_nothing_else_goes_too_when_asked(cube):
    one, two = cube.ingest([Message("ana", "1"), Message("ana", "2")], session="s")
    (other,) = cube.ingest([Message("ana", "3")], session="t")
    mine = found(cube, "from both turns", one, two)
    found(cube, "from what was found", mine)
    found(cube, "from another session too", two, other)
    stated = found(cube, "stated by somebody later", one)
    assert cube.remember("stated by somebody later").id == stated.id
    linked = cube.remember("stated by somebody first")
    cube.link(linked.id, "derived_from", one.id)
    cube.archive(mine.id)
    receipt = cube.forget(where=Where(sessions=("s",)), extracted=True)
    assert set(receipt.texts) == {"1", "2", "from both turns", "from what was found"}
    assert (texts(cube), cube.list(state="archived")) == (
        ["3", "from another session too", "stated by somebody first", "stated by somebody later"],
        [],
    )


def test_without_being_asked_what_was_extracted_stays(cube):
    (one,) = cube.ingest([Message("ana", "1")], session="s")
    found(cube, "stays", one)
    cube.forget(one.id)
    assert texts(cube) == ["stays"]


def test_one_after_the_other_reaches_what_was_extracted_from_all_of_them(cube):
    one, two = cube.ingest([Message("ana", "1"), Message("ana", "2")], session="s")
    found(cube, "from both turns", one, two)
    assert cube.forget(one.id, extracted=True).texts == ("1",)
    assert set(cube.forget(two.id, extracted=True).texts) == {"2", "from both turns"}


def test_what_was_extracted_and_frozen_keeps_what_it_was_found_in(memos, cube, catalog_rows):
    (one,) = cube.ingest([Message("ana", "1")], session="s")
    cube.freeze(found(cube, "frozen", one).id)
    memos.drain()
    before = catalog_rows(memos)
    with pytest.raises(IllegalTransition):
        cube.forget(one.id, extracted=True)
    assert catalog_rows(memos) == before


def test_what_one_may_not_see_is_not_reached_by_way_of_what_it_was_extracted_from(memos):
    ana = memos.as_principal("ana").cube("notes")
    (turn,) = ana.ingest([Message("ana", "1")], session="s", visibility="shared")
    found(ana, "hidden", turn)
    ana.grant("bob", "write")
    bob = memos.as_principal("bob").cube("notes", owner="ana")
    assert bob.forget(turn.id, extracted=True).texts == ("1",)
    assert texts(ana) == ["hidden"]


def test_a_fork_erases_what_was_extracted_in_it_and_nothing_of_its_base(cube):
    (turn,) = cube.ingest([Message("ana", "1")], session="s")
    found(cube, "found in the base", turn)
    fork = cube.fork("trial")
    found(fork, "found in the fork", turn)
    fork.forget(where=Where(sessions=("s",)), extracted=True)
    assert (texts(fork), texts(cube)) == ([], ["1", "found in the base"])


def test_what_somebody_states_after_an_extractor_is_stated(cube):
    (turn,) = cube.ingest([Message("ana", "1")], session="s")
    first = found(cube, "said twice", turn)
    told = [first, cube.remember("said twice"), found(cube, "said twice", turn, by="another")]
    assert [(each.id, each.version) for each in told] == [(first.id, 1)] * 3
    named = [each.header.descriptive for each in told]
    assert [(each.origin, each.made_by) for each in named] == [
        ("extracted", "finder"),
        ("stated", "statement"),
        ("stated", "statement"),
    ]


def test_what_somebody_put_in_other_words_is_stated_and_stays(cube):
    (turn,) = cube.ingest([Message("ana", "1")], session="s")
    revised = cube.revise(found(cube, "Ana lives in Porto.", turn).id, "Ana lives in Lisbon.")
    cube.forget(where=Where(sessions=("s",)), extracted=True)
    named = revised.header.descriptive
    assert (named.origin, named.made_by, texts(cube)) == ("stated", "statement", ["Ana lives in Lisbon."])


def test_what_an_extractor_finds_again_with_more_tags_is_extracted_still(cube):
    (turn,) = cube.ingest([Message("ana", "1")], session="s")
    found(cube, "Ana lives in Porto.", turn)
    again = cube.remember("Ana lives in Porto.", made_by="finder", tags=["home"], derived_from=[turn.id])
    assert (again.version, again.header.descriptive.origin) == (2, "extracted")


def test_other_words_that_a_merge_brings_in_are_stated_too(cube):
    (turn,) = cube.ingest([Message("ana", "1")], session="s")
    first = found(cube, "Ana lives in Porto.", turn)
    fork = cube.fork("trial")
    fork.revise(first.id, "Ana lives in Lisbon.")
    cube.merge(fork, on_conflict="theirs")
    cube.forget(where=Where(sessions=("s",)), extracted=True)
    assert texts(cube) == ["Ana lives in Lisbon."]


# --- what else ends with it ------------------------------------------------------------------


@pytest.fixture
def merged(cube):
    """Two statements found in two sessions, made one, and what was found in the first and in that one."""
    turns = [cube.ingest([Message("ana", name)], session=name)[0] for name in ("s", "t")]
    first, _ = (found(cube, text, turn) for text, turn in zip(TWICE, turns, strict=True))
    found(cube, "found in the first", first)
    (done,) = cube.consolidate(MERGE).actions
    one = cube.get(done.into)
    found(cube, "found in the merged one", one)
    return one


def test_what_was_found_in_what_stands_behind_a_merged_statement_goes_with_it(cube, merged):
    cube.forget(merged.id, extracted=True)
    assert (texts(cube), cube.list(state="archived")) == (["s", "t"], [])


def test_what_was_found_in_a_merged_statement_goes_with_what_that_was_made_from(cube, merged):
    receipt = cube.forget(where=Where(sessions=("s",)), extracted=True)
    assert (texts(cube), cube.list(state="archived")) == ([TWICE[1], "t"], [])
    assert {"s", TWICE[0], "found in the first", "found in the merged one"} <= set(receipt.texts)


def test_what_was_found_in_a_gist_goes_with_its_turns(cube, clock):
    talk(cube, clock)
    clock.move(days=8)
    (done,) = cube.consolidate(GIST).actions
    found(cube, "found in the gist", cube.get(done.into))
    cube.forget(where=Where(sessions=("s1",)), extracted=True)
    assert texts(cube) == []


def test_what_was_found_in_what_goes_too_and_is_frozen_keeps_everything(memos, cube, merged, catalog_rows):
    cube.freeze(next(each for each in cube.list() if each.text == "found in the merged one").id)
    memos.drain()
    before = catalog_rows(memos)
    with pytest.raises(IllegalTransition):
        cube.forget(where=Where(sessions=("s",)), extracted=True)
    assert catalog_rows(memos) == before


# --- in forks --------------------------------------------------------------------------------


def revise_in_the_fork(cube, fork, turn):
    fork.revise(turn.id, "1, in the fork")


def revise_in_the_base(cube, fork, turn):
    cube.revise(turn.id, "1, in the base")


def archive_both_in_the_fork(cube, fork, turn):
    for memory in fork.list():
        fork.archive(memory.id)


@pytest.mark.parametrize("part", [revise_in_the_fork, revise_in_the_base, archive_both_in_the_fork])
def test_a_fork_that_has_a_copy_of_the_turn_shares_no_more_what_was_found_in_it(cube, part):
    (turn,) = cube.ingest([Message("ana", "1")], session="s")
    found(cube, "from what was found", found(cube, "found in the base", turn))
    fork, other = cube.fork("trial"), cube.fork("other")
    part(cube, fork, turn)
    before = texts(cube), texts(fork)
    within = fork.fork("within")
    within.forget(where=Where(sessions=("s",)), extracted=True)
    assert (texts(within), within.list(state="archived")) == ([], [])
    assert (texts(cube), texts(fork)) == before
    fork.forget(where=Where(sessions=("s",)), extracted=True)
    assert (texts(fork), fork.list(state="archived")) == ([], [])
    assert (texts(cube), len(texts(other))) == (before[0], 3)


@pytest.mark.parametrize("added", ["", ", in the fork"])
def test_a_fork_keeps_what_was_found_in_a_memory_that_it_has_besides(cube, added):
    one, two = cube.ingest([Message("ana", "1"), Message("ana", "2")], session="s")
    found(cube, "from both turns", one, two)
    fork = cube.fork("trial")
    first, second = ((fork.revise(turn.id, turn.text + added) if added else turn) for turn in (one, two))
    fork.forget(first.id, extracted=True)
    assert texts(fork) == [f"2{added}", "from both turns"]
    fork.forget(second.id, extracted=True)
    assert (texts(fork), texts(cube)) == ([], ["1", "2", "from both turns"])
