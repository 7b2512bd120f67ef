"""What each column says, on cubes small enough to see through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from memos_core.operator.features import FEATURES, Query, features, scaled
from memos_core.operator.rank import fitted_weights
from memos_core.tiers.text.arrays import NONE, Arrays, Floats, Traits, arranged
from memos_core.tiers.text.postings import Posting


def cube_of(
    sessions: Sequence[int],
    *,
    asks: Sequence[int] = (),
    norms: npt.ArrayLike = 1.0,
    lengths: npt.ArrayLike = 5,
) -> Arrays:
    """One memory per session code; equal codes that follow are neighbours, NONE is a lone statement."""
    n = len(sessions)
    previous, following = np.full(n, NONE, np.int32), np.full(n, NONE, np.int32)
    for i in range(1, n):
        if sessions[i] == sessions[i - 1] != NONE:
            previous[i], following[i - 1] = i - 1, i
    traits = Traits(
        seqs=np.arange(n, dtype=np.int64),
        lengths=np.broadcast_to(np.asarray(lengths, np.float32), n).copy(),
        speakers=np.arange(n, dtype=np.int32) % 2,
        is_question=np.isin(np.arange(n), asks),
        is_assistant=np.zeros(n, np.bool_),
        is_first_person=np.zeros(n, np.bool_),
        times=np.array([np.nan, *range(1, n)][:n], np.float64),
    )
    return arranged(
        traits,
        alive=np.ones(n, np.bool_),
        previous=previous,
        following=following,
        sessions=np.array(sessions, np.int32),
        norms=np.broadcast_to(np.asarray(norms, np.float32), n).copy(),
    )


def posting(*positions: int) -> Posting:
    return Posting(np.array(positions, np.int32), np.ones(len(positions), np.float32))


def asked(cosine: Sequence[float] | Floats, *postings: Posting) -> Query:
    return Query(cosine=np.asarray(cosine, np.float32), postings=postings)


def column(matrix: Floats, name: str) -> list[float]:
    values: list[float] = matrix[:, FEATURES.index(name)].round(4).tolist()
    return values


@pytest.mark.parametrize("n", [0, 1])
def test_a_cube_without_rivals_scores_nothing_but_that_it_has_the_words(n: int) -> None:
    matrix = features(cube_of([NONE] * n), asked([0.9] * n, posting(*range(n))))
    expected = np.zeros((n, len(FEATURES)), np.float32)
    expected[:, FEATURES.index("coverage")] = 1
    assert (str(matrix.dtype), matrix.tolist()) == ("float32", expected.tolist())


def test_lone_statements_are_told_apart_by_their_own_words_and_vectors() -> None:
    matrix = features(cube_of([NONE] * 3), asked([0.2, 0.9, 0.2], posting(1)))
    names = ("bm25", "bm25_wide", "cosine", "best_session", "next", "previous", "answers")
    assert [column(matrix, name) for name in names] == [[0, 1, 0]] * 4 + [[0, 0, 0]] * 3


def test_a_window_is_made_of_the_neighbours_own_postings() -> None:
    matrix = features(cube_of([0] * 7), asked([0] * 7, posting(3)))
    reached = {
        name: [place for place, value in enumerate(column(matrix, name)) if value > 0]
        for name in ("bm25", "bm25_window", "bm25_wide")
    }
    assert reached == {"bm25": [3], "bm25_window": [2, 3, 4], "bm25_wide": [1, 2, 3, 4, 5]}


def test_bm25_is_the_published_formula() -> None:
    lengths = np.array([2, 4, 6, 8])
    found = features(
        cube_of([NONE] * 4, lengths=lengths),
        asked([0] * 4, Posting(np.array([0, 2], np.int32), np.array([1, 3], np.float32)), posting(3)),
    )
    count = np.array([[1, 0, 3, 0], [0, 0, 0, 1]])
    rarity = np.log(1 + (4 - np.array([2, 1]) + 0.5) / (np.array([2, 1]) + 0.5))
    real = rarity @ (count / (count + 1.2 * (1 - 0.75 + 0.75 * lengths / lengths.mean())))
    np.testing.assert_allclose(found[:, 0], real / real.max(), rtol=1e-5)


def test_coverage_is_the_share_of_the_querys_rarity_in_the_window() -> None:
    matrix = features(cube_of([0, 0, NONE, NONE]), asked([0] * 4, posting(0), posting(2, 3)))
    common, rare = np.log(1 + 2.5 / 2.5), np.log(1 + 2.5 / 2.5)  # each in two windows of four
    assert column(matrix, "coverage") == pytest.approx([rare / (rare + common)] * 2 + [0.5] * 2)


def test_a_composed_cosine_is_that_of_the_summed_vectors() -> None:
    rows = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    summed = np.stack([rows[0:2].sum(0), rows[0:3].sum(0), rows[1:3].sum(0)] + [rows[3:].sum(0)] * 2)
    norms = np.linalg.norm(summed, axis=1)
    matrix = features(cube_of([0, 0, 0, 1, 1], norms=norms), asked(rows @ rows[0]))
    expected = scaled(np.asarray(summed @ rows[0] / norms, np.float32))
    np.testing.assert_allclose(matrix[:, FEATURES.index("cosine_window")], expected, atol=1e-5)


def test_a_session_is_worth_the_mean_of_its_three_best() -> None:
    matrix = features(cube_of([4, 4, 4, 4, 7, NONE]), asked([1.0, 0.5, 0.5, 0.5, 0.0, 0.8]))
    assert column(matrix, "session") == pytest.approx([1 / 3] * 4 + [0, 0.4], abs=1e-4)


def test_a_session_is_also_worth_its_best_cosine() -> None:
    matrix = features(cube_of([4, 4, 7, 7, NONE, 4]), asked([1.0, 0.1, 0.2, 0.0, 0.6, 0.3]))
    assert column(matrix, "best_session") == pytest.approx([1, 1, 0, 0, 0.5, 1])


def test_the_turn_after_a_fitting_question_answers() -> None:
    matrix = features(cube_of([0] * 4, asks=(1,)), asked([0, 1, 0, 0]))
    assert column(matrix, "answers") == [0, 0, 0.5, 0]


def test_speaker_and_time_are_those_the_query_names() -> None:
    query = Query(cosine=np.zeros(4, np.float32), postings=[], speakers=frozenset({1}), window=(2.0, 3.0))
    matrix = features(cube_of([NONE] * 4), query)
    assert (column(matrix, "speaker"), column(matrix, "in_time")) == ([0, 1, 0, 1], [0, 0, 1, 0])


def test_nothing_crosses_from_one_session_to_the_next() -> None:
    matrix = features(cube_of([0, 0, 1, 1]), asked([0, 0, 1, 0], posting(2)))
    assert matrix[:2].tolist() == [[0.0] * len(FEATURES)] * 2


@given(
    sessions=st.lists(st.integers(-1, 3), min_size=1, max_size=40),
    words=st.lists(st.sets(st.integers(0, 39), max_size=12), max_size=4),
    seed=st.integers(0, 99),
)
def test_every_column_lies_between_zero_and_one(
    sessions: list[int], words: list[set[int]], seed: int
) -> None:
    n = len(sessions)
    cosine = np.random.default_rng(seed).uniform(-1, 1, n).astype(np.float32)
    postings = [posting(*sorted(place for place in places if place < n)) for places in words]
    matrix = features(cube_of(sorted(sessions), asks=range(0, n, 3)), asked(cosine, *postings))
    assert (matrix.shape, bool(matrix.min() >= 0), bool(matrix.max() <= 1 + 1e-5)) == (
        (n, len(FEATURES)),
        True,
        True,
    )


@given(values=st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=20))
def test_scaling_keeps_the_order_and_calls_a_constant_nothing(values: list[float]) -> None:
    given_, found = np.array(values, np.float32), scaled(np.array(values, np.float32))
    kept = bool((np.diff(found[np.argsort(given_, kind="stable")]) >= 0).all())
    assume(np.ptp(given_) == 0 or np.ptp(given_) > 1e-6)  # what lies closer together is not stretched
    assert (kept, float(found.max()) in (0.0, pytest.approx(1.0, abs=1e-5))) == (True, True)


def test_the_shipped_weights_cover_every_column() -> None:
    assert (fitted_weights().values.shape, bool((fitted_weights().values != 0).all())) == (
        (len(FEATURES),),
        True,
    )
