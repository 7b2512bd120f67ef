import pytest

from benchmarks.scheduler.house import Constants, House, foreseen, untouched
from benchmarks.scheduler.replay import budget_of
from benchmarks.scheduler.replay_table import rendered
from benchmarks.scheduler.traces import Event, Trace, drifting
from memos_core.scheduler.policies import COST, LRU
from memos_core.scheduler.stats import Budget

CONSTANTS = Constants(put=0.0, key_load=0.0, key_size=100.0)
BUILD = CONSTANTS.engine.build(0, 400)
LOAD = CONSTANTS.engine.load * 400


def trace(*events):
    return Trace(name="made by hand", events=events, start={"a": 400, "b": 400})


def waited(told, *, budget=None, policy=LRU):
    return House(told, CONSTANTS, budget or Budget(), policy).replayed().waited


def test_the_second_question_finds_what_the_first_computed():
    assert waited(trace(Event(at=0, cube="a"), Event(at=1, cube="a"))) == pytest.approx(BUILD + 2 * LOAD)


def test_without_room_every_question_computes_everything():
    told = trace(Event(at=0, cube="a"), Event(at=1, cube="a"))
    assert waited(told, budget=Budget(disk=0)) == pytest.approx(2 * BUILD + 2 * LOAD)
    assert untouched(told, CONSTANTS).waited == pytest.approx(2 * BUILD)


def test_a_revision_leaves_the_blocks_before_it():
    told = trace(Event(at=0, cube="a"), Event(at=1, cube="a", revised=0.99), Event(at=2, cube="a"))
    rest = BUILD - CONSTANTS.engine.build(0, 384)
    assert waited(told) == pytest.approx(BUILD + rest + 2 * LOAD)


def test_the_oracle_keeps_what_is_asked_next():
    told = trace(*(Event(at=at, cube=cube) for at, cube in enumerate("abab")))
    room = Budget(disk=401 * CONSTANTS.engine.token)
    books = foreseen(told, CONSTANTS, room)
    assert books.waited == pytest.approx(4 * LOAD)
    assert books.prefilled < 4 * BUILD


def test_a_cube_larger_than_the_room_keeps_its_beginning():
    told = trace(Event(at=0, cube="a"), Event(at=1, cube="a"))
    rest = BUILD - CONSTANTS.engine.build(0, 384)
    assert waited(told, budget=Budget(disk=399 * CONSTANTS.engine.token)) == pytest.approx(
        BUILD + rest + 2 * LOAD
    )


def test_what_is_surely_asked_next_is_computed_ahead_of_it():
    told = trace(*(Event(at=100.0 * at, cube=cube) for at, cube in enumerate("ab" * 10)))
    none = Budget(disk=0)
    plain = House(told, CONSTANTS, none, COST).replayed()
    ahead = House(told, CONSTANTS, none, COST, predicts=True).replayed()
    assert plain.waited == pytest.approx(20 * (BUILD + LOAD))
    assert ahead.waited < 0.3 * plain.waited
    assert ahead.prefilled >= plain.waited - ahead.waited - 1e-6


def test_a_question_that_comes_before_the_states_are_done_waits_for_them():
    told = trace(*(Event(at=0.1 * BUILD * at, cube=cube) for at, cube in enumerate("ab" * 10)))
    books = House(told, CONSTANTS, Budget(disk=0), COST, predicts=True).replayed()
    assert books.waited > 0.8 * 20 * BUILD


def test_a_trace_is_that_of_its_seed():
    assert drifting(seed=3, cubes=5, days=1, per_day=9) == drifting(seed=3, cubes=5, days=1, per_day=9)


def test_by_cost_is_near_the_oracle_and_no_worse_than_lru():
    told = drifting(seed=21, cubes=12, days=1, per_day=60)
    budget = budget_of(told, CONSTANTS, 0.5)
    nothing = untouched(told, CONSTANTS).cost(0.5)
    saved = {
        each.name: nothing - House(told, CONSTANTS, budget, each).replayed().cost(0.5) for each in (COST, LRU)
    }
    oracle = nothing - foreseen(told, CONSTANTS, budget).cost(0.5)
    assert saved["cost"] >= 0.85 * oracle
    assert saved["cost"] >= 0.98 * saved["lru"]


def test_the_table_has_a_row_for_each_budget():
    books = {"prefilled": 1.0, "loaded": 2.0, "trained": 0.0}
    names = ("cost", "predicting", "lru", "lfu", "similarity", "oracle")
    row = {
        "share": 0.1,
        "disk": 5_000_000,
        "ram": 7,
        "saved": dict.fromkeys(names, 90.0),
        "of_oracle": dict.fromkeys(names, 0.9),
        "books": {"cost": books},
    }
    record = {
        "constants": {
            "put_seconds_per_mb": 0.01,
            "key_load_seconds": 1e-4,
            "engine": "an engine",
            "train_seconds_per_token": 0.2,
            "idle_price": 0.5,
        },
        "grid": [{"mean": 0.9}, {"mean": 0.95}],
        "traces": [
            {
                "trace": "drifting 1",
                "split": "tuned on",
                "cubes": 3,
                "asked": 9,
                "written": 2,
                "without": 100.0,
                "rows": [row],
            }
        ],
    }
    told = rendered(record)
    assert "| 10%, 5 MB | 0.900 | 0.900 | 0.900 | 0.900 | 0.900 | 90 s | 3 s | 0 s |" in told
    assert "tuned on: 1 of 1, at worst 0.000 behind the best baseline" in told
    assert "2 settings with means from 0.900 to 0.950" in told
