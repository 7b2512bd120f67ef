import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core.tiers.text.arrays import NONE, Traits, arranged, linked
from memos_core.tiers.text.postings import Posting


def ints(*values):
    return np.array(values, dtype=np.int32)


def traits(lengths):
    n = len(lengths)
    flags = np.zeros(n, dtype=np.bool_)
    return Traits(
        seqs=np.arange(n, dtype=np.int64) + 100,
        lengths=np.array(lengths, dtype=np.float32),
        speakers=np.full(n, NONE, dtype=np.int32),
        is_question=flags,
        is_assistant=flags,
        is_first_person=flags,
        times=np.full(n, np.nan),
    )


def of(lengths, *, alive=None, previous=None, following=None, sessions=None):
    n = len(lengths)
    none = np.full(n, NONE, dtype=np.int32)
    return arranged(
        traits(lengths),
        alive=np.ones(n, dtype=np.bool_) if alive is None else np.array(alive, dtype=np.bool_),
        previous=none if previous is None else ints(*previous),
        following=none if following is None else ints(*following),
        sessions=none if sessions is None else ints(*sessions),
        norms=np.arange(n, dtype=np.float32),
    )


CHAIN = {"previous": [NONE, 0, 1, 2], "following": [1, 2, 3, NONE], "sessions": [0, 0, 0, 0]}


def test_windows_reach_one_and_two_turns_far():
    arrays = of([1, 10, 100, 1000], **CHAIN)
    assert (arrays.window_lengths.tolist(), arrays.wide_lengths.tolist()) == (
        [11, 111, 1110, 1100],
        [111, 1111, 1111, 1110],
    )


def test_struck_rows_leave_no_gap_and_no_link():
    # row 1 was struck: whoever strikes it cuts its links
    arrays = of(
        [1, 10, 100, 1000],
        alive=[1, 0, 1, 1],
        previous=[NONE, NONE, NONE, 2],
        following=[NONE, NONE, 3, NONE],
        sessions=[0, 0, 0, 0],
    )
    found = (
        arrays.rows.tolist(), arrays.place_of.tolist(), arrays.traits.seqs.tolist(), arrays.previous.tolist(),
        arrays.following.tolist(), arrays.window_norms.tolist(), len(arrays),
    )  # fmt: skip
    assert found == (
        [0, 2, 3],
        [0, NONE, 1, 2],
        [100, 102, 103],
        [NONE, NONE, 1],
        [NONE, 2, NONE],
        [0, 2, 3],
        3,
    )


def test_sessions_are_grouped_and_who_has_none_stands_alone():
    arrays = of([1, 2, 4, 8, 16], sessions=[1, NONE, 0, 1, NONE])
    groups = [
        sorted(arrays.session_order[start : start + size].tolist())
        for start, size in zip(arrays.session_starts, arrays.session_sizes, strict=True)
    ]
    assert sorted(groups) == [[0, 3], [1], [2], [4]]


def test_postings_and_values_are_renumbered_by_place():
    arrays = of([1, 1, 1], alive=[0, 1, 1])
    posting = arrays.renumbered(Posting(ints(0, 2), np.array([5, 7], dtype=np.float32)))
    assert (
        posting.positions.tolist(),
        posting.counts.tolist(),
        arrays.kept(np.array([1, 2, 3], dtype=np.float32)).tolist(),
    ) == ([1], [7], [2, 3])


@pytest.mark.parametrize("alive", [[], [0, 0]])
def test_nothing_alive_gives_empty_arrays(alive):
    arrays = of([1] * len(alive), alive=alive)
    assert (len(arrays), arrays.session_order.tolist(), arrays.window_lengths.tolist()) == (0, [], [])


@given(st.lists(st.tuples(st.integers(-50, 50), st.none() | st.integers(0, 9)), min_size=1, max_size=10))
def test_a_link_gives_its_neighbours_value_or_the_default(given):
    values = np.array([value for value, _ in given], dtype=np.float32)
    links = ints(*(NONE if link is None else link % len(given) for _, link in given))
    wanted = [7 if link is None else given[link % len(given)][0] for _, link in given]
    assert linked(values, links, 7).tolist() == wanted
