"""Several cubes read as one."""

from __future__ import annotations

import pytest

from memos_core import InvalidInput, Message, NotFound, Where


@pytest.fixture(params=[512 << 20, 0], ids=["resident", "proposed"])
def both(open_memos, request):
    return open_memos(resident_bytes=request.param)


@pytest.fixture
def cubes(both):
    one, two = both.cube("one"), both.cube("two")
    one.remember("Mira lives in Lisbon", tags=["home"])
    two.remember("Mira has a red bicycle")
    for cube, words in ((one, "harbour"), (two, "market")):
        cube.ingest([Message("Ana", f"The {words} is cold"), Message("Bo", f"Is the {words}?")], session="s")
    return one, two


def test_several_cubes_have_one_ranking(both, cubes):
    together = both.compose(*cubes)
    found = together.recall("Where does Mira live?", k=9)
    assert found.texts[0] == "Mira lives in Lisbon"
    assert {hit.memory.cube for hit in found} == {cube.id for cube in cubes}
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    assert (len(found), together.count()) == (6, 6)


def test_it_is_ranked_like_one_cube_that_holds_all(both, cubes):
    whole = both.cube("whole")
    whole.remember("Mira lives in Lisbon")
    whole.remember("Mira has a red bicycle")
    for words in ("harbour", "market"):
        whole.ingest(
            [Message("Ana", f"The {words} is cold"), Message("Bo", f"Is the {words}?")], session=words
        )
    for query in ("Where does Mira live?", "Is the market cold?"):
        wanted = {hit.memory.text: hit.score for hit in whole.recall(query, k=9)}
        found = {hit.memory.text: hit.score for hit in both.compose(*cubes).recall(query, k=9)}
        assert found == pytest.approx(wanted, abs=1e-5)


def test_it_follows_what_is_written_and_forgotten(both, cubes):
    one, two = cubes
    together = both.compose(one, two)
    together.recall("Mira")
    new = two.remember("Mira plays the violin")
    assert together.recall("violin", k=1).memories[0].id == new.id
    assert together.get(new.id).cube == two.id
    two.forget(new.id)
    assert new.id not in [m.id for m in together.recall("violin", k=9).memories]


def test_filters_and_moments_hold_over_all(both, cubes, clock):
    one, two = cubes
    then = clock.now
    clock.move(hours=1)
    two.remember("Mira plays the violin")
    together = both.compose(one, two)
    assert together.recall("Mira", where=Where(tags=("home",))).texts == ["Mira lives in Lisbon"]
    assert "Mira plays the violin" not in together.recall("violin", k=9, at=then).texts
    assert [m.text for m in together.list(limit=2)] == ["Mira lives in Lisbon", "Mira has a red bicycle"]


def test_a_fork_beside_its_base_shows_what_they_share_once(both, cubes):
    one, _ = cubes
    fork = one.fork("twig")
    fork.revise(one.list()[0].id, "Mira lives in Porto")
    together = both.compose(one, fork)
    found = together.recall("Where does Mira live?", k=9).texts
    assert sorted(found) == sorted(set(found))
    assert {"Mira lives in Lisbon", "Mira lives in Porto"} <= set(found)


def test_each_cube_shows_what_may_be_seen_of_it(both):
    ana = both.as_principal("ana").cube("notes")
    shown, _hidden = ana.remember("for readers", visibility="shared"), ana.remember("hers alone")
    ana.grant("eve", "read")
    eve = both.as_principal("eve")
    mine = eve.cube("mine")
    own = mine.remember("my own")
    together = eve.compose(mine, eve.cube("notes", owner="ana"))
    assert {m.id for m in together.list()} == {own.id, shown.id}
    assert {m.id for m in together.recall("own alone readers", k=9).memories} == {own.id, shown.id}
    ana.revoke("eve")
    for verb in (together.list, lambda: together.recall("own"), together.count, lambda: together.get(own.id)):
        with pytest.raises(NotFound):
            verb()


def test_nothing_twice_and_nothing_at_all_is_refused(both, cubes):
    one, _ = cubes
    for given in ((), (one, one), ("one",)):
        with pytest.raises(InvalidInput):
            both.compose(*given)
