import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core.tiers.text.growing import Growing


@given(st.lists(st.lists(st.integers(-100, 100), max_size=90), max_size=12))
def test_what_was_appended_is_there_in_order(batches):
    column = Growing(np.int32)
    for batch in batches:
        column.extend(batch)
    wanted = [value for batch in batches for value in batch]
    assert (column.view.tolist(), len(column)) == (wanted, len(wanted))


def test_rows_of_several_columns_keep_their_shape():
    column = Growing(np.float32, width=3)
    column.extend(np.arange(6).reshape(2, 3))
    column.extend(np.zeros((0, 3)))
    column.extend([[7, 8, 9]])
    assert column.view.tolist() == [[0, 1, 2], [3, 4, 5], [7, 8, 9]]


def test_writing_to_the_view_writes_to_the_column():
    column = Growing(np.bool_)
    column.extend([True, True])
    column.view[0] = False
    column.extend([True] * 200)  # it has to move
    assert column.view[:3].tolist() == [False, True, True]


def test_rows_of_another_width_are_refused_and_nothing_is_appended():
    column = Growing(np.float32, width=3)
    with pytest.raises(ValueError, match="broadcast"):
        column.extend(np.zeros((2, 4)))
    assert len(column) == 0


def test_appending_one_by_one_moves_seldom():
    column = Growing(np.int64)
    moves = 0
    for number in range(5000):
        before = column._data
        column.extend([number])
        moves += column._data is not before
    assert (moves < 60, column.size >= 5000 * 8) == (True, True)
