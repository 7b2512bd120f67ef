"""The promise of an Embedder as tests, and a deterministic twin that needs no model.

::

    class TestMine(EmbedderConformance):
        @pytest.fixture
        def embedder(self, loaded_once):
            return loaded_once
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import ClassVar

import numpy as np

from memos_core.errors import InvalidInput
from memos_core.protocols import Embedder, Vectors

_WORD = re.compile(r"\w+")
_ENDINGS = ("ing", "ed", "es", "s", "e")
_PROBES = 4  # components that one word touches: two words seldom share all of them

TEXTS = (
    "Mira moved to Lisbon in May 2024.",
    "The cat sleeps on the warm radiator all afternoon.",
    "Our database migration failed because the disk was full.",
    "She plays the violin in a string quartet.",
    "Short.",
    "A much longer note about the harbour, the ferries that leave at dawn, the gulls, the price of fish, "
    "and the old man who mends nets on the quay and has known every captain for fifty years.",
    "The invoice is due on the first of the month.",
)
TRIPLES = (  # a question, what is like it, what is not
    ("Which pet does he have?", "He has a dog and two cats.", "The stock market fell sharply."),
    ("Where does she play music?", "She plays the violin in an orchestra.", "The oven needs a new cable."),
    ("What food does Ana like?", "Ana loves to eat pasta and pizza.", "The train to Porto was delayed."),
)
NASTY = (
    "",
    " ",
    "\n\t\r\n",
    "\0",
    "nul\0inside",
    "👩‍👩‍👧‍👦🏳️‍🌈🧑🏽‍🚀",
    "我们搬到了里斯本。彼は猫が好きです。",
    "انتقلت ميرا إلى لشبونة \u202eabc\u202c",
    "Z̷̢͎a̴l̶g̵o̸ e\u0301 \u200b\ufeff",
    "[CLS] [SEP] <unk> </s> <|endoftext|>",
    "'; DROP TABLE memories; --",
    "x" * 100_000,
    "word " * 20_000,
)


class EmbedderConformance:
    """Subclass it, give a fixture `embedder`; each test is one promise of `protocols.Embedder`."""

    symmetric: ClassVar[bool] = True  # False for a model that embeds questions apart from answers

    def test_identity_reads_model_at_revision(self, embedder: Embedder) -> None:
        model, _, revision = embedder.identity.rpartition("@")
        assert model.strip() == model != ""
        assert revision.strip() == revision != ""

    def test_identity_and_dimensions_do_not_change(self, embedder: Embedder) -> None:
        before = (embedder.identity, embedder.dimensions)
        embedder.embed(TEXTS)
        assert (embedder.identity, embedder.dimensions) == before

    def test_gives_one_unit_float32_row_per_text(self, embedder: Embedder) -> None:
        _assert_units(embedder.embed(TEXTS), (len(TEXTS), embedder.dimensions))

    def test_gives_one_unit_float32_vector_for_a_query(self, embedder: Embedder) -> None:
        _assert_units(embedder.embed_query(TEXTS[0]), (embedder.dimensions,))

    def test_no_texts_give_no_rows(self, embedder: Embedder) -> None:
        empty = embedder.embed([])
        assert (empty.shape, empty.dtype) == ((0, embedder.dimensions), np.dtype(np.float32))

    def test_leaves_its_input_as_it_was(self, embedder: Embedder) -> None:
        texts = list(TEXTS)
        embedder.embed(texts)
        assert texts == list(TEXTS)

    def test_an_answer_is_the_callers_own(self, embedder: Embedder) -> None:
        first = embedder.embed(TEXTS[:2])
        kept = first.copy()
        first[:] = 0
        assert np.allclose(embedder.embed(TEXTS[:2]), kept, atol=1e-3)

    def test_rows_come_in_the_order_of_the_texts(self, embedder: Embedder) -> None:
        alone = np.stack([embedder.embed([text])[0] for text in TEXTS])
        assert np.argmax(embedder.embed(TEXTS) @ alone.T, axis=1).tolist() == list(range(len(TEXTS)))

    def test_equal_texts_give_equal_vectors_alone_and_in_batch(self, embedder: Embedder) -> None:
        alone = np.stack([embedder.embed([text])[0] for text in TEXTS])
        many = embedder.embed([*TEXTS, NASTY[-1], *reversed(TEXTS)])
        wanted = np.concatenate([alone, embedder.embed([NASTY[-1]]), alone[::-1]])
        assert np.abs(many - wanted).max() <= 1e-3

    def test_different_texts_give_different_vectors(self, embedder: Embedder) -> None:
        likeness = embedder.embed(TEXTS) @ embedder.embed(TEXTS).T
        assert (likeness - np.eye(len(TEXTS))).max() < 0.99

    def test_query_and_text_agree(self, embedder: Embedder) -> None:
        queries = np.stack([embedder.embed_query(text) for text in TEXTS])
        texts = embedder.embed(TEXTS)
        assert np.argmax(queries @ texts.T, axis=1).tolist() == list(range(len(TEXTS)))
        if self.symmetric:
            assert np.abs(queries - texts).max() <= 1e-3

    def test_nasty_texts_get_unit_vectors(self, embedder: Embedder) -> None:
        _assert_units(embedder.embed(NASTY), (len(NASTY), embedder.dimensions))

    def test_nasty_queries_get_unit_vectors(self, embedder: Embedder) -> None:
        for text in NASTY:
            _assert_units(embedder.embed_query(text), (embedder.dimensions,))

    def test_eight_threads_get_what_one_gets(self, embedder: Embedder) -> None:
        texts = [f"{text} {number}" for number in range(4) for text in TEXTS]
        wanted = embedder.embed(texts)
        with ThreadPoolExecutor(8) as threads:
            batches = list(threads.map(lambda _: embedder.embed(texts), range(8)))
            queries = np.stack(list(threads.map(embedder.embed_query, texts)))
        assert np.abs(np.stack(batches) - wanted).max() <= 1e-3
        if self.symmetric:
            assert np.abs(queries - wanted).max() <= 1e-3


class SemanticEmbedderConformance(EmbedderConformance):
    """The same for an embedder that knows meanings, not only words."""

    def test_what_is_alike_in_meaning_is_nearer(self, embedder: Embedder) -> None:
        for question, like, unlike in TRIPLES:
            near, far = embedder.embed([like, unlike]) @ embedder.embed_query(question)
            assert near > far, question


class HashEmbedder:
    """A twin for tests: texts that share words, up to their endings, are alike. It has no model to load.

    Feature hashing (Weinberger et al. 2009, arXiv:0902.2206) of case-folded words without their
    endings, and of single characters outside ASCII, by blake2b: the same on every machine.
    `dimensions` counts from 1; below 64 unlike texts begin to look alike.
    """

    def __init__(self, *, dimensions: int = 64) -> None:
        if dimensions < 1:
            raise InvalidInput(f"dimensions must be 1 or more, not {dimensions}")
        self._dimensions = dimensions

    @property
    def identity(self) -> str:
        return f"hashed-words-{self._dimensions}@1"

    @property
    def dimensions(self) -> int:
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, shape (len(texts), dimensions), in the order of the texts."""
        if isinstance(texts, str):
            raise InvalidInput("embed() takes several texts: write embed([text]) or embed_query(text)")
        vectors = np.zeros((len(texts), self._dimensions), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            probes = [probe for feature in _features(text) for probe in _probes(feature)]
            places = np.array([number >> 1 for number in probes], np.int64) % self._dimensions
            signs = np.array([1.0 if number & 1 else -1.0 for number in probes])
            row[:] = np.bincount(places, weights=signs, minlength=self._dimensions)
            if not row.any():  # no words, or words that cancel out
                row[:] = 1.0
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def embed_query(self, text: str) -> Vectors:
        """Return the unit vector of the text, shape (dimensions,)."""
        vector: Vectors = self.embed([text])[0]
        return vector


def _features(text: str) -> Iterator[str]:
    for word in _WORD.findall(text.casefold()):
        if not word.isascii():  # a script without spaces may be in it, where a "word" is a sentence
            yield from word
        stem = next((word.removesuffix(end) for end in _ENDINGS if word.endswith(end)), word)
        yield stem if len(stem) > 2 else word


@lru_cache(maxsize=65_536)
def _probes(feature: str) -> tuple[int, ...]:
    """Return numbers below 2**32; the lowest bit is a sign, the rest chooses a component."""
    digest = hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=4 * _PROBES).digest()
    return tuple(int.from_bytes(digest[at : at + 4], "little") for at in range(0, len(digest), 4))


def _assert_units(vectors: Vectors, shape: tuple[int, ...]) -> None:
    assert (vectors.shape, vectors.dtype) == (shape, np.dtype(np.float32))
    assert np.abs(np.linalg.norm(vectors, axis=-1) - 1).max() <= 1e-4
