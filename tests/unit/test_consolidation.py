"""Consolidation through the public face: what is done, what is not, what it leaves, and what undoes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from memos_core import (
    Act,
    Allowance,
    Consolidating,
    IllegalTransition,
    InvalidInput,
    Message,
    NotFound,
    State,
    Where,
    consolidating,
)

pytestmark = pytest.mark.databases

MERGE = Consolidating(supersede=False, rest=None, quiet=None)
SUPERSEDE = Consolidating(merge=False, rest=None, quiet=None)
ARCHIVE = Consolidating(merge=False, supersede=False, rest=timedelta(days=30), quiet=None)
GIST = Consolidating(merge=False, supersede=False, rest=None, quiet=timedelta(days=7), turns=3, least=6)
ALL = Consolidating(turns=3, least=6)
TALK = [
    "The garden behind the mill has apple trees and a stone wall",
    "My brother planted the apple trees in the garden long ago",
    "Yesterday the ferry was late again because of the fog",
    "The stone wall of the garden was built by our grandfather",
    "We pick apples from the trees in the garden every autumn",
    "The fog stays over the harbour until the ferry has left",
    "Our grandfather sold apples at the market near the harbour",
    "What did he do with the money?",
    "He bought the mill and the garden with the apple money",
]


def acts(done):
    return [each.act for each in done.actions]


def texts(memories):
    return sorted(memory.text for memory in memories)


def talk(cube, clock, *, session="s1", **more):
    messages = [
        Message("Ana" if n % 2 else "Ben", text, at=clock() + timedelta(minutes=n), id=f"{session}{n}")
        for n, text in enumerate(TALK)
    ]
    return cube.ingest(messages, session=session, **more)


@pytest.fixture
def twice(cube, clock):
    """A cube that was told the same twice, in other words."""
    first = cube.remember("Mira can't swim.", tags=["water"], priority=2)
    clock.move(days=1)
    return first, cube.remember("Mira cannot swim", tags=["sport"], sensitivity=3)


def test_what_says_the_same_becomes_one_with_lineage_to_both(cube, twice):
    done = cube.consolidate(MERGE)
    merged = cube.list()[0]
    rules = merged.header.governance
    assert (acts(done), cube.count(), merged.text) == ([Act.MERGE], 1, "Mira cannot swim")
    assert {link.target for link in merged.header.behaviour.lineage} == {each.id for each in twice}
    assert (merged.tags, rules.priority, rules.sensitivity) in [
        (tags, 2, 3) for tags in (("water", "sport"), ("sport", "water"))
    ]
    assert done.actions[0].into == merged.id
    assert {each.id for each in cube.list(state="archived")} == {each.id for each in twice}


def test_a_second_run_does_nothing(cube, clock, twice):
    talk(cube, clock)
    cube.remember("Ana lives in Porto.")
    clock.move(days=400)
    cube.remember("Ana lives in Lisbon.")
    assert set(acts(cube.consolidate(ALL))) == set(Act)
    before = [(each.id, each.version, each.state) for each in cube.list()]
    again = cube.consolidate(ALL)
    assert (again.actions, again.run) == ((), None)
    assert [(each.id, each.version, each.state) for each in cube.list()] == before


def test_a_dry_run_tells_and_changes_nothing(cube, twice):
    before = cube.changes().upto
    done = cube.consolidate(dry_run=True)
    assert (acts(done), done.run, done.actions[0].into) == ([Act.MERGE], None, None)
    assert (cube.changes().upto, cube.count()) == (before, 2)


@pytest.mark.parametrize("budget", [Allowance(changes=0), Allowance(seconds=0)])
def test_no_budget_is_no_change(cube, twice, budget):
    assert (cube.consolidate(budget=budget).actions, cube.count()) == ((), 2)


def test_a_budget_is_kept_and_the_next_run_goes_on(cube):
    for word in ("tea", "milk", "rye"):
        cube.remember(f"Mira buys {word}.")
        cube.remember(f"Mira buys the {word}")
    first = cube.consolidate(MERGE, budget=Allowance(changes=2))
    rest = cube.consolidate(MERGE, budget=Allowance(changes=2))
    assert (len(first.actions), first.left, len(rest.actions), rest.left, cube.count()) == (2, 1, 1, 0, 3)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Mira has 2 cats.", "Mira has 3 cats."),
        ("Mira likes tea.", "Mira does not like tea."),
        ("Mira likes tea.", "Mara likes tea."),
        ("Ana loves Ben.", "Ben loves Ana."),
        ("Mira leaves in May.", "Mira leaves in June."),
        ("Mira left.", "Mira leaves."),
        ("Mira likes red wine.", "Mira likes white wine."),
        ("Mira speaks Polish.", "Mira speaks polish."),
        ("The rent is 1,200 euros.", "The rent is 12,00 euros."),
        ("Is Mira ill?", "Mira is ill."),
        ("Mira is always late.", "Mira is never late."),
        ("Mira owes Ben $5.", "Mira owes Ben 5."),
    ],
)
def test_words_that_count_keep_statements_apart(cube, one, other):
    cube.remember(one)
    cube.remember(other)
    assert cube.consolidate(MERGE).actions == ()


@pytest.mark.parametrize(
    "other",
    [
        {"visibility": "shared"},
        {"trust": "untrusted"},
        {"kind": "rumour"},
        {"at": datetime(2024, 5, 1, tzinfo=UTC)},
        {"ttl": timedelta(days=3)},
    ],
)
def test_what_is_under_other_rules_is_not_merged(cube, other):
    cube.remember("Mira cannot swim.")
    cube.remember("Mira can't swim", **other)
    assert cube.consolidate(MERGE).actions == ()


def test_nobodys_words_are_merged_with_anothers(memos):
    ana = memos.as_principal("ana").cube("shared")
    ana.grant("eve", "write")
    ana.remember("Mira cannot swim.", visibility="shared")
    eve = memos.as_principal("eve").cube("shared", owner="ana")
    eve.remember("Mira can't swim", visibility="shared")
    assert (ana.consolidate(MERGE).actions, eve.consolidate(MERGE).actions) == ((), ())


def test_what_is_merged_by_somebody_else_stays_its_owners(memos):
    ana = memos.as_principal("ana").cube("shared")
    ana.grant("eve", "write")
    ana.remember("Mira cannot swim.", visibility="shared")
    ana.remember("Mira can't swim", visibility="shared")
    eve = memos.as_principal("eve").cube("shared", owner="ana")
    eve.consolidate(MERGE)
    assert [each.header.governance.owner for each in ana.list()] == ["ana"]
    memos.as_principal("eve").forget_principal("eve")
    assert ana.count() == 1


def test_frozen_and_spoken_words_are_not_merged(cube, twice):
    cube.freeze(twice[0].id)
    cube.ingest([Message("Ana", "Mira sings.", id="1"), Message("Ana", "Mira sings", id="2")], session="s")
    assert cube.consolidate(MERGE).actions == ()


# --- contradictions --------------------------------------------------------------------------


def test_of_two_that_contradict_each_other_the_newer_is_ranked_above(cube, clock):
    older = cube.remember("Mira lives in Lisbon.")
    clock.move(days=1)
    newer = cube.remember("Mira lives in Porto.")
    done = cube.consolidate(SUPERSEDE)
    found = [each.id for each in cube.recall("Mira lives in Lisbon", k=5).memories]
    assert (acts(done), done.actions[0].sources) == ([Act.SUPERSEDE], (newer.id, older.id))
    assert (found, cube.count()) == ([newer.id, older.id], 2)


@pytest.mark.parametrize(
    "newer",
    [
        "Mira lives in a small flat.",
        "Mira lives in Lisbon, Portugal.",
        "Ana lives in Porto.",
        "Mira may live in Porto.",
        "Mira lives in Porto or Faro.",
        "Mira lives in Porto. She likes it.",
        "Mira moved to Porto once.",
        "Does Mira live in Porto?",
        "Mira lives in Porto again.",
        "Mira visited Porto.",
    ],
)
def test_what_may_both_be_true_is_no_contradiction(cube, clock, newer):
    cube.remember("Mira lives in Lisbon.")
    clock.move(days=1)
    cube.remember(newer)
    assert cube.consolidate(SUPERSEDE).actions == ()


def test_what_is_not_trusted_outdates_nothing(cube, clock):
    cube.remember("Mira lives in Lisbon.")
    clock.move(days=1)
    cube.remember("Mira lives in Porto.", trust="untrusted")
    assert cube.consolidate(SUPERSEDE).actions == ()


def test_merges_and_contradictions_meet(cube, clock):
    for words in ("Mira resides in Lisbon", "Mira lives in Lisbon."):
        cube.remember(words)
        clock.move(days=1)
    newer = cube.remember("Mira lives in Porto.")
    done = cube.consolidate()
    merged = next(each.into for each in done.actions if each.act is Act.MERGE)
    assert done.actions[-1].sources == (newer.id, merged)
    assert [each.id for each in cube.recall("Lisbon", k=5).memories] == [newer.id, merged]


# --- the archive -----------------------------------------------------------------------------


def test_what_nobody_used_for_long_is_put_away_but_what_is_pinned(cube, clock):
    away, high, used = (
        cube.remember(words, priority=level)
        for words, level in (("old words", 0), ("dear words", 1), ("words in use", 0))
    )
    frozen = cube.remember("kept words")
    cube.freeze(frozen.id)
    clock.move(days=29)
    cube.recall("words in use", k=1)
    clock.move(days=2)
    done = cube.consolidate(ARCHIVE)
    assert [each.sources for each in done.actions] == [(away.id,)]
    assert {each.id for each in cube.list()} == {high.id, used.id, frozen.id}


def test_what_is_newer_is_never_put_away_before_what_it_replaces(cube, clock):
    newer, older = cube.remember("the gate is green"), cube.remember("the gate is red", priority=1)
    cube.link(newer.id, "supersedes", older.id)
    clock.move(days=60)
    kept = cube.consolidate(ARCHIVE).actions
    cube.classify(older.id, priority=0)
    gone = [each.sources for each in cube.consolidate(ARCHIVE).actions]
    assert (kept, gone) == ((), [(older.id,), (newer.id,)])


# --- gists -----------------------------------------------------------------------------------


def test_an_old_session_gets_a_gist_of_its_own_words_beside_its_turns(cube, clock):
    turns = talk(cube, clock)
    clock.move(days=8)
    done = cube.consolidate(GIST)
    gist = cube.get(done.actions[0].into)
    said = {f"{each.speaker}: {each.text}" for each in turns}
    assert (acts(done), gist.kind, gist.session, cube.count()) == ([Act.GIST], "gist", "s1", len(turns) + 1)
    assert len(gist.text.splitlines()) == 3
    assert set(gist.text.splitlines()) <= said
    assert sum("garden" in line or "apple" in line for line in gist.text.splitlines()) >= 2


def test_a_gist_is_found_by_who_asks_for_gists_only(cube, clock):
    talk(cube, clock)
    clock.move(days=8)
    into = cube.consolidate(GIST).actions[0].into
    plain = {each.kind for each in cube.recall("apple garden", k=20).memories}
    asked = [each.id for each in cube.recall("apple garden", where=Where(kinds=["gist"])).memories]
    assert (plain, asked) == ({"message"}, [into])


def test_a_session_that_goes_on_gets_another_gist(cube, clock):
    talk(cube, clock)
    clock.move(days=8)
    first = cube.consolidate(GIST).actions[0].into
    clock.move(hours=1)
    cube.ingest([Message("Ana", "The mill burned down and the apple trees with it")], session="s1")
    young = cube.consolidate(GIST).actions
    clock.move(days=8)
    second = cube.consolidate(GIST).actions[0].into
    assert (young, [each.id for each in cube.list(where=Where(kinds=["gist"]))]) == ((), [second])
    assert [each.id for each in cube.list(state="archived")] == [first]


def test_two_runs_at_once_write_one_gist(cube, clock, monkeypatch):
    talk(cube, clock)
    clock.move(days=8)
    keys_of = consolidating.keys_of

    def meanwhile(*given):
        monkeypatch.setattr(consolidating, "keys_of", keys_of)
        assert acts(cube.consolidate(GIST)) == [Act.GIST]
        return keys_of(*given)

    monkeypatch.setattr(consolidating, "keys_of", meanwhile)
    done = cube.consolidate(GIST)
    assert (done.actions, done.run, cube.count()) == ((), None, len(TALK) + 1)


def test_a_gist_is_trusted_as_its_least_trusted_turn(cube, clock):
    talk(cube, clock, trust="untrusted")
    clock.move(days=8)
    assert cube.get(cube.consolidate(GIST).actions[0].into).trust == "untrusted"


def test_a_turn_that_only_its_being_frozen_keeps_stands_in_no_gist_and_hinders_none(cube, clock):
    cube.limit(ttl=timedelta(days=10))
    first = cube.ingest([Message("Ana", "The mill burned down and the apple trees with it")], session="s1")[0]
    cube.freeze(first.id)
    clock.move(days=1)
    turns = talk(cube, clock)
    clock.move(days=9)
    cube.remember("Mira cannot swim.")
    cube.remember("Mira can't swim")
    done = cube.consolidate(Consolidating(turns=8, least=8, rest=None))
    assert (acts(done), cube.get(first.id).text) == ([Act.MERGE, Act.GIST], first.text)
    assert set(done.actions[1].sources) < {each.id for each in turns}


def test_a_gist_ends_when_a_turn_is_hidden(cube, clock):
    talk(cube, clock, visibility="shared")
    clock.move(days=8)
    quoted = cube.consolidate(GIST).actions[0].sources[0]
    cube.classify(quoted, visibility="private")
    assert cube.list(where=Where(kinds=["gist"])) == []


# --- taken back ------------------------------------------------------------------------------


def test_a_run_is_undone_whole_and_not_done_again(cube, clock, twice):
    talk(cube, clock)
    older = cube.remember("Ana lives in Porto.")
    clock.move(days=400)
    newer = cube.remember("Ana lives in Lisbon.")
    before = [(each.id, each.text, each.version) for each in cube.list()]
    done = cube.consolidate(ALL)
    assert set(acts(done)) == set(Act)
    undone = cube.undo(done)
    after = [(each.id, each.text, each.version) for each in cube.list()]
    assert (after, undone.run, undone.unlinked) == (before, done.run, 1)
    assert cube.get(newer.id).header.behaviour.lineage == ()
    assert cube.get(older.id).state is State.GENERATED
    assert cube.consolidate(ALL).actions == ()


def test_a_succession_taken_back_with_its_merge_is_not_told_of_the_statements_either(cube, clock):
    for words in ("Mira resides in Lisbon", "Mira lives in Lisbon.", "Mira lives in Porto."):
        cube.remember(words)
        clock.move(days=1)
    done = cube.consolidate()
    assert acts(done) == [Act.MERGE, Act.SUPERSEDE]
    cube.undo(done)
    assert cube.consolidate().actions == ()


def test_statements_whose_merge_was_taken_back_are_left_alone_and_others_are_not(cube, clock, twice):
    cube.undo(cube.consolidate(MERGE))
    others = [cube.remember(words).id for words in ("Mira can not swim!", "Mira can't really swim")]
    done = cube.consolidate(MERGE)
    assert [each.sources for each in done.actions] == [tuple(others)]
    assert cube.consolidate(MERGE).actions == ()


def test_a_gist_that_was_taken_back_is_not_written_again_in_the_place_of_the_one_before(cube, clock):
    talk(cube, clock)
    clock.move(days=8)
    first = cube.consolidate(GIST).actions[0].into
    clock.move(hours=1)
    cube.ingest([Message("Ana", "The mill burned down and the apple trees with it")], session="s1")
    clock.move(days=8)
    cube.undo(cube.consolidate(GIST))
    gists = [each.id for each in cube.list(where=Where(kinds=["gist"]))]
    assert (gists, cube.consolidate(GIST).actions) == ([first], ())
    clock.move(hours=1)
    cube.ingest([Message("Ben", "We will plant new apple trees behind the mill")], session="s1")
    clock.move(days=8)
    assert acts(cube.consolidate(GIST)) == [Act.GIST]


def test_what_was_done_since_stays_when_a_run_is_undone(cube, twice):
    done = cube.consolidate(MERGE)
    since = cube.remember("Ben sings.")
    cube.forget(cube.list(state="archived")[0].id)
    cube.undo(done)
    assert since.id in {each.id for each in cube.list()}
    assert texts(cube.list()) == ["Ben sings.", "Mira cannot swim"]


def test_only_the_last_of_two_runs_that_stand_on_each_other_is_undone(cube, clock, twice):
    first = cube.consolidate(MERGE)
    cube.remember("Mira can not swim!")
    second = cube.consolidate(MERGE)
    with pytest.raises(InvalidInput, match="undo that one first"):
        cube.undo(first)
    cube.undo(second)
    cube.undo(first)
    assert texts(cube.list()) == ["Mira can not swim!", "Mira can't swim.", "Mira cannot swim"]


def test_what_is_no_run_cannot_be_undone(cube, twice):
    with pytest.raises(NotFound):
        cube.undo(1)
    with pytest.raises(InvalidInput, match="changed nothing"):
        cube.undo(cube.consolidate(dry_run=True))


# --- erased ----------------------------------------------------------------------------------


def test_forgetting_one_of_the_merged_erases_the_merged_and_frees_the_others(cube, twice):
    merged = cube.consolidate(MERGE).actions[0].into
    erasure = cube.forget(twice[0].id)
    assert set(erasure.memories) == {twice[0].id, merged}
    assert [each.id for each in cube.list()] == [twice[1].id]
    assert cube.list(state="archived") == []


def test_forgetting_the_merged_forgets_what_stands_behind_it(cube, twice):
    merged = cube.consolidate(MERGE).actions[0].into
    erasure = cube.forget(merged)
    assert set(erasure.memories) == {merged, *(each.id for each in twice)}
    assert (cube.list(), cube.list(state="archived")) == ([], [])


def test_a_chain_of_merges_ends_with_its_first(cube, clock, twice):
    cube.consolidate(MERGE)
    third = cube.remember("Mira can not swim!")
    cube.consolidate(MERGE)
    cube.forget(twice[0].id)
    assert texts(cube.list()) == sorted([third.text, twice[1].text])


def test_forgetting_a_turn_erases_the_gist_that_quotes_it(cube, clock):
    turns = talk(cube, clock)
    clock.move(days=8)
    action = cube.consolidate(GIST).actions[0]
    other = next(each.id for each in turns if each.id not in action.sources)
    cube.forget(other)
    assert cube.get(action.into).kind == "gist"
    cube.forget(action.sources[0])
    with pytest.raises(NotFound):
        cube.get(action.into)
    assert cube.count() == len(turns) - 2


def test_a_base_that_forgets_reaches_the_gist_of_its_fork(cube, clock):
    talk(cube, clock)
    clock.move(days=8)
    twig = cube.fork("twig")
    action = twig.consolidate(GIST).actions[0]
    cube.forget(action.sources[0])
    with pytest.raises(NotFound):
        twig.get(action.into)


def test_a_fork_forgets_what_stands_behind_a_merged_memory_that_it_shares(cube, twice):
    merged = cube.consolidate(MERGE).actions[0].into
    twig = cube.fork("twig")
    twig.forget(merged)
    assert (twig.list(), twig.list(state="archived"), cube.count()) == ([], [], 1)
    assert len(cube.list(state="archived")) == 2


def test_nothing_is_forgotten_that_would_end_something_frozen(cube, twice):
    merged = cube.consolidate(MERGE).actions[0].into
    cube.freeze(merged)
    with pytest.raises(IllegalTransition):
        cube.forget(twice[0].id)
    assert len(cube.list(state="archived")) == 2


def test_nothing_is_forgotten_that_would_end_something_frozen_further_on(cube, twice):
    cube.consolidate(MERGE)
    cube.remember("Mira can not swim!")
    last = cube.consolidate(MERGE).actions[0].into
    cube.freeze(last)
    with pytest.raises(IllegalTransition):
        cube.forget(twice[0].id)
    assert (cube.count(), len(cube.list(state="archived"))) == (1, 4)


# --- as a job --------------------------------------------------------------------------------


def test_a_worker_consolidates_when_it_is_ordered(memos, cube, twice):
    memos.jobs.submit("consolidate", cube=cube, payload={"changes": 5, "rest_days": 0})
    done = memos.worker(kinds=["consolidate"]).run_until_idle()
    assert (done, cube.count(), memos.jobs.list(cube=cube)[0].state) == (1, 1, "done")


@pytest.mark.parametrize("payload", [{"changes": -1}, {"rest_days": "soon"}, {"seconds": 10**9}])
def test_a_job_that_asks_for_nonsense_is_dead_with_the_reason(memos, cube, payload):
    job = memos.jobs.submit("consolidate", cube=cube, payload=payload)
    memos.worker(kinds=["consolidate"]).run_until_idle()
    assert (memos.jobs.get(job.id).state, next(iter(payload)) in memos.jobs.get(job.id).error) == (
        "dead",
        True,
    )


@pytest.mark.parametrize("given", [{"settings": 3}, {"budget": {"changes": 3}}, {"settings": Allowance()}])
def test_what_is_no_setting_is_refused(cube, given):
    with pytest.raises(InvalidInput):
        cube.consolidate(**given)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Consolidating, {"rest": timedelta(0)}),
        (Consolidating, {"quiet": 7}),
        (Consolidating, {"turns": 0}),
        (Consolidating, {"turns": 9, "least": 3}),
        (Allowance, {"seconds": -1}),
        (Allowance, {"seconds": float("nan")}),
        (Allowance, {"changes": True}),
    ],
)
def test_values_of_no_use_are_refused(kind, given):
    with pytest.raises(InvalidInput):
        kind(**given)
