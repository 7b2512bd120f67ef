"""Queries come again: a small cache of their vectors in front of any embedder."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence

from memos_core.errors import InvalidInput
from memos_core.protocols import Embedder, Vectors


class CachingEmbedder:
    """Remembers the vectors of the last `entries` different queries (1.5 kB each at 384 dimensions).

    Texts to be stored pass through: they come once. Queries are kept by a digest, so the cache holds
    nobody's words. A cached vector is read-only; an answer that fails is not kept. Thread-safe; the
    inner embedder is asked outside the lock, so a slow one holds up nobody else.
    """

    def __init__(self, inner: Embedder, *, entries: int = 2048) -> None:
        if entries < 1:
            raise InvalidInput(f"entries must be 1 or more, not {entries}")
        self._inner, self._entries = inner, entries
        self._vectors: OrderedDict[bytes, Vectors] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def identity(self) -> str:
        return self._inner.identity

    @property
    def dimensions(self) -> int:
        return self._inner.dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return what the inner embedder gives, shape (len(texts), dimensions)."""
        return self._inner.embed(texts)

    def forget(self) -> None:
        """Let go of every vector that is kept."""
        with self._lock:
            self._vectors.clear()

    def embed_query(self, text: str) -> Vectors:
        """Return the unit vector of the text, shape (dimensions,); the array is read-only."""
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        with self._lock:
            if (known := self._vectors.get(key)) is not None:
                self._vectors.move_to_end(key)
                return known
        vector = self._inner.embed_query(text).copy()
        vector.flags.writeable = False
        with self._lock:
            self._vectors[key] = vector
            self._vectors.move_to_end(key)
            if len(self._vectors) > self._entries:
                self._vectors.popitem(last=False)
        return vector
