from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memos_core.tiers.text import postings as module
from memos_core.tiers.text.postings import Postings

words = st.sampled_from([f"w{n}" for n in range(12)])
batches = st.lists(st.lists(st.lists(words, max_size=8), max_size=8), max_size=8)


def told(postings, term):
    found = postings.of(term)
    return list(zip(found.positions.tolist(), found.counts.tolist(), strict=True))


def expected(documents, term):
    return [
        (row, float(Counter(document)[term])) for row, document in enumerate(documents) if term in document
    ]


@pytest.mark.parametrize("merge_at", [0, 10, 4096])
@settings(deadline=None)
@given(batches=batches)
def test_every_term_has_the_rows_and_counts_of_a_plain_count(merge_at, batches):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MERGE_AT", merge_at)
        postings, documents = Postings(), []
        for batch in batches:
            postings.extend(batch)
            documents += batch
            terms = [f"w{n}" for n in range(13)]
            assert [told(postings, term) for term in terms] == [expected(documents, term) for term in terms]
        assert postings.lengths.view.tolist() == [len(document) for document in documents]


def test_a_large_batch_is_sorted_in_beside_small_ones():
    generator = np.random.default_rng(7)
    sizes = [1, 3, 2000, 1, 900, 5]
    documents = [[f"w{n}" for n in generator.integers(0, 40, 6)] for _ in range(sum(sizes))]
    postings, start = Postings(), 0
    for size in sizes:
        postings.extend(documents[start : start + size])
        start += size
    wrong = [
        term for term in {f"w{n}" for n in range(40)} if told(postings, term) != expected(documents, term)
    ]
    assert wrong == []


def test_an_unknown_term_is_nowhere():
    postings = Postings()
    postings.extend([["a"]])
    assert (told(postings, "b"), told(Postings(), "a")) == ([], [])


@pytest.mark.parametrize("merge_at", [0, 4096])
def test_positions_and_counts_have_the_types_that_arithmetic_wants(monkeypatch, merge_at):
    monkeypatch.setattr(module, "_MERGE_AT", merge_at)
    postings = Postings()
    postings.extend([["a", "a"], ["b"]])
    found = postings.of("a")
    assert (found.positions.dtype, found.counts.dtype) == (np.dtype(np.int32), np.dtype(np.float32))
