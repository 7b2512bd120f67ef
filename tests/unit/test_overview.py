"""A store at a glance: what is told, to whom, and beside whom."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memos_core import Consolidating, MemOS, NotFound, TierSize, performing
from memos_core.cube import Principal
from memos_core.overview import Overview, Rates, rates
from memos_core.testing import ScriptedEngine
from memos_core.vault.onlooker import Onlooker
from memos_core.vault.sizes import overview


def test_it_tells_what_a_cube_holds(memos, cube):
    cube.remember("four")
    cube.remember("seven")
    cube.recall("four", k=1)
    memos.drain()
    memos.jobs.submit("sweep", cube=cube)
    told = memos.overview()
    one = told.cubes[0]
    assert (one.name, one.text, one.hits, one.owed) == ("notes", TierSize(count=2, size=9), 1, 0)
    assert (dict(one.jobs), dict(told.jobs), told.principal) == ({"waiting": 1}, {"waiting": 1}, "local")


def test_states_made_from_it_are_counted(memos, cube):
    from memos_core import Runtime

    cube.remember("the ferry leaves at noon")
    with Runtime(ScriptedEngine()) as runtime:
        runtime.build(cube)
    sizes = [each.size for each in memos.segments(cube)]
    assert memos.overview().cubes[0].kv == TierSize(count=len(sizes), size=sum(sizes))


def test_what_you_may_not_see_is_not_told(memos):
    ana, eve = memos.as_principal("ana"), memos.as_principal("eve")
    notes = ana.cube("notes")
    notes.remember("hers alone")
    notes.remember("for both", visibility="shared")
    ana.jobs.submit("sweep", cube=notes)
    before = eve.overview()
    notes.grant("eve", "read")
    after = eve.overview()
    assert (before.cubes, dict(before.jobs)) == ((), {})
    assert [(each.text.count, each.jobs) for each in after.cubes] == [(1, None)]
    assert (dict(after.jobs), after.running) == ({}, ())


def test_a_cube_that_serves_another_purpose_is_not_told(memos, cube):
    cube.remember("words")
    cube.limit(purposes=["care"])
    assert [each.name for each in memos.overview().cubes] == []
    assert [each.name for each in memos.as_principal("local", purpose="care").overview().cubes] == ["notes"]


def test_an_onlooker_looks_while_another_process_writes(memos, cube, folder):
    with Onlooker(folder / "catalog.db") as catalog:
        counts = []
        for words in ("one", "two"):
            cube.remember(words)
            with catalog.read() as view:
                counts.append(overview(view, Principal("local")).cubes[0].text.count)
    assert counts == [1, 2]


def test_an_onlooker_makes_no_store(tmp_path):
    with pytest.raises(NotFound):
        Onlooker(tmp_path / "catalog.db")
    assert list(tmp_path.iterdir()) == []


def test_rates_are_of_what_went_on_between_two_looks(memos, cube, clock):
    cube.remember("one")
    before = memos.overview()
    clock.move(seconds=2)
    cube.remember("two")
    cube.remember("three")
    now = memos.overview()
    assert rates(before, now) == Rates(changes=1.0, hits=0.0, jobs=0.0)
    assert (rates(None, now), rates(now, replace(now, cubes=()))) == (None, None)
    assert isinstance(now, Overview)


async def test_it_is_awaited_as_well(memos, cube):
    from memos_core import AsyncMemOS

    cube.remember("one")
    assert await AsyncMemOS(memos).overview() == MemOS.overview(memos)


def test_what_a_plan_left_is_next_until_it_was_done(memos, cube, clock, monkeypatch):
    for words in ("Mira can't swim.", "Mira cannot swim"):
        cube.remember(words)
    with monkeypatch.context() as lame:
        lame.setattr(performing, "PERFORMERS", {})
        memos.plan(consolidate=Consolidating())
        first = clock()
        clock.move(minutes=5)
        memos.plan(consolidate=Consolidating())
    waiting = [(each.kind, each.cube, each.at) for each in memos.overview().planned]
    assert ("consolidate", "notes", first) in waiting, "what is still planned keeps its time"
    assert memos.overview().moved == ()
    memos.plan(consolidate=Consolidating())
    done = memos.overview()
    assert "consolidate" not in [each.kind for each in done.planned]
    assert ("consolidate", clock()) in [(each.kind, each.at) for each in done.moved]


def test_moves_are_shown_to_who_governs_the_cube_and_go_with_it(memos, cube):
    for words in ("Mira can't swim.", "Mira cannot swim"):
        cube.remember(words)
    cube.grant("eve", "read")
    memos.plan(consolidate=Consolidating())
    assert memos.overview().moved
    assert memos.as_principal("eve").overview().moved == ()
    memos.forget_cube("notes")
    with memos._core.catalog.read() as view:
        assert view.setting("moves") is None


def test_a_dry_run_of_a_plan_writes_nothing_down(memos, cube):
    for words in ("Mira can't swim.", "Mira cannot swim"):
        cube.remember(words)
    assert memos.plan(consolidate=Consolidating(), dry_run=True).moves
    assert (memos.overview().planned, memos.overview().moved) == ((), ())
