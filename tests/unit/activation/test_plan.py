from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memos_core.activation.plan import PART_TOKENS, cost, parted, planned, within
from memos_core.activation.stops import Stops
from memos_core.governance import Right


@pytest.fixture
def memories(cube, clock):
    made = []
    for n in range(40):
        clock.move(minutes=1)
        made.append(cube.remember(f"Memory {n} " + "word " * (n % 7 * 20)))
    return made


def texts(parts):
    return [part.text for part in parts]


def test_what_comes_later_changes_no_full_part(memories):
    whole = texts(parted(memories, most=PART_TOKENS))
    for count in range(1, len(memories)):
        some = texts(parted(memories[:count], most=PART_TOKENS))
        assert some[:-1] == whole[: len(some) - 1]
        assert "".join(whole).startswith("".join(some))


def test_each_memory_stands_in_one_part(memories):
    parts = parted(memories, most=PART_TOKENS)
    assert [memory for part in parts for memory in part.memories] == memories
    assert all(sum(map(cost, part.memories[:-1])) < PART_TOKENS for part in parts)
    assert len(parted(memories, most=1)) == len(memories)
    assert parted([], most=1) == ()


@pytest.mark.parametrize("budget", [0, 1, 30, 100, 1000, 100_000])
def test_a_budget_is_kept_and_used(memories, budget):
    kept = within(memories, budget)
    left = budget - sum(map(cost, kept))
    assert left >= 0
    assert all(cost(memory) > left for memory in memories if memory not in kept)


@given(st.text("ab", max_size=12), st.lists(st.text("ab", min_size=1, max_size=3), max_size=3), st.data())
@settings(deadline=timedelta(seconds=1))
def test_stops_do_not_depend_on_how_the_text_arrives(text, stops, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    passing = Stops(tuple(stops))
    passed = "".join(passing.passed(pieces))
    complete = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    assert (passed, passing.hit) == (text[: min(complete)[1]] if complete else text, bool(complete))


def test_the_group_is_of_those_who_may_read_every_memory_of_the_plan(memos, cube):
    mine = cube.remember("mine")
    ours = cube.remember("ours", visibility="shared")
    with memos._core.catalog.read() as view:
        header = view.enter(cube.id, memos.principal, Right.READ)

    def group(stable, recalled):
        return planned(header, system="", stable=stable, recalled=recalled, budget=1000).group

    assert group([ours], []) == group([], [ours]) == group([], [])
    assert group([mine], []) == group([ours], [mine]) == group([mine, ours], []) != group([ours], [])
