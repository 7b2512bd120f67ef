from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from memos_core.embed import CachingEmbedder
from memos_core.errors import BackendUnavailable, InvalidInput
from memos_core.testing.embedder import HashEmbedder


class Counting(HashEmbedder):
    def __init__(self):
        super().__init__(dimensions=16)
        self.asked = []

    def embed_query(self, text):
        self.asked.append(text)
        return super().embed_query(text)


@pytest.fixture
def inner():
    return Counting()


def test_a_query_is_embedded_once(inner):
    cache = CachingEmbedder(inner)
    assert np.array_equal(cache.embed_query("q"), cache.embed_query("q"))
    assert inner.asked == ["q"]


def test_the_least_recently_used_is_forgotten(inner):
    cache = CachingEmbedder(inner, entries=2)
    for query in ("a", "b", "a", "c", "a", "b"):
        cache.embed_query(query)
    assert inner.asked == ["a", "b", "c", "b"]


def test_a_cached_vector_cannot_be_spoilt(inner):
    vector = CachingEmbedder(inner).embed_query("q")
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 7


def test_a_failure_is_not_remembered(inner, monkeypatch):
    def down(text):
        raise BackendUnavailable("down")

    cache = CachingEmbedder(inner)
    with monkeypatch.context() as patch:
        patch.setattr(inner, "embed_query", down)
        with pytest.raises(BackendUnavailable):
            cache.embed_query("q")
    assert cache.embed_query("q").shape == (16,)


def test_it_bears_the_name_of_what_it_caches(inner):
    cache = CachingEmbedder(inner)
    assert (cache.identity, cache.dimensions) == (inner.identity, inner.dimensions)


def test_many_threads_and_few_entries_keep_every_answer_right(inner):
    cache = CachingEmbedder(inner, entries=3)
    queries = [f"query {number % 7}" for number in range(400)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(cache.embed_query, queries))
    assert np.array_equal(np.stack(answers), HashEmbedder(dimensions=16).embed(queries))


def test_a_cache_without_room_is_refused(inner):
    with pytest.raises(InvalidInput, match="entries"):
        CachingEmbedder(inner, entries=0)
