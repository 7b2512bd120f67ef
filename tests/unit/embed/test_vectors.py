import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from memos_core.embed.vectors import checked_texts, length_batches, unit_vectors
from memos_core.errors import BackendError, InvalidInput


def test_texts_come_back_as_a_new_list():
    texts = ["a", "b"]
    assert checked_texts(texts) == texts
    assert checked_texts(texts) is not texts


@pytest.mark.parametrize(
    ("texts", "why"),
    [("one text", "several texts"), (["a", 1], "text 1 must be a str"), (["\ud800"], "lone surrogate")],
)
def test_what_is_no_list_of_texts_is_refused(texts, why):
    with pytest.raises(InvalidInput, match=why):
        checked_texts(texts)


def test_rows_are_brought_to_unit_length():
    vectors = unit_vectors([[3, 4], [0, -2]], count=2, dimensions=2, source="x")
    assert vectors.dtype == np.float32
    assert vectors == pytest.approx(np.array([[0.6, 0.8], [0, -1]]))


@given(
    arrays(
        np.float64,
        (3, 5),
        elements=st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
    )
)
def test_any_finite_row_that_is_not_zero_gets_length_one(rows):
    rows[:, 0] = np.where(rows.any(axis=1), rows[:, 0], 1.0)
    lengths = np.linalg.norm(unit_vectors(rows, count=3, dimensions=5, source="x"), axis=1)
    assert lengths == pytest.approx(np.ones(3), abs=1e-5)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ([[1.0, 0.0]], r"shape \(1, 2\), not \(2, 3\)"),
        ([[1.0, 0.0], [1.0, 0.0]], r"shape \(2, 2\), not \(2, 3\)"),
        ([1.0, 2.0], r"shape \(2,\)"),
        ([[1.0, 0.0, 0.0], [1.0, float("nan"), 0.0]], "not finite, for text 1"),
        ([[float("inf"), 0.0, 0.0], [1.0, 0.0, 0.0]], "not finite, for text 0"),
        ([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], "zero vector, for text 1"),
        ([[1.0], [1.0, 2.0]], "no table of numbers"),
        ([["a"], ["b"]], "no table of numbers"),
        (None, "shape"),
    ],
)
def test_what_is_no_vector_is_named(raw, why):
    with pytest.raises(BackendError, match=f"mine@1 gave.*{why}"):
        unit_vectors(raw, count=2, dimensions=3, source="mine@1")


def test_unknown_dimensions_take_what_comes_but_not_nothing():
    assert unit_vectors([[1, 1]], count=1, dimensions=None, source="x").shape == (1, 2)
    with pytest.raises(BackendError, match="any"):
        unit_vectors([[]], count=1, dimensions=None, source="x")


@given(st.lists(st.integers(1, 256)), st.integers(1, 8))
def test_batches_hold_every_position_once_shortest_first(lengths, size):
    batches = list(length_batches(lengths, size=size))
    positions = [at for batch in batches for at in batch]
    assert sorted(positions) == list(range(len(lengths)))
    assert [lengths[at] for at in positions] == sorted(lengths)
    assert all(1 <= len(batch) <= size for batch in batches)
