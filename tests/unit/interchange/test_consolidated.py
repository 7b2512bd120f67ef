"""A consolidated cube in another place: what was merged there is merged here, and can be forgotten."""

from __future__ import annotations

import pytest

from memos_core import NotFound, Relation, Store

SAID = ("Mira can't swim.", "Mira cannot swim", "Mira lives in Lisbon.", "Mira lives in Porto.")


@pytest.fixture
def run(cube, clock):
    """A run that merged two statements of `cube`, and linked two others."""
    for words in SAID:
        cube.remember(words)
        clock.move(days=1)
    return cube.consolidate()


@pytest.fixture
def moved(cube, run, elsewhere, tmp_path):
    """The cube in another store."""
    cube.dump(tmp_path / "notes.memcube")
    elsewhere.load(tmp_path / "notes.memcube")
    return elsewhere.cube("notes")


def shown(cube, state=None):
    return {each.id: each.text for each in (cube.list() if state is None else cube.list(state=state))}


def test_what_was_made_of_what_comes_along(cube, moved, run):
    merged = moved.get(run.actions[0].into)
    assert {link.target for link in merged.header.behaviour.lineage} == set(run.actions[0].sources)
    assert (shown(moved), shown(moved, "archived")) == (shown(cube), shown(cube, "archived"))
    newer, older = run.actions[1].sources
    found = [each.id for each in moved.recall("Mira lives in Lisbon", k=5).memories]
    assert found.index(newer) < found.index(older)
    link = moved.get(newer).header.behaviour.lineage[0]
    assert (link.relation, link.target) == (Relation.SUPERSEDES, older)
    assert moved.consolidate().actions == ()


def test_what_was_merged_there_is_forgotten_with_it_here(moved, run):
    moved.forget(run.actions[0].into)
    assert set(shown(moved).values()) == set(SAID[2:])
    assert shown(moved, "archived") == {}


def test_forgetting_one_of_the_merged_lets_the_other_come_back_here(moved, run):
    gone, left = run.actions[0].sources
    erasure = moved.forget(gone)
    assert set(erasure.memories) == {gone, run.actions[0].into}
    assert (left in shown(moved), shown(moved, "archived")) == (True, {})


def test_a_merge_that_was_taken_back_there_stands_for_nothing_here(cube, run, elsewhere, tmp_path):
    cube.undo(run)
    cube.archive(run.actions[0].sources[0])
    cube.dump(tmp_path / "notes.memcube")
    elsewhere.load(tmp_path / "notes.memcube")
    moved = elsewhere.cube("notes")
    moved.forget(run.actions[0].into)
    assert (len(shown(moved)), len(shown(moved, "archived"))) == (3, 1)


def test_what_was_merged_is_forgotten_with_it_where_it_came_in_in_the_archive(
    cube, run, clock, elsewhere, tmp_path
):
    cube.archive(run.actions[0].into)
    cube.dump(tmp_path / "notes.memcube")
    elsewhere.load(tmp_path / "notes.memcube")
    moved = elsewhere.cube("notes")
    moved.forget(run.actions[0].into)
    assert shown(moved, "archived") == {}


@pytest.mark.parametrize("by", ["publication", "file"])
def test_what_was_merged_stands_behind_what_takes_its_place(memos, cube, run, elsewhere, tmp_path, by):
    merged, there = run.actions[0].into, Store(tmp_path / "shop")
    there.publish(cube)
    mine = there.subscribe(elsewhere, "notes") if by == "publication" else cube
    cube.dump(tmp_path / "notes.memcube")
    cube.revise(merged, "Mira cannot swim at all.")
    if by == "publication":
        there.publish(cube)
        there.update(mine)
    else:
        memos.load(tmp_path / "notes.memcube", on_conflict="replace")
    mine.forget(merged)
    assert shown(mine, "archived") == {}


def test_an_update_follows_a_publisher_who_forgot_one_of_the_merged(cube, run, elsewhere, tmp_path):
    there = Store(tmp_path / "shop")
    there.publish(cube)
    mine = there.subscribe(elsewhere, "notes")
    cube.forget(run.actions[0].sources[0])
    there.publish(cube)
    there.update(mine)
    assert (shown(mine), shown(mine, "archived")) == (shown(cube), {})


def test_a_file_puts_nothing_behind_that_was_here(memos, cube, elsewhere, tmp_path):
    there = elsewhere.cube("notes")
    there.archive(there.remember(SAID[0]).id)
    there.dump(tmp_path / "before.memcube")
    memos.load(tmp_path / "before.memcube")
    there.restore(there.list(state="archived")[0].id)
    there.remember(SAID[1])
    merged = there.consolidate().actions[0].into
    there.dump(tmp_path / "notes.memcube")
    memos.load(tmp_path / "notes.memcube", on_conflict="skip")
    cube.forget(merged)
    assert list(shown(cube, "archived").values()) == [SAID[0]]


def test_a_run_is_undone_where_it_was_done_and_here_by_hand(cube, moved, run):
    for given in (run, run.run):
        with pytest.raises(NotFound, match="archive what it wrote and restore what it put away"):
            moved.undo(given)
    merge = run.actions[0]
    moved.archive(merge.into)
    for each in merge.sources:
        moved.restore(each)
    assert set(shown(moved).values()) == set(SAID)
    assert moved.consolidate().actions == ()


def test_a_run_of_another_cube_is_not_taken_for_one_of_this(memos, cube, run):
    with pytest.raises(NotFound, match="undone in the cube that it was done in"):
        memos.cube("another").undo(run)
