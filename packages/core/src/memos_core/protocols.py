"""The seams: what a back end must promise. Each has two implementations and a conformance kit.

Kits live in `memos_core.testing`; whoever writes a back end subclasses one and gives a fixture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from memos_core.errors import BackendError

Vectors: TypeAlias = NDArray[np.float32]
"""Shape (n, dimensions) or (dimensions,); every row has Euclidean length 1."""


class Embedder(Protocol):
    """Turns texts into vectors whose dot product is their likeness of meaning (-1 to 1).

    Equal texts give equal vectors (up to 1e-3 per component, however they are batched). Empty
    input gives an array of shape (0, dimensions). Safe to call from several threads.
    """

    @property
    def identity(self) -> str:
        """`model@revision`: vectors of two identities never meet."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of each vector, from 1."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector per text that is to be found, shape (len(texts), dimensions)."""
        ...

    def embed_query(self, text: str) -> Vectors:
        """Return the unit vector of a text that asks, shape (dimensions,)."""
        ...


def checked_vectors(vectors: Vectors, embedder: Embedder, *, count: int | None = None) -> Vectors:
    """Return what an embedder made if it kept its promise, else raise BackendError.

    `count` is the number of texts; None for a query's single vector.
    """
    shape = (embedder.dimensions,) if count is None else (count, embedder.dimensions)
    if vectors.shape != shape:
        raise BackendError(
            f"{embedder.identity} gave vectors of shape {vectors.shape}, not {shape}: is it another model?"
        )
    if not np.isfinite(vectors).all():
        raise BackendError(f"{embedder.identity} gave a vector that is not finite")
    return vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """One memory as the index sees it. `vectors` has one row per key (a long text has several)."""

    id: str
    version: int
    cube: str  # a hash: 32 hexadecimal digits
    text: str
    vectors: Vectors
    kind: str = ""
    session: str = ""
    at: datetime | None = None
    sensitivity: int = 0
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What the index proposes. `score` is the best cosine of the memory's keys, -1 to 1."""

    id: str
    version: int
    score: float


class KeyRow(NamedTuple):
    """One memory as ranking sees it: its keys and the scalars that features need."""

    seq: int
    version: int
    text: str
    terms: str
    vectors: bytes  # float16, keys x dimensions, row by row
    keys: int
    session: str | None
    position: int | None
    speaker: str | None
    event_at: datetime | None


class TextIndex(Protocol):
    """Finds the memories whose vectors are nearest. It is derived: losing it loses nothing.

    Own writes are visible to the next search. Failures raise BackendError, and
    BackendUnavailable where trying again later may help. Safe to search from several threads;
    writes come one at a time.
    """

    def upsert(self, entries: Sequence[IndexEntry]) -> None:
        """Store these memories, replacing every key they had. All of them or none."""
        ...

    def delete(self, ids: Sequence[str]) -> None:
        """Remove these memories; unknown ids are no error."""
        ...

    def search(
        self,
        vector: Vectors,
        *,
        cubes: Sequence[str],
        limit: int,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Candidate]:
        """Return at most `limit` memories of these cubes, best first, each once.

        `since <= at < until` bounds the event time; a bound leaves out what has no time.
        """
        ...

    def count(self) -> int:
        """Return how many memories (not keys) are stored."""
        ...

    def close(self) -> None:
        """Release everything. Closing twice is no error."""
        ...
