from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memos_core.errors import InvalidInput
from memos_core.heat import Heat
from memos_core.scheduler.moves import Move, MoveKind
from memos_core.scheduler.plan import plan
from memos_core.scheduler.policies import COST, LFU, LRU, Prices, by_cost, by_label, by_likeness, named
from memos_core.scheduler.stats import Budget, Chores, Form, Pool, Standings, Tier

NOW = 1_800_000_000.0
POLICIES = [COST, LRU, LFU, by_likeness(0.4), by_label({"vip"})]


def form(name="mira", **given):
    plain = {"tier": Tier.KV, "pool": Pool.DISK, "size": 100, "make": 2.0, "saves": 1.9}
    return Form(**{"cube": name, "name": name, **plain, "uses": Heat(50.0, NOW - 30), **given})


def planned(*forms, budget=None, policy=COST, now=NOW, **given):
    return plan(Standings(forms=forms, **given), budget or Budget(), now, policy=policy)


def steps(moves):
    return [(move.kind.value, move.name) for move in moves]


# --- what pays ------------------------------------------------------------------------------------

CASES = {
    "what is used often is prefilled": (form(), "prefill"),
    "what was never used is not": (form(uses=Heat()), None),
    "what cooled down is not": (form(uses=Heat(1.0, NOW - 3e6)), None),
    "what changes sooner than it is used is not": (form(changes=Heat(1e5, NOW)), None),
    "what is there stays": (form(held=True), None),
    "what is there stays without a use, if there is room": (form(held=True, uses=Heat()), None),
    "what is stale is made anew": (form(held=True, stale=True), "prefill"),
    "what is stale and not used goes": (form(held=True, stale=True, uses=Heat()), "evict"),
    "keys are loaded": (form(tier=Tier.RESIDENT, pool=Pool.RAM), "load"),
    "what was let go just now is left alone": (form(since=NOW - 10), None),
    "an adapter that many uses pay for is trained": (
        form(tier=Tier.LORA, on_demand=False, make=60.0, uses=Heat(500.0, NOW)),
        "distil",
    ),
    "an adapter that few uses pay for is not": (
        form(tier=Tier.LORA, on_demand=False, make=60.0, uses=Heat(5.0, NOW - 30)),
        None,
    ),
    "an adapter that is stale is trained anew": (
        form(tier=Tier.LORA, on_demand=False, make=60.0, uses=Heat(500.0, NOW), held=True, stale=True),
        "retrain",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_form_moves_where_it_pays(case):
    given_form, kind = CASES[case]
    assert [move.kind.value for move in planned(given_form)] == ([kind] if kind else [])


def test_a_move_says_why_and_what_it_spares():
    (move,) = planned(form(make=2.0))
    assert move == Move(
        kind=MoveKind.PREFILL,
        cube="mira",
        name="mira",
        tier=Tier.KV,
        reason="2.1 uses expected in 1 h, 1.7 s to gain for 1 s",
        saves=move.saves,
        frees=-100,
    )
    assert 0.7 < move.saves < 0.8


def test_what_is_worth_least_for_its_bytes_goes():
    hot, cold = form("hot", held=True), form("cold", held=True, uses=Heat(0.1, NOW - 9000))
    assert steps(planned(hot, cold, budget=Budget(disk=150))) == [("evict", "cold")]


def test_a_little_more_use_does_not_displace_what_is_there():
    there, new = form("there", held=True), form("new", uses=Heat(55.0, NOW - 30))
    assert planned(there, new, budget=Budget(disk=150)) == []


def test_a_form_of_pieces_keeps_its_beginning():
    hot = form("hot", held=True)
    cold = form("cold", held=True, uses=Heat(0.1, NOW - 9000), granule=30)
    (move,) = planned(hot, cold, budget=Budget(disk=180))
    assert (move.kind, move.name, move.frees, move.leaves) == (MoveKind.EVICT, "cold", 40, 60)


def test_a_form_of_pieces_goes_whole_where_not_one_fits():
    hot, cold = form("hot", held=True), form("cold", held=True, uses=Heat(0.1, NOW - 9000), granule=30)
    (move,) = planned(hot, cold, budget=Budget(disk=120))
    assert (move.name, move.frees, move.leaves) == ("cold", 100, 0)


def test_what_is_there_in_part_is_completed_where_there_is_room_to_spare():
    part = form(held=True, granule=10, rest=40)
    made = {disk: planned(part, budget=Budget(disk=disk)) for disk in (279, 280)}
    assert {disk: [(move.kind, move.frees) for move in moves] for disk, moves in made.items()} == {
        279: [],
        280: [(MoveKind.PREFILL, -40)],
    }


def test_what_is_made_ahead_takes_only_room_to_spare():
    there, new = form("there", held=True, uses=Heat(0.1, NOW - 9000)), form("new")
    made = {disk: steps(planned(there, new, budget=Budget(disk=disk))) for disk in (199, 200, 399, 400)}
    assert made == {199: [], 200: [], 399: [], 400: [("prefill", "new")]}


ADAPTER = {"tier": Tier.LORA, "on_demand": False, "make": 60.0, "uses": Heat(900.0, NOW)}


def test_what_comes_by_no_use_displaces_what_is_worth_less():
    there = form("there", held=True, uses=Heat(1.0, NOW - 3000))
    moves = planned(there, form("new", **ADAPTER), budget=Budget(disk=150))
    assert steps(moves) == [("evict", "there"), ("distil", "new")]


def test_what_was_made_just_now_is_not_displaced():
    there = form("there", held=True, uses=Heat(1.0, NOW - 3000), since=NOW - 10)
    assert planned(there, form("new", **ADAPTER), budget=Budget(disk=150)) == []


def test_what_is_pinned_stays_whatever_the_budget():
    assert planned(form(held=True, pinned=True, uses=Heat()), budget=Budget(disk=0)) == []


def test_the_day_has_so_many_seconds_of_training():
    adapter = {"tier": Tier.LORA, "on_demand": False, "make": 60.0}
    hot, warm = form("hot", uses=Heat(900.0, NOW), **adapter), form("warm", uses=Heat(500.0, NOW), **adapter)
    moves = planned(warm, hot, budget=Budget(training=100), trained=30.0)
    assert steps(moves) == [("distil", "hot")]


def test_chores_come_first_and_room_is_made_before_it_is_taken():
    chores = Chores(cube="c", name="c", overdue=2, overdue_size=7, rested=1, rested_size=3, scattered=1)
    moves = planned(
        form("cold", held=True, uses=Heat(0.1, NOW - 9000)),
        form("hot", tier=Tier.RESIDENT, pool=Pool.RAM),
        budget=Budget(disk=50),
        chores=[chores],
    )
    assert [(each.kind.value, each.frees) for each in moves] == [
        ("expire", 7),
        ("archive", 3),
        ("consolidate", 0),
        ("evict", 100),
        ("load", -100),
    ]


def test_a_price_of_nothing_makes_everything_that_may_be_used():
    free = by_cost(Prices(idle=0.0, margin=0.0))
    assert steps(planned(form(uses=Heat(0.01, NOW - 3000)), policy=free)) == [("prefill", "mira")]


def test_by_label_makes_what_bears_one_and_lets_the_rest_go_for_it():
    vip, other = form("vip", labels=frozenset({"vip"}), uses=Heat()), form("other", held=True)
    moves = planned(vip, other, budget=Budget(disk=100), policy=named("label:vip"))
    assert steps(moves) == [("evict", "other"), ("prefill", "vip")]


def test_by_likeness_makes_what_is_talked_about():
    near, far = form("near", likeness=0.8), form("far", likeness=0.3)
    assert steps(planned(near, far, policy=by_likeness(0.5))) == [("prefill", "near")]


@pytest.mark.parametrize(
    "refused",
    [
        lambda: named("fifo"),
        lambda: named("similarity"),  # a store does not know what is being talked about
        lambda: named(None),
        lambda: Budget(ram=-1),
        lambda: Budget(disk=1.5),
        lambda: Budget(training=float("nan")),
        lambda: Prices(idle=-1),
        lambda: Prices(horizon=0),
        lambda: by_likeness(2),
    ],
)
def test_what_makes_no_sense_is_refused(refused):
    with pytest.raises(InvalidInput):
        refused()


# --- whatever the forms ---------------------------------------------------------------------------

ages = st.floats(0, 1e6)
heats = st.builds(lambda count, age: Heat(count, NOW - age), st.floats(0, 500), ages)


@st.composite
def any_form(draw, name):
    tier = draw(st.sampled_from([Tier.RESIDENT, Tier.KV, Tier.LORA]))
    make = draw(st.floats(0.01, 300))
    held = draw(st.booleans())
    granule = draw(st.sampled_from([0, 0, 1, 70])) if tier is Tier.KV else 0
    return Form(
        cube=name,
        name=name,
        tier=tier,
        pool=draw(st.sampled_from(list(Pool))),
        size=draw(st.integers(0, 1000)),
        make=make,
        saves=draw(st.floats(0, 1)) * make,
        uses=draw(heats),
        changes=draw(heats),
        on_demand=tier is not Tier.LORA,
        held=held,
        granule=granule,
        rest=draw(st.integers(0, 500)) if held and granule else 0,
        stale=draw(st.booleans()),
        since=draw(st.none() | ages.map(lambda age: NOW - age)),
        hits=draw(st.integers(0, 50)),
        likeness=draw(st.floats(0, 1)),
        labels=draw(st.sampled_from([frozenset(), frozenset({"vip"})])),
    )


@st.composite
def houses(draw):
    count = draw(st.integers(0, 12))
    forms = [draw(any_form(f"cube {number}")) for number in range(count)]
    limits = st.none() | st.just(0) | st.integers(0, 4000)
    budget = Budget(
        ram=draw(limits),
        disk=draw(limits),
        device=draw(limits),
        training=draw(st.none() | st.just(0) | st.floats(0, 600)),
    )
    return Standings(forms=forms, trained=draw(st.floats(0, 300))), budget, draw(st.sampled_from(POLICIES))


def applied(stats, moves, now=NOW):
    """Return the standings after these moves."""
    by_key = {(move.cube, move.tier): move for move in moves}
    forms, trained = [], stats.trained
    for each in stats.forms:
        move = by_key.get((each.cube, each.tier))
        kind = move and move.kind
        if kind is MoveKind.EVICT and move.leaves:
            left = move.leaves / each.size
            rest = each.rest + move.frees
            forms.append(replace(each, size=move.leaves, saves=each.saves * left, rest=rest, since=now))
        elif kind is MoveKind.EVICT:
            size = each.size + each.rest
            forms.append(replace(each, held=False, stale=False, size=size, rest=0, since=now))
        elif kind is MoveKind.PREFILL and each.held and not each.stale:
            forms.append(replace(each, size=each.size + each.rest, rest=0, since=now))
        elif kind is not None:
            forms.append(replace(each, held=True, stale=False, rest=0, since=now))
            trained += each.make if each.tier is Tier.LORA else 0
        else:
            forms.append(each)
    return Standings(forms=forms, trained=trained)


@settings(max_examples=100, deadline=None)
@given(houses())
def test_no_budget_is_ever_exceeded(house):
    stats, budget, policy = house
    after = applied(stats, plan(stats, budget, NOW, policy=policy))
    for pool in Pool:
        assert sum(each.size for each in after.forms if each.held and each.pool is pool) <= budget.room(pool)
    if budget.training is not None:
        assert after.trained <= max(budget.training, stats.trained) + 1e-9


@settings(max_examples=100, deadline=None)
@given(houses())
def test_once_done_there_is_nothing_to_do(house):
    stats, budget, policy = house
    after = applied(stats, plan(stats, budget, NOW, policy=policy))
    assert plan(after, budget, NOW, policy=policy) == []


@settings(max_examples=40, deadline=None)
@given(houses(), st.randoms(use_true_random=False))
def test_the_order_in_which_forms_are_told_does_not_matter(house, random):
    stats, budget, policy = house
    shuffled = random.sample(list(stats.forms), len(stats.forms))
    assert plan(replace(stats, forms=shuffled), budget, NOW, policy=policy) == plan(
        stats, budget, NOW, policy=policy
    )


@settings(max_examples=60, deadline=None)
@given(houses(), st.lists(st.floats(0.97, 1.03), min_size=12, max_size=12), st.floats(0, 299))
def test_a_little_noise_takes_nothing_back(house, noise, later):
    stats, budget, _ = house
    first = plan(stats, budget, NOW)
    after = applied(stats, first)
    shaken = [
        replace(each, uses=Heat(each.uses.amount * share, each.uses.at))
        for each, share in zip(after.forms, noise, strict=False)
    ]
    second = plan(replace(after, forms=shaken), budget, NOW + later)
    gone = {each.cube for each in stats.forms if each.stale}  # made anew later, once they have settled
    moved = {
        (each.cube, each.tier) for each in first if not (each.kind is MoveKind.EVICT and each.cube in gone)
    }
    assert moved.isdisjoint({(move.cube, move.tier) for move in second})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.95, 1.05), min_size=2, max_size=40))
def test_two_of_equal_worth_do_not_take_turns(noise):
    stats = Standings(forms=[form("a", held=True), form("b")])
    now, changed = NOW, 0
    for share in noise:
        now += 1000
        first, second = stats.forms
        shaken = [
            replace(first, uses=Heat(50.0 * share, now - 30)),
            replace(second, uses=Heat(50.0 / share, now - 30)),
        ]
        moves = plan(replace(stats, forms=shaken), Budget(disk=150), now)
        changed += bool(moves)
        stats = applied(replace(stats, forms=shaken), moves, now)
    assert changed == 0


def test_of_two_who_is_foreseen_stays():
    last, other = form("last", held=True), form("other", held=True, uses=Heat(50.0, NOW - 90))
    budget = Budget(disk=100)
    assert steps(planned(last, other, budget=budget)) == [("evict", "other")]
    foreseen = [replace(last, soon=0.001), replace(other, soon=0.01)]
    assert steps(planned(*foreseen, budget=budget)) == [("evict", "last")]
