import numpy as np
import pytest

from memos_core.embed import StaticEmbedder, static


@pytest.fixture(scope="module")
def embedder():
    return StaticEmbedder()


def test_a_text_is_the_mean_of_its_words(embedder):
    both = embedder._table[embedder._tokenizer.encode("cat dog", add_special_tokens=False).ids].astype(float)
    wanted = both.mean(axis=0) / np.linalg.norm(both.mean(axis=0))
    assert embedder.embed_query("cat dog") == pytest.approx(wanted, abs=1e-6)


def test_only_the_first_1024_tokens_are_read(embedder):
    head = "word " * 1024
    assert np.array_equal(
        embedder.embed_query(head + "other " * 50), embedder.embed_query(head + "thing " * 50)
    )


def test_more_texts_than_a_window_keep_their_order(embedder, monkeypatch):
    monkeypatch.setattr(static, "_WINDOW", 2)
    texts = ["one", "", "two words", "three words here", "five"]
    assert np.array_equal(embedder.embed(texts), np.stack([embedder.embed_query(text) for text in texts]))


def test_its_identity_tells_the_weights(embedder):
    model, _, revision = embedder.identity.partition("@")
    assert (model, len(revision)) == ("wordllama-l2-supercat-256", 12)
