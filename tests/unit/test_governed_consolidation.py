"""What was consolidated, where forks, rights and erasure meet it: nobody loses or learns another's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from memos_core import Consolidating, IllegalTransition, Message, Store, Where

pytestmark = pytest.mark.databases

MERGE = Consolidating(supersede=False, rest=None, quiet=None)
ALL = Consolidating(rest=None, quiet=None)
GIST = Consolidating(merge=False, supersede=False, rest=None, quiet=timedelta(days=7), turns=8, least=8)
GISTS = Where(kinds=["gist"])
SAME = ("Mira can't swim.", "Mira cannot swim")


TALK = [
    f"{words} in the garden of the old mill"
    for words in (
        *("apples fell early", "bees were loud at noon", "children built a hut", "dogs slept all day"),
        *("elms lost a branch", "ferns covered walls", "geese flew over twice", "hay was cut late"),
    )
]


def texts(memories):
    return sorted(memory.text for memory in memories)


@pytest.fixture
def twice(cube):
    """A cube that told everybody the same twice."""
    return [cube.remember(words, visibility="shared") for words in SAME]


def talk(cube, clock, *, first="Ana"):
    """Tell a cube of a session in eight turns, which is over."""
    said = [
        Message("Ana" if n else first, words, at=clock() + timedelta(minutes=n), id=str(n))
        for n, words in enumerate(TALK)
    ]
    turns = cube.ingest(said, session="s1", visibility="shared")
    clock.move(days=8)
    return turns


# --- a fork, and what its base merged ---------------------------------------------------------


@pytest.fixture
def bobs(memos, cube, twice):
    """The fork of somebody who may read the cube, from before it was consolidated."""
    cube.grant("bob", "read")
    return memos.as_principal("bob").cube(cube.name, owner=cube.owner).fork("mine")


def test_a_fork_that_forgets_its_copy_leaves_its_base_what_that_merged(cube, bobs):
    merged = cube.consolidate(MERGE).actions[0].into
    cube.revise(merged, "Mira drowned a man.")
    cube.revoke("bob")
    copy = bobs.list()[0]
    receipt = bobs.forget(copy.id)
    assert (receipt.memories, set(receipt.texts), receipt.cubes) == ((copy.id,), {copy.text}, (bobs.id,))
    assert (texts(cube.list()), len(cube.list(state="archived"))) == (["Mira drowned a man."], 2)


def test_a_fork_that_is_dropped_leaves_its_base_what_that_merged(memos, cube, bobs):
    merged = cube.consolidate(MERGE).actions[0].into
    cube.freeze(merged)
    memos.as_principal("bob").forget_cube("mine")
    assert (cube.get(merged).text, len(cube.list(state="archived"))) == (SAME[1], 2)


def test_what_a_base_froze_and_a_fork_does_not_show_is_no_matter_to_the_fork(cube, bobs):
    cube.freeze(cube.consolidate(MERGE).actions[0].into)
    bobs.forget(bobs.list()[0].id)
    assert (texts(bobs.list()), cube.count()) == ([SAME[1]], 1)


def test_a_fork_that_forgets_its_copy_shows_the_merged_no_more_and_its_base_does(cube, twice):
    merged = cube.consolidate(MERGE).actions[0].into
    cube.revise(merged, "Mira drowned a man.")
    twig = cube.fork("twig")
    leaf = twig.fork("leaf")
    twig.restore(twice[0].id)
    assert twig.forget(twice[0].id).shared == (merged,)
    shown = [(texts(fork.list()), fork.list(state="archived")) for fork in (twig, leaf)]
    assert (shown, texts(cube.list())) == ([([SAME[1]], [])] * 2, ["Mira drowned a man."])


def test_what_a_fork_shows_frozen_is_not_ended_by_what_it_forgets(cube, twice):
    merged = cube.consolidate(MERGE).actions[0].into
    cube.freeze(merged)
    twig = cube.fork("twig")
    twig.restore(twice[0].id)
    with pytest.raises(IllegalTransition):
        twig.forget(twice[0].id)
    twig.unfreeze(merged)
    twig.forget(twice[0].id)
    assert cube.get(merged).state == "frozen"


def test_what_somebody_froze_in_a_fork_does_not_bind_its_base(cube, bobs):
    frozen = bobs.consolidate(MERGE).actions[0].into
    bobs.freeze(frozen)
    cube.forget(cube.list()[0].id)
    assert (texts(cube.list()), texts(bobs.list())) == ([SAME[1]], [SAME[1]])


# --- what stands behind, in forks and back in time --------------------------------------------


@pytest.fixture
def merged(cube, twice):
    """What the cube's two statements were merged into; "twig" is a fork from afterwards."""
    into = cube.consolidate(MERGE).actions[0].into
    cube.fork("twig")
    return into


def test_what_is_left_of_a_merge_comes_back_in_forks_too(memos, cube, twice, merged):
    twig, leaf = memos.cube("twig"), memos.cube("twig").fork("leaf")
    cube.forget(twice[0].id)
    shown = [(texts(each.list()), each.list(state="archived")) for each in (cube, twig, leaf)]
    assert shown == [([SAME[1]], [])] * 3


def test_what_is_left_comes_back_in_a_fork_with_a_copy_of_the_merged(memos, cube, twice, merged):
    twig = memos.cube("twig")
    twig.revise(merged, "Mira cannot swim at all.")
    cube.forget(twice[0].id)
    assert (texts(twig.list()), twig.list(state="archived")) == ([SAME[1]], [])


def test_a_fork_forgets_with_its_copy_what_stands_behind_it_and_its_base_nothing(memos, cube, merged):
    twig = memos.cube("twig")
    twig.revise(merged, "Mira cannot swim at all.")
    twig.forget(merged)
    assert (twig.list(), twig.list(state="archived")) == ([], [])
    assert (cube.count(), len(cube.list(state="archived"))) == (1, 2)


def test_a_fork_that_forgets_one_of_the_merged_gets_the_other_back(memos, cube, twice, merged):
    twig = memos.cube("twig")
    twig.forget(twice[0].id)
    assert (texts(twig.list()), twig.list(state="archived")) == ([SAME[1]], [])
    assert (cube.count(), len(cube.list(state="archived"))) == (1, 2)


def test_what_a_fork_restored_and_archived_itself_stays_when_it_forgets_the_merged(
    memos, cube, twice, merged
):
    twig = memos.cube("twig")
    twig.restore(twice[0].id)
    twig.archive(twice[0].id)
    twig.forget(merged)
    assert (twig.list(), texts(twig.list(state="archived"))) == ([], [SAME[0]])


def test_a_merge_brings_along_what_stands_behind(memos, cube, twice):
    twig = cube.fork("twig")
    twig.consolidate(MERGE)
    cube.merge(twig, on_conflict="theirs")
    cube.forget(cube.list()[0].id)
    assert (cube.list(), cube.list(state="archived")) == ([], [])
    assert (twig.list(), twig.list(state="archived")) == ([], [])


def test_back_at_a_snapshot_the_merged_stand_behind_it_as_they_did(cube, twice):
    cube.snapshot("told")
    run = cube.consolidate(MERGE)
    cube.snapshot("merged")
    cube.undo(run)
    cube.rollback("merged")
    cube.rollback("told")
    cube.rollback("merged")
    assert set(cube.forget(run.actions[0].into).memories) == {
        run.actions[0].into,
        *(each.id for each in twice),
    }
    assert (cube.list(), cube.list(state="archived")) == ([], [])


def test_back_at_a_snapshot_what_was_moved_before_it_stands_behind_nothing(cube, twice):
    run = cube.consolidate(MERGE)
    cube.undo(run)
    cube.archive(twice[0].id)
    cube.snapshot("moved")
    cube.restore(twice[0].id)
    cube.rollback("moved")
    cube.forget(run.actions[0].into)
    assert (texts(cube.list()), texts(cube.list(state="archived"))) == ([SAME[1]], [SAME[0]])


# --- rules that change ------------------------------------------------------------------------


def test_what_stands_behind_a_hidden_memory_is_hidden_with_it_and_stays_so(memos, cube, twice):
    cube.grant("bob", "read")
    run = cube.consolidate(MERGE)
    hidden = {"visibility": "private", "sensitivity": 9, "trust": "untrusted"}
    cube.classify(run.actions[0].into, **hidden)
    bobs = memos.as_principal("bob").cube(cube.name, owner=cube.owner)
    assert (bobs.list(), bobs.list(state="archived")) == ([], [])
    cube.classify(run.actions[0].into, visibility="shared", sensitivity=0)
    cube.undo(run)
    rules = [each.header.governance for each in cube.list()]
    assert [(each.visibility, each.sensitivity, each.trust) for each in rules] == [tuple(hidden.values())] * 2
    assert bobs.list() == []


def test_what_stands_behind_a_memory_is_shown_no_wider_with_it(cube):
    told = [cube.remember(words).id for words in SAME]
    run = cube.consolidate(MERGE)
    cube.classify(run.actions[0].into, visibility="shared", priority=3)
    behind = {each.id: each.header.governance for each in cube.list(state="archived")}
    assert [(behind[each].visibility, behind[each].priority) for each in told] == [("private", 0)] * 2


def test_a_fork_that_hides_what_it_shares_hides_what_stands_behind_it_there(memos, cube, twice):
    merged = cube.consolidate(MERGE).actions[0].into
    twig = cube.fork("twig")
    twig.grant("carol", "read")
    twig.classify(merged, visibility="private")
    carols = memos.as_principal("carol").cube("twig", owner=cube.owner)
    assert (carols.list(), carols.list(state="archived")) == ([], [])
    assert {each.header.governance.visibility for each in cube.list(state="archived")} == {"shared"}


def test_a_gist_that_a_fork_shares_goes_when_the_fork_hides_a_turn(memos, cube, clock):
    turns = talk(cube, clock)
    gist = cube.consolidate(GIST).actions[0].into
    twig = cube.fork("twig")
    twig.grant("carol", "read")
    twig.classify(turns[0].id, visibility="private")
    carols = memos.as_principal("carol").cube("twig", owner=cube.owner)
    assert (carols.list(where=GISTS), cube.get(gist).id) == ([], gist)


# --- a person ---------------------------------------------------------------------------------


def test_a_gist_of_words_that_were_revised_since_goes_with_who_said_them(memos, cube, clock):
    turns = talk(cube, clock, first="Bob")
    gist = cube.consolidate(GIST).actions[0].into
    cube.revise(turns[0].id, "The mill has a garden.")
    receipt = memos.forget_principal("Bob")
    assert (receipt.memories, cube.list(where=GISTS), cube.count()) == ((gist,), [], len(turns))
    assert TALK[0] in receipt.texts
    assert memos.verify_erasure(receipt, words=[TALK[0]]).ok


def test_what_was_merged_from_a_persons_words_goes_and_what_others_said_comes_back(memos, cube, clock):
    cube.grant("bob", "write")
    cube.remember(SAME[1], visibility="shared")
    clock.move(hours=1)
    revised = cube.remember(SAME[0], visibility="shared").id
    memos.as_principal("bob").cube(cube.name, owner=cube.owner).revise(revised, "Mira can not swim!")
    merged = cube.consolidate(MERGE).actions[0].into
    assert cube.get(merged).text == "Mira can not swim!"
    cube.restore(revised)
    cube.revise(revised, SAME[0])
    assert memos.forget_principal("bob").memories == (merged,)
    assert (texts(cube.list()), cube.list(state="archived")) == (sorted(SAME), [])


def test_a_gist_in_a_fork_goes_with_who_said_words_of_it(memos, cube, clock):
    turns = talk(cube, clock, first="Bob")
    twig = cube.fork("twig")
    twig.consolidate(GIST)
    cube.revise(turns[0].id, "The mill has a garden.")
    memos.forget_principal("Bob")
    assert twig.list(where=GISTS) == []


def test_a_fork_forgets_a_person_in_what_comes_back_with_it(memos, cube):
    for who in ("bob", "carol"):
        cube.grant(who, "write")
    bob = memos.as_principal("bob").cube(cube.name, owner=cube.owner)
    told, revised = (cube.remember(words, visibility="shared") for words in SAME)
    bob.remember(SAME[0])
    bob.revise(revised.id, "Mira can not swim!")
    cube.consolidate(MERGE)
    twig = memos.as_principal("carol").cube(cube.name, owner=cube.owner).fork("twig")
    memos.as_principal("carol").forget_principal("bob")
    assert (texts(twig.list()), twig.list(state="archived")) == ([SAME[0]], [])
    assert [each.speaker for each in twig.sources(told.id)] == [cube.owner]
    assert (cube.count(), len(cube.list(state="archived"))) == (1, 2)


def test_who_forgets_themselves_ends_nothing_that_an_admin_froze_and_is_told_what_is_left(memos, cube):
    cube.grant("bob", "write")
    bob = memos.as_principal("bob").cube(cube.name, owner=cube.owner)
    for words in (*SAME, "Mira sings."):
        bob.remember(words, visibility="shared")
    merged = cube.consolidate(MERGE).actions[0].into
    cube.freeze(merged)
    receipt = memos.as_principal("bob").forget_principal("bob")
    assert (receipt.texts, receipt.left, cube.get(merged).state) == (("Mira sings.",), 3, "frozen")
    assert len(memos.forget_principal("bob").memories) == 3  # an admin: frozen, too


def test_what_a_subscriber_made_and_froze_keeps_what_its_publisher_withdraws(memos, cube, clock, tmp_path):
    turns, there = talk(cube, clock), Store(tmp_path / "shop")
    there.publish(cube)
    mine = there.subscribe(memos.as_principal("ana"), cube.name)
    gist = mine.consolidate(GIST).actions[0].into
    mine.freeze(gist)
    cube.forget(turns[0].id)
    there.publish(cube)
    assert (there.update(mine).withdrawn, mine.get(gist).state) == (0, "frozen")
    mine.unfreeze(gist)
    cube.remember("Mira sings.")
    there.publish(cube)
    assert (there.update(mine).withdrawn, mine.list(where=GISTS)) == (1, [])


# --- taken back -------------------------------------------------------------------------------


def test_a_writer_takes_back_what_they_see_of_a_run_and_learns_of_nothing_else(memos, cube, twice):
    cube.grant("bob", "write")
    for year, town in enumerate(("Lisbon", "Porto"), start=2023):
        cube.remember(f"Mira lives in {town}.", at=datetime(year, 5, 1, tzinfo=UTC))
    run = cube.consolidate(ALL)
    bobs = memos.as_principal("bob").cube(cube.name, owner=cube.owner)
    assert (len(run.actions), bobs.undo(run.run).unlinked) == (2, 0)
    assert texts(bobs.list()) == sorted(SAME)
    assert cube.undo(run).unlinked == 1


def test_what_a_stranger_made_in_a_fork_keeps_nobody_from_undoing(memos, cube, twice):
    run = cube.consolidate(MERGE)
    cube.remember("Mira can not swim!", visibility="shared")
    cube.grant("bob", "read")
    bobs = memos.as_principal("bob").cube(cube.name, owner=cube.owner).fork("mine")
    bobs.consolidate(MERGE)
    cube.undo(run)
    assert (len(cube.list()), texts(bobs.list())) == (3, ["Mira can not swim!"])
