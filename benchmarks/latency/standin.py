"""Vectors for loading much at once: cheap ones by arithmetic, and a switch to the real ones."""

from __future__ import annotations

import time
import zlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import numpy as np

from memos_core.protocols import Embedder, Vectors

_ROWS = 4096  # word vectors; two words may share one
IDENTITY = "latency-benchmark@1"


class Arithmetic:
    """The normalised sum of seeded word vectors: like texts are alike, and a text costs 20 microseconds."""

    def __init__(self, *, dimensions: int, seed: int = 0) -> None:
        self.identity, self.dimensions = IDENTITY, dimensions
        self._table = np.random.default_rng(seed).standard_normal((_ROWS, dimensions)).astype(np.float32)

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        for place, text in enumerate(texts):
            words = text.lower().split() or [""]
            vectors[place] = self._table[[_code(word) for word in words]].sum(axis=0)
        units: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return units

    def embed_query(self, text: str) -> Vectors:
        vector: Vectors = self.embed([text])[0]
        return vector


class Switched:
    """The arithmetic embedder, and inside `real()` the real one. `spent` is the time taken, in seconds.

    To a store it is one model, so both may write to it: what is measured is time, not likeness.
    """

    def __init__(self, real: Embedder) -> None:
        self.identity, self.dimensions = IDENTITY, real.dimensions
        self.spent = 0.0
        self._cheap, self._real = Arithmetic(dimensions=real.dimensions), real
        self._chosen: Embedder = self._cheap

    @contextmanager
    def real(self) -> Generator[None]:
        self._chosen = self._real
        try:
            yield
        finally:
            self._chosen = self._cheap

    def embed(self, texts: Sequence[str]) -> Vectors:
        begin = time.perf_counter()
        vectors = self._chosen.embed(texts)
        self.spent += time.perf_counter() - begin
        return vectors

    def embed_query(self, text: str) -> Vectors:
        begin = time.perf_counter()
        vector = self._chosen.embed_query(text)
        self.spent += time.perf_counter() - begin
        return vector


def _code(word: str) -> int:
    """Return a number that is the same in every process, as `hash` is not."""
    return zlib.crc32(word.encode()) % _ROWS
