"""Sequence numbers that a filter gave: a set, whatever its order and size."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from memos_core.vault.seqs import Seqs


@given(held=st.lists(st.integers(1, 2**53)), asked=st.lists(st.integers(1, 2**53)))
def test_it_is_the_set_of_what_the_database_joined(held, asked):
    found, wanted = Seqs.read(",".join(map(str, held)) or None), set(held)
    assert (list(found), len(found)) == (sorted(wanted), len(wanted))
    for seq in {*held, *asked}:
        assert (seq in found) is (seq in wanted)
    each = np.array([*held, *asked], dtype=np.int64)
    assert found.mask(each).tolist() == [seq in wanted for seq in each.tolist()]
