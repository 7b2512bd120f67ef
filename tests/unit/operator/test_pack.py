from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core.operator.pack import Companion, Packed, Piece, packed


def directions(*angles):
    """Return a unit vector for each angle in degrees."""
    turns = np.radians(angles)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32).reshape(-1, 2)


def pieces(*scores_and_costs, **of_the_first):
    made = [
        Piece(place=place, score=score, cost=cost) for place, (score, cost) in enumerate(scores_and_costs)
    ]
    if of_the_first:
        made[0] = replace(made[0], **of_the_first)
    return made


@pytest.mark.parametrize(
    ("budget", "most", "chosen"),
    [(30, 9, (0, 1, 2)), (29, 9, (0, 1)), (20, 1, (0,)), (9, 9, ()), (30, 2, (0, 1))],
)
def test_the_best_are_taken_while_they_fit(budget, most, chosen):
    found = packed(pieces((0.9, 10), (0.8, 10), (0.7, 10)), directions(0, 90, 180), budget=budget, most=most)
    assert found == Packed(pieces=chosen, companions=())


def test_what_is_too_dear_is_passed_over_for_what_fits():
    found = packed(pieces((0.9, 50), (0.5, 10), (0.4, 10)), directions(0, 90, 180), budget=20, most=9)
    assert found.pieces == (1, 2)


def test_a_repetition_gives_way_to_news():
    found = packed(pieces((0.9, 10), (0.89, 10), (0.8, 10)), directions(0, 1, 90), budget=20, most=9)
    assert found.pieces == (0, 2)


def test_a_repetition_is_still_better_than_nothing():
    found = packed(pieces((0.9, 10), (0.89, 10)), directions(0, 0), budget=20, most=9)
    assert found.pieces == (0, 1)


def test_what_is_superseded_waits_for_what_supersedes_it():
    old, new = Piece(place=0, score=0.9, cost=5, after=(1,)), Piece(place=1, score=0.3, cost=20)
    both = packed([old, new], directions(0, 90), budget=25, most=9)
    neither = packed([old, new], directions(0, 90), budget=19, most=9)
    assert (both.pieces, neither.pieces) == ((1, 0), ())


def test_companions_take_what_is_left():
    made = pieces((0.9, 10), (0.8, 10), companions=(Companion(7, 5), Companion(8, 6), Companion(9, 1)))
    assert packed(made, directions(0, 90), budget=26, most=9) == Packed(pieces=(0, 1), companions=(7, 9))


def test_a_companion_of_two_hits_comes_once():
    made = [Piece(place=n, score=0.9 - n / 10, cost=1, companions=(Companion(7, 4),)) for n in range(2)]
    assert packed(made, directions(0, 90), budget=20, most=9).companions == (7,)


def test_a_companion_of_what_was_not_chosen_stays_away():
    made = pieces((0.1, 10), (0.8, 10), companions=(Companion(7, 1),))
    assert packed(made, directions(0, 90), budget=15, most=9) == Packed(pieces=(1,), companions=())


def test_a_hit_that_was_chosen_is_nobodys_companion_and_one_that_was_not_may_be():
    question, answer = (
        Piece(place=7, score=0.5, cost=5),
        Piece(place=8, score=0.9, cost=5, companions=(Companion(7, 5),)),
    )
    found = [packed([question, answer], directions(0, 90), budget=20, most=most) for most in (1, 2)]
    assert found == [Packed(pieces=(1,), companions=(7,)), Packed(pieces=(1, 0), companions=())]


def test_nothing_to_pack_is_packed():
    assert packed([], directions(), budget=10, most=9) == Packed(pieces=(), companions=())


costs = st.lists(st.tuples(st.floats(0, 1, width=32), st.integers(1, 40), st.integers(1, 40)), max_size=12)


@given(costs, st.integers(1, 120), st.integers(1, 8))
def test_no_packing_costs_more_than_its_budget_or_repeats_itself(made, budget, most):
    beside = [cost for _, _, cost in made][:3]  # three turns stand beside the hits, at places from 100
    given_pieces = [
        Piece(
            place=n,
            score=score,
            cost=cost,
            companions=(Companion(100 + n % 3, beside[n % 3]),) if n % 3 < len(beside) else (),
        )
        for n, (score, cost, _) in enumerate(made)
    ]
    found = packed(given_pieces, directions(*range(len(made))), budget=budget, most=most)
    spent = sum(given_pieces[n].cost for n in found.pieces) + sum(
        beside[place - 100] for place in found.companions
    )
    repeats = len(found.pieces) - len(set(found.pieces)) + len(found.companions) - len(set(found.companions))
    assert (spent <= budget, repeats, len(found.pieces) <= most) == (True, 0, True)


@given(costs, st.integers(1, 120))
def test_packing_stops_only_when_nothing_more_fits(made, budget):
    given_pieces = pieces(*((score, cost) for score, cost, _ in made))
    chosen = packed(given_pieces, directions(*range(len(made))), budget=budget, most=99).pieces
    left = budget - sum(given_pieces[n].cost for n in chosen)
    assert [n for n, piece in enumerate(given_pieces) if n not in chosen and piece.cost <= left] == []
