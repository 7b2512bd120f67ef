import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core.tiers.kv.eviction import (
    LASTING,
    SITTING,
    Entry,
    Use,
    least_frequently_used,
    least_recently_used,
    over_budget,
    rate,
    saved_seconds,
    spread,
    used,
)

DAY = 86_400.0
POLICIES = [saved_seconds, least_recently_used, least_frequently_used]


def use(*times: float) -> Use:
    counted = None
    for at in times:
        counted = used(counted, now=at)
    assert counted is not None
    return counted


def entry(key: str, **given) -> Entry:
    return Entry(**{"key": key, "size": 10, "build": 1.0, "use": use(0.0), **given})


# --- how often it is used --------------------------------------------------------------------


def test_the_first_use_counts_one():
    assert used(None, now=7.0) == Use(hits=1, last=7.0, heat=1.0)


def test_a_use_a_day_ago_counts_half():
    assert used(Use(hits=3, last=0.0, heat=3.0), now=LASTING) == Use(hits=4, last=LASTING, heat=2.5)


def test_a_clock_that_is_set_back_takes_nothing_away():
    assert used(Use(hits=3, last=50.0, heat=3.0), now=20.0) == Use(hits=4, last=50.0, heat=4.0)


def test_uses_spread_evenly_are_what_counting_them_gives():
    counted = use(*(DAY * n / 1000 for n in range(1, 3001)))
    known = spread(3000, first=0.0, last=3 * DAY)
    assert (known.hits, known.last) == (counted.hits, counted.last)
    assert known.heat == pytest.approx(counted.heat, rel=1e-3)


def test_uses_at_one_moment_are_all_warm():
    assert spread(4, first=9.0, last=9.0) == Use(hits=4, last=9.0, heat=4.0)


def test_what_is_popular_comes_again_at_the_pace_it_came():
    every_hour = use(*(3600.0 * n for n in range(24 * 30)))
    assert rate(every_hour, now=3600.0 * 24 * 30) == pytest.approx(1 / 3600, rel=0.05)


def test_while_a_talk_goes_on_the_next_use_is_near():
    assert rate(use(0.0), now=0.0) == pytest.approx(1 / SITTING, rel=0.01)


def test_a_long_talk_that_ended_gives_way_to_one_that_has_just_begun():
    ended, begun = entry("ended", use=use(*range(0, 800, 40))), entry("begun", use=use(900.0))
    assert over_budget([ended, begun], budget=10, now=900.0) == ["ended"]


# --- which leaves first ----------------------------------------------------------------------

SAVED_FIRST = [
    ("the cheaper to build", {"build": 2.0}, {"build": 1.0}),
    ("the larger", {"size": 5}, {"size": 10}),
    ("the one slower to load", {"load": 0.0}, {"load": 0.5}),
    ("the one silent for longer", {"use": use(100.0)}, {"use": use(0.0)}),
    ("the one used less", {"use": use(0.0, 1.0, 100.0)}, {"use": use(100.0)}),
    ("the one that saves nothing", {"build": 0.1}, {"build": 0.1, "load": 9.0, "use": use(0.0, 100.0)}),
]


@pytest.mark.parametrize(("_what", "stays", "leaves"), SAVED_FIRST, ids=[row[0] for row in SAVED_FIRST])
def test_saved_seconds_per_byte_decide(_what, stays, leaves):
    entries = [entry("a", **stays), entry("b", **leaves)]
    budget = sum(each.size for each in entries) - 1
    assert over_budget(entries, budget=budget, now=200.0) == ["b"]


@pytest.mark.parametrize(
    ("policy", "order"),
    [
        (least_recently_used, ["often", "cheap", "costly"]),
        (least_frequently_used, ["cheap", "costly", "often"]),
        (saved_seconds, ["cheap", "often", "costly"]),
    ],
)
def test_each_policy_has_an_order_of_its_own(policy, order):
    entries = [
        entry("often", use=use(0.0, 1.0, 2.0, 3.0)),
        entry("cheap", use=use(50.0), build=0.01),
        entry("costly", use=use(90.0), build=9.0),
    ]
    assert over_budget(entries, budget=0, now=100.0, policy=policy) == order


def test_equals_leave_by_age_and_then_by_key():
    entries = [entry(key, build=0.0, use=use(last)) for key, last in (("c", 5.0), ("b", 5.0), ("d", 1.0))]
    assert over_budget(entries, budget=0, now=9.0) == ["d", "b", "c"]


def test_nothing_leaves_within_the_budget():
    assert over_budget([entry("a"), entry("b")], budget=20, now=0.0) == []


def test_no_more_leaves_than_must():
    assert over_budget([entry("a"), entry("b"), entry("c")], budget=15, now=0.0) == ["a", "b"]


def test_what_is_pinned_stays_even_over_the_budget():
    entries = [entry("a", pinned=True, build=0.0), entry("b", build=9.0), entry("c", pinned=True)]
    assert over_budget(entries, budget=5, now=0.0) == ["b"]


def test_a_link_leaves_after_those_that_stand_on_it():
    entries = [
        entry("root", build=0.1),
        entry("middle", parent="root", build=0.2),
        entry("leaf", parent="middle", build=9.0),
        entry("branch", parent="root", build=8.0),
    ]
    assert over_budget(entries, budget=0, now=0.0) == ["branch", "leaf", "middle", "root"]


def test_what_a_pinned_link_stands_on_stays_too():
    entries = [entry("root"), entry("leaf", parent="root", pinned=True), entry("other", parent="root")]
    assert over_budget(entries, budget=0, now=0.0) == ["other"]


def test_a_link_whose_parent_is_gone_is_judged_by_itself():
    entries = [entry("orphan", parent="gone", build=0.1), entry("b")]
    assert over_budget(entries, budget=10, now=0.0) == ["orphan"]


# --- whatever comes --------------------------------------------------------------------------

seconds = st.floats(min_value=0, max_value=1e6)


@st.composite
def shelves(draw) -> list[Entry]:
    """Draw entries whose parents are among the ones before them, or nowhere."""
    made: list[Entry] = []
    for number in range(draw(st.integers(0, 12))):
        parents = ["", "gone", *(each.key for each in made)]
        first = draw(seconds)
        made.append(
            Entry(
                key=f"k{number}",
                size=draw(st.integers(0, 50)),
                build=draw(st.sampled_from([0.0, 0.5, 3.0])),
                load=draw(st.sampled_from([0.0, 0.25, 1.0])),
                use=spread(draw(st.integers(0, 5)), first=first, last=first + draw(seconds)),
                parent=draw(st.sampled_from(parents)),
                pinned=draw(st.booleans()) and draw(st.booleans()),
            )
        )
    return draw(st.permutations(made))


def held_down(entries: list[Entry]) -> set[str]:
    """Return the keys of what is pinned and of all that it stands on."""
    by_key = {each.key: each for each in entries}
    kept: set[str] = set()
    for each in entries:
        node = each if each.pinned else None
        while node is not None and node.key not in kept:
            kept.add(node.key)
            node = by_key.get(node.parent)
    return kept


@given(shelves(), st.integers(0, 400), seconds, st.sampled_from(POLICIES))
def test_only_pins_exceed_the_budget_and_nothing_leaves_for_nothing(entries, budget, now, policy):
    leaving = over_budget(entries, budget=budget, now=now, policy=policy)
    size = {each.key: each.size for each in entries}
    left = sum(size.values()) - sum(size[key] for key in leaving)
    pinned = held_down(entries)
    assert len(set(leaving)) == len(leaving)
    assert pinned.isdisjoint(leaving)
    assert left <= budget or set(size) - set(leaving) == pinned
    assert not leaving or left + size[leaving[-1]] > budget


@given(shelves(), st.integers(0, 400), seconds, st.sampled_from(POLICIES))
def test_at_every_step_the_least_of_those_that_may_leave_does(entries, budget, now, policy):
    here = {each.key: each for each in entries}
    for key in over_budget(entries, budget=budget, now=now, policy=policy):
        standing = {each.parent for each in here.values()}
        free = [each for each in here.values() if not each.pinned and each.key not in standing]
        least = min(free, key=lambda each: (policy(each, now), each.use.last, each.key))
        assert key == least.key
        del here[key]


@given(shelves(), st.integers(0, 400), seconds, st.sampled_from(POLICIES), st.randoms())
def test_the_order_in_which_entries_are_told_changes_nothing(entries, budget, now, policy, random):
    shuffled = random.sample(entries, len(entries))
    first = over_budget(entries, budget=budget, now=now, policy=policy)
    assert over_budget(shuffled, budget=budget, now=now, policy=policy) == first


@given(shelves(), st.integers(0, 400), seconds, st.sampled_from(POLICIES))
def test_what_was_decided_is_settled(entries, budget, now, policy):
    leaving = set(over_budget(entries, budget=budget, now=now, policy=policy))
    rest = [each for each in entries if each.key not in leaving]
    assert over_budget(rest, budget=budget, now=now, policy=policy) == []


@given(shelves(), seconds)
def test_every_value_is_a_number_from_nought(entries, now):
    values = [policy(each, now) for each in entries for policy in POLICIES]
    assert all(math.isfinite(value) and value >= 0 for value in values)
