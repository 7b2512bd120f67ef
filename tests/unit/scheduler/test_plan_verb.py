from dataclasses import replace
from datetime import timedelta

import pytest

from memos_core import (
    Budget,
    Consolidating,
    Cost,
    InvalidInput,
    MoveKind,
    Recipe,
    Runtime,
    Tier,
    by_cost,
    kv,
    lora,
    metering,
    performing,
)
from memos_core.operator.residents import KEY_OVERHEAD
from memos_core.performing import leaving
from memos_core.scheduler.policies import Prices
from memos_core.testing import RoteTeacher, ScriptedEngine
from memos_core.vault import moved

FREE = by_cost(Prices(idle=0.0, margin=0.0))


def steps(schedule):
    return [(move.kind.value, move.name) for move in schedule.moves]


@pytest.fixture
def runtime():
    with Runtime(ScriptedEngine()) as runtime:
        yield runtime


def used(cube, times=20):
    for _ in range(times):
        cube.recall("harbour")


def test_keys_that_will_be_asked_are_loaded(memos, cube):
    cube.remember("The harbour")
    used(cube, 3)
    memos._core.residents.clear()
    done = memos.plan(policy=FREE).done
    assert ([move.kind for move in done], cube.id in memos._core.residents.held()) == ([MoveKind.LOAD], True)


def test_no_more_keys_are_loaded_than_the_store_holds_whatever_budget_the_disk_has(open_memos):
    memos = open_memos(resident_bytes=0)
    cube = memos.cube("notes")
    cube.remember("The harbour")
    used(cube, 3)
    assert memos.plan(policy=FREE, budget=Budget(disk=1 << 30)).moves == []
    assert memos.plan(policy=FREE, budget=Budget(ram=1 << 30)).moves == []


def test_keys_that_turn_out_too_large_were_not_loaded(open_memos, embedder):
    memos = open_memos(resident_bytes=3 * (4 * embedder.dimensions + KEY_OVERHEAD))
    cube = memos.cube("notes")
    cube.remember("The harbour is closed to all ships that carry salt. " * 200)  # takes many keys
    used(cube, 3)
    found = memos.plan(policy=FREE)
    assert (steps(found), found.done, memos._core.residents.held()) == ([("load", "notes")], [], {})


def test_a_dry_run_does_nothing(memos, cube, catalog_rows):
    cube.remember("The harbour")
    used(cube, 3)
    memos.stats()  # writes the uses down
    memos.drain()
    memos._core.residents.clear()
    rows = catalog_rows(memos)
    found = memos.plan(policy=FREE, dry_run=True)
    assert (steps(found), found.done, memos._core.residents.held()) == ([("load", "notes")], [], {})
    assert catalog_rows(memos) == rows


def test_states_are_computed_ahead_and_then_attached(memos, cube, runtime):
    cube.remember("The harbour is closed.")
    memos.calibrate(runtime)
    used(cube, 3)
    assert steps(memos.plan(runtime=runtime, policy=FREE)) == [("prefill", "notes")]
    prefix = runtime.prefix(cube)
    assert prefix.tokens == prefix.stored > 0
    assert runtime.chat("Is it open?", cube).reuse.built == 0


def test_once_done_there_is_nothing_to_do(memos, cube, runtime):
    cube.remember("The harbour is closed.")
    memos.calibrate(runtime)
    used(cube, 3)
    memos.plan(runtime=runtime, policy=FREE)
    assert memos.plan(runtime=runtime, policy=FREE).moves == []


def test_a_budget_of_nothing_evicts_everything(memos, cube, runtime):
    cube.remember("The harbour is closed.")
    runtime.build(cube)
    used(cube)
    done = memos.plan(runtime=runtime, budget=Budget(ram=0, disk=0, training=0)).done
    assert sorted((move.kind.value, move.tier.value) for move in done) == [
        ("evict", "kv"),
        ("evict", "resident"),
    ]
    assert (memos.segments(), memos._core.residents.held()) == ([], {})


def test_what_is_pinned_stays(memos, cube, runtime):
    cube.remember("The harbour is closed.")
    runtime.build(cube)
    for segment in memos.segments():
        memos.pin(segment)
    memos.plan(runtime=runtime, budget=Budget(disk=0))
    assert len(memos.segments()) >= 1


def test_what_is_overdue_is_expired_and_what_rested_archived(memos, cube, clock):
    brief = cube.remember("Until noon", ttl=timedelta(hours=1))
    rested = cube.remember("Long ago")
    clock.move(days=40)
    kept = cube.remember("Now")
    found = memos.plan(archive_after=timedelta(days=30))
    assert steps(found) == [("expire", "notes"), ("archive", "notes")]
    assert [memory.id for memory in cube.list()] == [kept.id]
    assert [[each.id for each in cube.list(state=state)] for state in ("expired", "archived")] == [
        [brief.id],
        [rested.id],
    ]


def test_nobody_plans_for_cubes_of_which_they_know_nothing(memos, cube, clock):
    cube.remember("Until noon", ttl=timedelta(hours=1))
    clock.move(days=1)
    assert memos.as_principal("eve").plan().moves == []


def test_who_may_only_read_moves_no_memory(memos, cube, clock, catalog_rows):
    cube.remember("Until noon", ttl=timedelta(hours=1), visibility="shared")
    cube.grant("eve", "read")
    clock.move(days=1)
    memos.drain()
    rows = catalog_rows(memos)
    assert memos.as_principal("eve").plan(archive_after=timedelta(hours=1)).moves == []
    assert catalog_rows(memos) == rows


def test_who_may_only_read_evicts_no_states(memos, cube, runtime):
    cube.remember("The harbour is closed.", visibility="shared")
    cube.grant("eve", "read")
    runtime.build(cube)
    memos.as_principal("eve").plan(budget=Budget(disk=0))
    assert len(memos.segments()) >= 1


def test_a_cube_that_serves_another_purpose_is_left_out(memos, cube):
    cube.remember("The harbour is closed.")
    cube.limit(purposes=["billing"])
    assert memos.plan(budget=Budget(ram=0)).moves == []


def test_an_adapter_is_planned_where_a_trainer_is_known_and_left_to_it(memos, cube, runtime):
    cube.remember("The harbour is closed.")
    runtime.build(cube)
    trainer = Cost(tier=Tier.LORA, model="t", unit="token", write=1e-9, read=0.0, size=1.0, samples=1.0)
    memos.calibrate(runtime, given=[trainer])
    used(cube)
    found = memos.plan(runtime=runtime)
    assert ([move.kind.value for move in found.moves], found.done) == (["distil"], [])
    assert memos.plan(runtime=runtime, budget=Budget(training=0)).moves == []


class Trainer(Runtime):
    """A runtime that notes what it is told to train."""

    def __init__(self, engine):
        super().__init__(engine)
        self.taught = []

    def train(self, cube):
        self.taught.append(cube.name)


def test_an_adapter_is_trained_by_a_runtime_that_can(memos, cube):
    trainer = Cost(tier=Tier.LORA, model="t", unit="token", write=1e-9, read=0.0, size=1.0, samples=1.0)
    with Trainer(ScriptedEngine()) as runtime:
        cube.remember("The harbour is closed.")
        runtime.build(cube)
        memos.calibrate(runtime, given=[trainer])
        used(cube)
        found = memos.plan(runtime=runtime)
    assert ([move.kind.value for move in found.done], runtime.taught) == (["distil"], ["notes"])


class SlowTeacher(RoteTeacher):
    """Says that it takes a thousand seconds."""

    def taught(self, *given, **named):
        return replace(super().taught(*given, **named), seconds=1000.0)


def test_what_was_trained_today_counts_though_its_adapter_is_gone(memos, cube, clock):
    trainer = Cost(tier=Tier.LORA, model="t", unit="token", write=1.0, read=0.0, size=1.0, samples=1.0)
    with Runtime(SlowTeacher()) as runtime:
        for town in ("Lisbon", "Oslo", "Lima", "Cairo"):
            memory = cube.remember(f"Mira of {town} lives in {town}.")
        memos.calibrate(runtime, given=[trainer])
        runtime.train(cube, recipe=Recipe(rank=2, steps=6, look=2))
        cube.revise(memory.id, "Mira of Cairo lives in Rome.")
        memos.upkeep()
        runtime.build(cube)
        used(cube)

        def planned():
            found = memos.plan(runtime=runtime, policy=FREE, budget=Budget(training=1000), dry_run=True)
            return [move.kind for move in found.moves if move.tier is Tier.LORA]

        today = planned()
        clock.move(days=1)
        tomorrow = planned()
    assert (memos.adapters(), today, tomorrow) == ([], [], [MoveKind.DISTIL])


def test_states_go_from_the_end_of_the_chain_on(memos, cube, runtime):
    for number in range(60):
        cube.remember(f"Ferry {number} is the one that leaves for the harbour at {number} past noon.")
    runtime.build(cube)
    stored = sorted(memos.segments(), key=lambda each: each.start)
    kept = stored[: len(stored) // 2]
    assert len(kept) >= 1
    going = leaving(stored, leaves=sum(each.size for each in kept))
    assert {each.key for each in going} == {each.key for each in stored[len(kept) :]}


def test_a_budget_for_half_of_a_chain_keeps_its_beginning(memos, cube, runtime):
    for number in range(60):
        cube.remember(f"Ferry {number} is the one that leaves for the harbour at {number} past noon.")
    memos.calibrate(runtime)
    runtime.build(cube)
    stored = sorted(memos.segments(), key=lambda each: each.start)
    half = sum(each.size for each in stored) // 2
    (move,) = memos.plan(runtime=runtime, budget=Budget(ram=1 << 30, disk=half)).done
    left = memos.segments()
    assert (move.kind, 0 < move.leaves <= half) == (MoveKind.EVICT, True)
    assert {each.key for each in left} == {each.key for each in stored[: len(left)]}
    assert 0 < sum(each.size for each in left) <= half


@pytest.fixture
def lent(memos, runtime):
    """Ana's guild, in which bo may write; bo's own inn; both are resident, and have states."""
    ana, bo = (memos.as_principal(name) for name in ("ana", "bo"))
    guild, inn = ana.cube("guild"), bo.cube("inn")
    guild.grant("bo", "write")
    for cube in (guild, inn):
        cube.remember("The harbour is closed.", visibility="shared")
        cube.recall("harbour")
        runtime.build(cube)
    return guild


@pytest.mark.parametrize("loss", ["erased", "closed"])
@pytest.mark.parametrize("during", ["costs", "segments", "adapters", "prefix"])
def test_a_cube_that_is_lost_meanwhile_is_left_out_of_the_plan(
    memos, lent, runtime, monkeypatch, during, loss
):
    place, name = {
        "costs": (metering, "costs"),
        "segments": (kv, "listed"),
        "adapters": (lora, "listed"),
        "prefix": (runtime, "prefix"),
    }[during]
    real, lost = getattr(place, name), []

    def after_it_is_lost(*given, **named):
        if not lost:
            lost.append(loss)
            memos.as_principal("ana").forget_cube("guild") if loss == "erased" else lent.revoke("bo", "write")
        return real(*given, **named)

    monkeypatch.setattr(place, name, after_it_is_lost)
    found = memos.as_principal("bo").plan(runtime=runtime, budget=Budget(ram=0, disk=0), dry_run=True)
    assert {move.name for move in found.moves} == {"inn"}


def test_moves_of_a_cube_that_is_erased_while_they_are_done_are_not_noted(memos, lent, monkeypatch):
    perform = performing.performed

    def and_erased(*given):
        done = perform(*given)
        memos.as_principal("ana").forget_cube("guild")
        return done

    monkeypatch.setattr(performing, "performed", and_erased)
    bo = memos.as_principal("bo")
    found = bo.plan(budget=Budget(ram=0))
    with memos._core.catalog.read() as view:
        noted = moved.moves(view)
    assert {move.name for move in found.done} == {"guild", "inn"}
    assert [move.cube for move in (*noted.done, *noted.next)] == [bo.cube("inn").id]


def test_two_planners_at_once_do_no_harm(memos, cube, runtime):
    from concurrent.futures import ThreadPoolExecutor

    cube.remember("The harbour is closed.")
    memos.calibrate(runtime)
    used(cube, 3)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _n: memos.plan(runtime=runtime, policy=FREE), range(2)))
    prefix = runtime.prefix(cube)
    assert (prefix.stored, memos.plan(runtime=runtime, policy=FREE).moves) == (prefix.tokens, [])


@pytest.mark.parametrize(
    "given",
    [
        {"policy": "fifo"},
        {"budget": 5},
        {"runtime": "smollm2"},
        {"archive_after": timedelta(0)},
    ],
    ids=lambda given: next(iter(given)),
)
def test_what_makes_no_sense_is_refused(memos, given):
    with pytest.raises(InvalidInput):
        memos.plan(**given)


def test_costs_that_are_none_are_refused(memos):
    with pytest.raises(InvalidInput):
        memos.calibrate(given=["cheap"])


def test_what_says_the_same_is_brought_together_where_that_is_asked_for(memos, cube):
    for text in ("The harbour is closed.", "the harbour is closed"):
        cube.remember(text)
    assert memos.plan(dry_run=True).moves == []
    found = memos.plan(consolidate=Consolidating())
    assert [(move.kind, move.reason) for move in found.done] == [
        (MoveKind.CONSOLIDATE, "1 things to bring together")
    ]
    assert [each.text for each in cube.list()] == ["the harbour is closed"]
    assert memos.plan(consolidate=Consolidating()).moves == []


def test_what_is_to_be_brought_together_is_said_as_a_value(memos):
    with pytest.raises(InvalidInput, match="Consolidating"):
        memos.plan(consolidate=True)
