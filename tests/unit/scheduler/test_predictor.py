import threading
import time

import pytest

from memos_core import Budget, InvalidInput, MemOSError, Runtime, predicting
from memos_core.operator.residents import Residents
from memos_core.testing import ScriptedEngine


@pytest.fixture
def three(memos):
    """Three cubes that are asked in turn."""
    cubes = [memos.cube(name) for name in ("inn", "guild", "port")]
    for cube in cubes:
        cube.remember(f"The {cube.name} has a red door.")
    return cubes


class Slow(ScriptedEngine):
    """Takes equal times for all that it computes, as far as one can see."""

    def prefill(self, *given, **named):
        time.sleep(0.05)
        return super().prefill(*given, **named)


def go_round(cubes, predictor, times=4):
    for _ in range(times):
        for cube in cubes:
            cube.recall("red door")
            assert predictor.wait(10)


def test_the_next_cube_is_resident_before_it_is_asked(memos, three):
    inn, guild, _ = three
    with memos.predictor(most=1) as predictor:
        go_round(three, predictor)
        memos._core.residents.clear()
        inn.recall("red door")
        assert predictor.wait(10)
        held = set(memos._core.residents.held())
        guild.recall("red door")
        assert predictor.wait(10)
        found = predictor.foreseen
    assert held == {inn.id, guild.id}
    assert found.hits >= 1


def test_the_next_cube_is_prefilled(memos, three):
    guild = three[1]
    with Runtime(ScriptedEngine()) as runtime, memos.predictor(runtime=runtime, most=1) as predictor:
        go_round(three, predictor)
        assert predictor.wait(10)
        prefix = runtime.prefix(guild)
        assert prefix.stored == prefix.tokens > 0


@pytest.mark.parametrize("foreseen", [True, False])
def test_where_one_has_room_who_is_asked_next_stays(memos, clock, foreseen):
    """Two talk in turn: whoever was asked last is asked again only after the other."""
    inn, guild = cubes = [memos.cube("inn"), memos.cube("guild")]
    with Runtime(Slow()) as runtime, memos.predictor(most=1) as predictor:
        for cube in cubes:
            cube.remember(f"The {cube.name} has a red door.")
            runtime.build(cube)
        for _ in range(4):
            for cube in cubes:
                clock.move(seconds=60)
                cube.recall("red door")
                assert predictor.wait(10)
        if not foreseen:
            predictor.close()
        room = max(sum(segment.size for segment in memos.segments(cube)) for cube in cubes)
        memos.plan(runtime=runtime, budget=Budget(disk=room))
        assert {segment.cube for segment in memos.segments()} == {(inn if foreseen else guild).id}


def test_what_is_written_is_of_whom_is_asked_next(memos, clock):
    inn, _ = cubes = [memos.cube("inn"), memos.cube("guild")]
    for cube in cubes:
        cube.remember(f"The {cube.name} has a red door.")
    with Runtime(Slow()) as measuring:
        measuring.build(inn)
    room = sum(segment.size for segment in memos.segments())
    with Runtime(Slow(), disk_bytes=room) as runtime, memos.predictor(most=1) as predictor:
        kept = []
        for _ in range(6):
            for cube in cubes:
                clock.move(seconds=60)
                cube.recall("red door")
                assert predictor.wait(10)
                runtime.chat("Which door?", cube)
                kept.append({segment.cube for segment in memos.segments()})
    assert len(set(map(frozenset, kept[-4:]))) == 1  # one of both is served from its states, at every turn


def test_each_principal_is_learned_from_apart(memos, three):
    with memos.predictor() as predictor:
        go_round(three, predictor)
        eve = memos.as_principal("eve")
        assert predictor.guesses(memos.principal) != []
        assert predictor.guesses(eve.principal) == []


def test_who_has_been_silent_longest_is_forgotten_first(memos, monkeypatch):
    monkeypatch.setattr(predicting, "TALKS", 2)
    ana, bo, cy = (memos.as_principal(name) for name in ("ana", "bo", "cy"))
    with memos.predictor() as predictor:
        for person in (ana, bo, ana, cy):
            go_round([person.cube("inn"), person.cube("guild")], predictor, times=2)
        known = [bool(predictor.guesses(person.principal)) for person in (ana, bo, cy)]
    assert known == [True, False, True]


def test_what_was_erased_meanwhile_does_no_harm(memos, three):
    inn, *_ = three
    with memos.predictor(most=1) as predictor:
        go_round(three, predictor)
        memos.forget_cube("guild")
        inn.recall("red door")
        assert predictor.wait(10)
        inn.recall("red door")
        assert predictor.wait(10)


def test_a_question_does_not_wait_for_what_is_made_ready(memos, three, monkeypatch):
    inn, guild, port = three
    loading, go_on = threading.Event(), threading.Event()
    load = Residents._loaded

    def slowly(self, place, view, cube, **given):
        if threading.current_thread().name == "memos-predictor":
            loading.set()
            assert go_on.wait(20)
        return load(self, place, view, cube, **given)

    with memos.predictor(most=1) as predictor:
        go_round(three, predictor)
        memos._core.residents.drop([guild.id])
        monkeypatch.setattr(Residents, "_loaded", slowly)
        inn.recall("red door")
        assert loading.wait(10)  # it is making the guild ready, and will be at it for long
        begin = time.perf_counter()
        texts = port.recall("red door").texts
        took = time.perf_counter() - begin
        go_on.set()
    assert (texts, took < 5) == (["The port has a red door."], True)


def test_a_prefill_gives_way_to_a_question(memos, three, monkeypatch):
    inn, guild, port = three
    for number in range(60):
        guild.remember(f"Member {number} of the guild pays {number} crowns a year for the hall.")
    gave_way = []
    with Runtime(ScriptedEngine()) as runtime:
        prefill, build = runtime.engine.prefill, runtime.build

        def while_somebody_asks(ids, base):
            if not gave_way:
                port.recall("red door")
            return prefill(ids, base)

        def told(cube, **given):
            try:
                return build(cube, **given)
            except MemOSError:
                gave_way.append(cube.name)
                raise

        monkeypatch.setattr(runtime.engine, "prefill", while_somebody_asks)
        monkeypatch.setattr(runtime, "build", told)
        with memos.predictor(runtime=runtime, most=1) as predictor:
            go_round((inn, guild), predictor)
            assert predictor.wait(10)
    assert gave_way != []


def test_who_was_interrupted_has_their_cube_made_ready_afterwards(memos, monkeypatch):
    ana, bo, cy = (memos.as_principal(name) for name in ("ana", "bo", "cy"))
    for person in (ana, bo, cy):
        for name in ("inn", "guild"):
            person.cube(name).remember(f"The {name} has a red door.")
    with memos.predictor(most=1) as predictor:
        for person in (ana, bo):
            go_round([person.cube("inn"), person.cube("guild")], predictor)
        memos._core.residents.clear()
        load, asked = predicting.loaded, []

        def while_somebody_asks(core, principal, cube):
            if not asked:
                asked.append(principal)
                cy.cube("inn").recall("red door")
            return load(core, principal, cube)

        monkeypatch.setattr(predicting, "loaded", while_somebody_asks)
        for person in (ana, bo):
            person.cube("inn").recall("red door")
        assert predictor.wait(10)
        held = set(memos._core.residents.held())
    assert held >= {person.cube("guild").id for person in (ana, bo)}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_of_itself_foresees_nothing_any_more(memos, three, monkeypatch):
    def fail(*_given):
        raise MemoryError

    with memos.predictor(most=1) as predictor:
        go_round(three, predictor)
        memos._core.residents.clear()
        monkeypatch.setattr(predicting, "loaded", fail)
        three[0].recall("red door")
        assert predictor.wait(10) is False
        assert (memos._core.recaller.listeners, memos._core.derived.seers) == ([], [])
        three[0].recall("red door")


def test_nothing_runs_after_it_is_closed(memos, three):
    predictor = memos.predictor()
    predictor.close()
    predictor.close()
    three[0].recall("red door")
    assert predictor.foreseen.questions == 0
    assert "memos-predictor" not in {thread.name for thread in threading.enumerate()}
    assert memos._core.recaller.listeners == []


def test_a_store_that_is_closed_ends_it(open_memos):
    memos = open_memos()
    cube = memos.cube("notes")
    cube.remember("x")
    predictor = memos.predictor()
    cube.recall("x")
    memos.close()
    predictor.close()


@pytest.mark.parametrize(
    "given", [{"most": 0}, {"most": 1.5}, {"least": 2}, {"least": "often"}, {"runtime": "smollm2"}]
)
def test_what_makes_no_sense_is_refused(memos, given):
    with pytest.raises(InvalidInput):
        memos.predictor(**given)
