"""A cube through time: its states have names, are looked at, compared and gone back to."""

from __future__ import annotations

from datetime import timedelta

import pytest

from memos_core import (
    Entry,
    IllegalTransition,
    InvalidInput,
    Message,
    NotFound,
    QuotaExceeded,
    Snapshot,
    State,
    Where,
)
from memos_core.embed import CallableEmbedder
from memos_core.testing import HashEmbedder

pytestmark = pytest.mark.databases


def ids(memories):
    return [memory.id for memory in memories]


def texts(memories):
    return [memory.text for memory in memories]


def told(recall):
    return [(hit.memory.id, hit.memory.text, hit.score, str(hit.why)) for hit in recall]


@pytest.fixture(params=[512 << 20, 0], ids=["resident", "proposed"])
def both(open_memos, request):
    """A store whose cubes are answered from RAM, and one whose indexes propose."""
    return open_memos(resident_bytes=request.param)


@pytest.fixture
def told_cube(both):
    """A cube with statements and a conversation."""
    cube = both.cube("notes")
    cube.remember("Mira lives in Lisbon", tags=["home"])
    cube.remember("Mira has a red bicycle")
    cube.ingest(
        [
            Message("Ana", "The harbour is cold"),
            Message("Bo", "Is it? And the ferry?"),
            Message("Ana", "Too"),
        ],
        session="s",
    )
    return cube


def change(cube):
    """Do everything to a cube that can be brought back."""
    home, bicycle, cold, *_ = cube.list()
    cube.revise(home.id, "Mira lives in Porto", tags=["city"], kind="move")
    cube.archive(bicycle.id)
    new = cube.remember("Mira lives by the harbour")
    cube.link(new.id, "supersedes", home.id)
    cube.revise(cold.id, "The harbour is warm now")
    cube.ingest([Message("Bo", "I will take the ferry")], session="s")


# --- snapshots --------------------------------------------------------------------------------


def test_a_snapshot_is_a_row_with_a_label(memos, cube, catalog_rows, clock):
    cube.remember("one")
    memos.drain()  # or the index is paid for meanwhile
    before = catalog_rows(memos)
    made = cube.snapshot("first")
    after = catalog_rows(memos)
    assert made == Snapshot(cube=cube.id, label="first", change=1, at=clock.now, by="local")
    assert cube.snapshots() == [made]
    changed = {name: len(after[name]) - len(before[name]) for name in after if after[name] != before[name]}
    assert {name: n for name, n in changed.items() if n} == {"snapshots": 1, "audit": 1}


def test_snapshots_are_listed_from_the_oldest_and_dropped_by_label(cube):
    for label in ("b", "a"):
        cube.remember(label)
        cube.snapshot(label)
    cube.drop_snapshot("b")
    assert [each.label for each in cube.snapshots()] == ["a"]
    with pytest.raises(NotFound, match="no snapshot 'b'"):
        cube.recall("x", at="b")


def test_a_label_is_given_once(cube):
    cube.snapshot("first")
    with pytest.raises(InvalidInput, match="drop_snapshot"):
        cube.snapshot("first")


LOOKS = {
    "recall": lambda cube, at: cube.recall("x", at=at),
    "get": lambda cube, at: cube.get(cube.list()[0].id, at=at),
    "list": lambda cube, at: cube.list(at=at),
    "diff": lambda cube, at: cube.diff(at),
    "rollback": lambda cube, at: cube.rollback(at),
}


@pytest.mark.parametrize("verb", LOOKS)
def test_a_label_that_nobody_gave_and_a_snapshot_of_another_cube_do_not_exist(memos, cube, verb):
    cube.remember("one")
    foreign = memos.cube("other").snapshot("theirs")
    for at in ("never", foreign):
        with pytest.raises(NotFound):
            LOOKS[verb](cube, at)


# --- looking at the past ------------------------------------------------------------------------


def test_the_past_is_ranked_as_it_was(told_cube):
    queries = ["Where does Mira live?", "Is the harbour cold?", "bicycle", "ferry"]
    before = [told(told_cube.recall(query, k=9)) for query in queries]
    told_cube.snapshot("then")
    change(told_cube)
    assert [told(told_cube.recall(query, k=9, at="then")) for query in queries] == before


def test_the_past_is_listed_as_it_was(told_cube):
    before = told_cube.list()
    then = told_cube.snapshot("then")
    change(told_cube)
    assert told_cube.list(at=then) == before
    assert [told_cube.get(each.id, at=then) for each in before] == before
    assert texts(told_cube.list(where=Where(tags=("home",)), at=then)) == ["Mira lives in Lisbon"]
    assert told_cube.list(where=Where(tags=("city",)), at=then) == []


def test_a_filter_holds_in_the_past(told_cube):
    told_cube.snapshot("then")
    change(told_cube)
    found = told_cube.recall("Mira", where=Where(tags=("home",)), at="then")
    assert found.texts == ["Mira lives in Lisbon"]
    assert told_cube.recall("Mira", where=Where(tags=("city",)), at="then").hits == ()


def test_a_budget_is_kept_in_the_past(told_cube):
    before = told(told_cube.recall("harbour ferry", budget=40))
    told_cube.snapshot("then")
    change(told_cube)
    assert told(told_cube.recall("harbour ferry", budget=40, at="then")) == before


def test_a_moment_names_the_state_that_was_then(cube, clock):
    start = clock.now
    clock.move(hours=1)
    memory = cube.remember("first words")
    clock.move(hours=1)
    cube.revise(memory.id, "second words")
    found = [texts(cube.list(at=start + timedelta(minutes=30 + 60 * n))) for n in range(3)]
    assert found == [[], ["first words"], ["second words"]]


def test_what_is_forgotten_or_expired_is_gone_from_the_past(memos, cube, clock):
    secret = cube.remember("the password is sturgeon")
    cube.remember("a brief word", ttl=timedelta(1))
    kept = cube.remember("kept")
    cube.snapshot("then")
    cube.forget(secret.id)
    clock.move(days=2)
    overdue = ids(cube.list(at="then")), ids(cube.recall("password brief word", at="then").memories)
    memos.upkeep()
    assert (*overdue, ids(cube.list(at="then"))) == ([kept.id], [kept.id], [kept.id])


def test_who_may_see_a_memory_is_a_matter_of_today(memos):
    ana = memos.as_principal("ana").cube("notes")
    ana.grant("eve", "read")
    shown, hidden = (ana.remember(words, visibility="shared") for words in ("for all", "for me after all"))
    late = ana.remember("for all at last")
    ana.snapshot("then")
    ana.classify(hidden.id, visibility="private")
    ana.classify(late.id, visibility="shared")
    eve = memos.as_principal("eve").cube("notes", owner="ana")
    assert ids(eve.list(at="then")) == [shown.id, late.id]
    assert set(ids(eve.recall("for", at="then").memories)) == {shown.id, late.id}


def test_looking_back_counts_no_use(memos, cube):
    memory = cube.remember("one")
    cube.snapshot("then")
    cube.recall("one", at="then")
    memos._core.recaller.write_uses()
    assert cube.get(memory.id).header.behaviour.hits == 0


def test_earlier_words_are_found_after_a_change_of_embedder(memos, cube):
    memory = cube.remember("the lighthouse is red")
    cube.snapshot("then")
    cube.revise(memory.id, "the baker is kind")
    counted = []

    def embed(texts):
        counted.extend(texts)
        return HashEmbedder(dimensions=64).embed(texts)

    memos.reindex(embedder=CallableEmbedder(embed, identity="another@1", dimensions=64))
    counted.clear()
    assert cube.recall("lighthouse", at="then").texts == ["the lighthouse is red"]
    assert counted == ["lighthouse"] or counted == []


def test_keys_that_nobody_kept_are_made_once(memos, cube, embedder, monkeypatch):
    memory = cube.remember("the lighthouse is red")
    cube.snapshot("then")
    cube.revise(memory.id, "the baker is kind")
    with memos._core.catalog.connection() as connection:
        connection.exec_driver_sql("DELETE FROM former_keys")
    found = [cube.recall("lighthouse", at="then").texts for _ in range(2)]
    with memos._core.catalog.connection() as connection:
        kept = connection.exec_driver_sql("SELECT count(*) FROM former_keys").scalar()
    assert (found, kept) == ([["the lighthouse is red"]] * 2, 1)


# --- differences --------------------------------------------------------------------------------


def test_a_diff_tells_what_was_added_revised_moved_and_forgotten(cube, clock):
    one, two, three = (cube.remember(f"{word} words\nare here") for word in ("first", "second", "third"))
    cube.snapshot("a")
    new = cube.remember("new words")
    cube.revise(one.id, "other words\nare here")
    cube.archive(two.id)
    cube.forget(three.id)
    found = cube.diff("a")
    assert ids(found.added) == [new.id]
    assert [(each.before.version, each.after.version, each.text_diff) for each in found.revised] == [
        (1, 2, "--- version 1\n+++ version 2\n@@ -1,2 +1,2 @@\n-first words\n+other words\n are here")
    ]
    assert [(m.after.id, m.before.state, m.after.state) for m in found.moved] == [
        (two.id, State.GENERATED, State.ARCHIVED)
    ]
    assert [(g.memory_id, g.at, g.by, g.why) for g in found.gone] == [
        (three.id, clock.now, "local", "forgotten")
    ]


def test_between_two_states_only_what_happened_between_counts(cube):
    memory = cube.remember("one")
    cube.snapshot("a")
    cube.revise(memory.id, "two")
    cube.snapshot("b")
    cube.revise(memory.id, "three")
    cube.remember("new")
    found = cube.diff("a", "b")
    assert [(each.before.text, each.after.text) for each in found.revised] == [("one", "two")]
    assert (found.added, found.moved, found.gone) == ((), (), ())


def test_nothing_changed_is_false(cube):
    cube.remember("one")
    cube.snapshot("a")
    assert not cube.diff("a")
    cube.remember("two")
    assert cube.diff("a")


def test_a_diff_goes_forward(cube):
    cube.snapshot("a")
    cube.remember("one")
    cube.snapshot("b")
    with pytest.raises(InvalidInput, match="earlier one first"):
        cube.diff("b", "a")


def test_what_others_erased_is_told_to_admins_only(memos):
    ana = memos.as_principal("ana").cube("notes")
    secret = ana.remember("hers alone")
    ana.grant("eve", "write")
    ana.snapshot("a")
    ana.forget(secret.id)
    assert memos.as_principal("eve").cube("notes", owner="ana").diff("a").gone == ()
    assert [each.memory_id for each in ana.diff("a").gone] == [secret.id]


# --- going back ---------------------------------------------------------------------------------


def test_a_rollback_brings_words_states_and_links_back(told_cube):
    before, found = told_cube.list(), told(told_cube.recall("Where does Mira live?", k=9))
    told_cube.snapshot("then")
    change(told_cube)
    done = told_cube.rollback("then")
    after = told_cube.list()

    def said(memories):
        return [(m.id, m.text, m.kind, m.tags, m.state, m.header.behaviour.lineage) for m in memories]

    assert said(after) == said(before)
    assert told(told_cube.recall("Where does Mira live?", k=9)) == found
    assert (len(done.revised), len(done.moved), len(done.archived)) == (2, 1, 2)
    assert not told_cube.diff("then")


def test_nothing_is_lost_by_a_rollback(told_cube):
    told_cube.snapshot("then")
    change(told_cube)
    later = told_cube.snapshot("later")
    after = told_cube.list()
    told_cube.rollback("then")
    home = told_cube.list()[0]
    assert texts(told_cube.history(home.id)) == [
        f"Mira lives in {place}" for place in ("Lisbon", "Porto", "Lisbon")
    ]
    told_cube.rollback(later)
    assert texts(told_cube.list()) == texts(after)
    assert [m.header.behaviour.lineage and 1 for m in told_cube.list()] == [
        m.header.behaviour.lineage and 1 for m in after
    ]


def test_a_rollback_embeds_nothing(memos, cube, monkeypatch):
    memory = cube.remember("one")
    cube.snapshot("then")
    cube.revise(memory.id, "two")
    monkeypatch.setattr("memos_core.reader.rewinding.keys_of", None)
    cube.rollback("then")
    assert cube.recall("one").texts == ["one"]


def test_what_was_erased_stays_erased_and_is_told(memos, cube, clock):
    gone, brief = cube.remember("sturgeon"), cube.remember("brief", ttl=timedelta(1))
    kept = cube.remember("kept")
    cube.snapshot("then")
    cube.revise(kept.id, "changed")
    cube.forget(gone.id)
    clock.move(days=2)
    memos.upkeep()
    done = cube.rollback("then")
    assert texts(cube.list()) == ["kept"]
    assert [(each.memory_id, each.why) for each in done.gone] == [
        (gone.id, "forgotten"),
        (brief.id, "expired"),
    ]


def test_what_is_frozen_stays_as_it_is_and_is_told(cube):
    memory = cube.remember("one")
    cube.snapshot("then")
    cube.revise(memory.id, "two")
    cube.freeze(memory.id)
    done = cube.rollback("then")
    assert (done.frozen, done.revised, cube.get(memory.id).text) == ((memory.id,), (), "two")


def test_what_was_frozen_then_is_frozen_again(cube):
    memory = cube.remember("one")
    cube.freeze(memory.id)
    cube.snapshot("then")
    cube.unfreeze(memory.id)
    cube.revise(memory.id, "two")
    cube.rollback("then")
    again = cube.get(memory.id)
    assert (again.text, again.state) == ("one", State.FROZEN)


def test_who_may_see_a_memory_is_not_brought_back(cube):
    memory = cube.remember("one", visibility="public")
    cube.snapshot("then")
    cube.classify(memory.id, visibility="private", sensitivity=9)
    cube.revise(memory.id, "two")
    cube.rollback("then")
    rules = cube.get(memory.id).header.governance
    assert (cube.get(memory.id).text, rules.visibility, rules.sensitivity) == ("one", "private", 9)


def test_values_under_keys_stay_as_they_are(cube):
    cube.records.put([Entry(key="k", data={"n": 1}, texts=("salt",))])
    cube.snapshot("then")
    cube.records.put([Entry(key="k", data={"n": 2}, texts=("pepper",))])
    cube.records.put([Entry(key="new", data={"n": 3}, texts=("cumin",))])
    assert not cube.diff("then")
    cube.rollback("then")
    assert {key: each.data for key, each in cube.records.get(["k", "new"]).items()} == {
        "k": {"n": 2},
        "new": {"n": 3},
    }
    assert [each.record.key for each in cube.records.recall("pepper", k=1)] == ["k"]


def test_a_rollback_over_the_quota_changes_nothing(memos, cube, catalog_rows):
    memory = cube.remember("many words are here")
    cube.snapshot("then")
    cube.revise(memory.id, "few")
    cube.limit(text_bytes=3)
    memos.drain()
    before = catalog_rows(memos)
    with pytest.raises(QuotaExceeded):
        cube.rollback("then")
    assert catalog_rows(memos) == before


def test_a_memory_goes_back_to_a_version(cube):
    memory = cube.remember("one", tags=["a"])
    cube.revise(memory.id, "two", tags=["b"])
    again = cube.revert(memory.id, to=1)
    assert (again.version, again.text, again.tags) == (3, "one", ("a",))
    assert texts(cube.history(memory.id)) == ["one", "two", "one"]
    assert cube.recall("one").texts == ["one"]
    assert cube.revert(memory.id, to=1) == again


def test_a_memory_as_it_was_is_gone_back_to(cube):
    old = cube.remember("one")
    cube.revise(old.id, "two")
    assert cube.rollback(old).text == "one"


def test_a_version_that_never_was_does_not_exist(cube):
    memory = cube.remember("one")
    with pytest.raises(NotFound, match="no version '2 of"):
        cube.revert(memory.id, to=2)


def test_a_frozen_memory_does_not_go_back(cube):
    memory = cube.remember("one")
    cube.revise(memory.id, "two")
    cube.freeze(memory.id)
    with pytest.raises(IllegalTransition, match="revert"):
        cube.revert(memory.id, to=1)


def test_stating_it_again_keeps_the_keys(cube):
    memory = cube.remember("one")
    cube.snapshot("then")
    cube.remember("one", tags=["more"])
    cube.revise(memory.id, "two")
    cube.rollback("then")
    assert (cube.get(memory.id).tags, cube.recall("one").texts) == ((), ["one"])
