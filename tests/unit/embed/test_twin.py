import hashlib

import numpy as np
import pytest

from memos_core.errors import InvalidInput
from memos_core.testing.embedder import HashEmbedder


@pytest.fixture(scope="module")
def twin():
    return HashEmbedder()


@pytest.mark.parametrize(
    ("question", "like", "unlike"),
    [
        ("Where does Mira live?", "Mira lives in Porto", "The disk is full"),
        ("CATS sleeping", "the cat sleeps", "stocks fell sharply"),
        ("里斯本在哪里", "我住在里斯本", "データベース"),
    ],
)
def test_texts_that_share_words_are_nearer(twin, question, like, unlike):
    near, far = twin.embed([like, unlike]) @ twin.embed_query(question)
    assert near > far + 0.1


def test_it_gives_the_same_vectors_everywhere(twin):
    digest = hashlib.sha256(np.round(twin.embed_query("Mira moved to Lisbon"), 4).tobytes()).hexdigest()
    assert digest[:12] == "3805a1b601c2"


def test_unlike_texts_are_far_apart_on_average(twin):
    likeness = twin.embed([f"alpha{n} beta{n} gamma{n} delta{n}" for n in range(60)])
    pairs = (likeness @ likeness.T)[np.triu_indices(60, 1)]
    assert abs(pairs.mean()) < 0.1


def test_its_identity_tells_its_dimensions():
    assert HashEmbedder(dimensions=8).identity != HashEmbedder(dimensions=16).identity


def test_one_dimension_is_enough_to_answer():
    assert np.abs(HashEmbedder(dimensions=1).embed(["a b c", ""])).tolist() == [[1.0], [1.0]]


def test_no_dimension_is_refused():
    with pytest.raises(InvalidInput, match="dimensions"):
        HashEmbedder(dimensions=0)


def test_a_bare_text_is_refused(twin):
    with pytest.raises(InvalidInput, match="several texts"):
        twin.embed("text")
