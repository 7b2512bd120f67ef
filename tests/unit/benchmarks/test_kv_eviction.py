import pytest

from benchmarks import report
from benchmarks.kv.eviction import Clock, bound, compared, described, foreseeing, possible, replayed
from benchmarks.kv.eviction_traces import (
    BLOCK,
    LLAMA_CPP,
    SYSTEM,
    TRANSFORMERS,
    Cube,
    Trace,
    Visit,
    generated,
)
from memos_core.tiers.kv.eviction import least_recently_used, saved_seconds


def test_the_cost_law_gives_what_was_measured():
    measured = {128: 0.32, 256: 0.70, 512: 1.56, 1024: 3.23}
    told = {n: TRANSFORMERS.build(0, n) for n in measured}
    assert told == pytest.approx(measured, rel=0.06)
    assert LLAMA_CPP.build(0, 1386) == pytest.approx(10.0, rel=0.01)


def test_the_parts_of_a_chain_cost_what_the_whole_does():
    cube = Cube(name="c", engine=TRANSFORMERS)
    for _ in range(40):
        cube.remember(50)
    chain, end = cube.chain(), SYSTEM + 2000
    assert sum(link.build for link in chain) == pytest.approx(TRANSFORMERS.build(0, end))
    assert sum(link.size for link in chain) == end * TRANSFORMERS.token
    assert [link.parent for link in chain[1:]] == [link.key for link in chain[:-1]]
    assert max(cube.blocks) <= BLOCK


def test_a_memory_changes_the_last_link_and_a_revision_all_from_its_block_on():
    cube = Cube(name="c", engine=TRANSFORMERS)
    for _ in range(30):
        cube.remember(50)
    first = cube.chain()
    cube.remember(1)
    second = cube.chain()
    stale = cube.revise(1)
    third = cube.chain()
    assert [a.key == b.key for a, b in zip(first, second, strict=True)] == [True, True, True, False]
    assert [a.key == b.key for a, b in zip(second, third, strict=True)] == [True, True, False, False]
    assert stale == tuple(link.key for link in second[2:])


def test_a_seed_gives_one_trace():
    one, two, other = (generated(seed=seed, engines=[TRANSFORMERS], days=1, cubes=9) for seed in (5, 5, 6))
    times = [[visit.at for visit in trace.visits] for trace in (one, two, other)]
    assert times[0] == times[1] != times[2]
    assert one.links.keys() == two.links.keys()
    assert times[0] == sorted(times[0])


def a_trace() -> Trace:
    return generated(seed=7, engines=[TRANSFORMERS, LLAMA_CPP], days=1, cubes=30, per_day=60)


def test_without_a_budget_all_but_the_first_build_is_saved():
    cube = Cube(name="c", engine=TRANSFORMERS)
    cube.remember(100)
    chain = cube.chain()
    trace = Trace(name="t", visits=[Visit(at=float(n), chain=chain) for n in range(3)])
    assert possible(trace) == pytest.approx(2 * sum(link.build - link.load for link in chain))
    assert replayed(trace, budget=0, policy=saved_seconds) == 0.0


def test_no_policy_exceeds_the_bound_and_the_bound_is_what_is_possible_in_the_end():
    trace = a_trace()
    footprint = sum(link.size for link in trace.links.values())
    for share in (0.05, 0.2, 0.5):
        budget, clock = int(footprint * share), Clock()
        most = bound(trace, budget=budget)
        ours = replayed(trace, budget=budget, policy=saved_seconds)
        foreseen = replayed(trace, budget=budget, policy=foreseeing(trace, clock), clock=clock)
        assert max(ours, foreseen) <= most <= possible(trace) * 1.0001
    assert bound(trace, budget=footprint) == pytest.approx(possible(trace))


def test_whoever_foresees_saves_more():
    trace, clock = a_trace(), Clock()
    budget = sum(link.size for link in trace.links.values()) // 5
    foreseen = replayed(trace, budget=budget, policy=foreseeing(trace, clock), clock=clock)
    assert foreseen > replayed(trace, budget=budget, policy=least_recently_used)


def test_the_record_becomes_a_table():
    trace = generated(seed=7, engines=[TRANSFORMERS], days=1, cubes=5, per_day=10)
    rows = compared(trace, lambda _what: None)
    page = report.page({"kv_eviction": {"traces": [described(trace, "one engine", rows)]}})
    assert "## What leaves first" in page
    assert "### Generated trace, one engine" in page
    assert page.count("MB (") == 4


def test_the_lost_seconds_are_set_against_those_of_lru():
    names = ("seconds_per_byte", "lru", "lfu", "lru_without_chains", "next_use_known", "bound")
    saved = dict.fromkeys(names, 0.9) | {"lru": 0.8}
    record = {
        "traces": [
            {
                "trace": "some",
                "note": "made up",
                "prompts": 1,
                "uses": 1,
                "segments": 1,
                "bytes": 10**9,
                "possible_seconds": 1,
                "rows": [{"share": 0.05, "budget": 5 * 10**7, "saved": saved}],
            }
        ]
    }
    line = "| 50 MB (5%) | 0.900 | 0.800 | 0.900 | 0.900 | 0.900 | 0.900 | 0.50 |"
    assert line in report.page({"kv_eviction": record})
