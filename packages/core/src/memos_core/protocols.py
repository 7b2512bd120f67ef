"""The seams: what a back end must promise. Each has two implementations and a conformance kit.

Kits live in `memos_core.testing`; whoever writes a back end subclasses one and gives a fixture.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from memos_core.errors import BackendError
from memos_core.job import Job, News, Order

if TYPE_CHECKING:
    from sqlalchemy import Connection

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


# --- durable work ----------------------------------------------------------------------------


class JobQueue(Protocol):
    """Keeps work that must not be lost, and hands each piece to one worker at a time.

    Of each kind and cube one job runs. The higher priority goes first; among equals cubes take turns.
    A worker that says nothing for `LEASE` loses its job, and the attempt counts; after `max_attempts` the
    job is dead, and says why. Kinds that nobody asks for are left waiting. Safe from several threads.
    """

    def put(self, connection: Connection, order: Order) -> str:
        """Write a job in the caller's own transaction; return its id.

        With the key of one that waits, of the same kind, cube, orderer and purpose, it is folded into that
        one, whose id is returned.
        """
        ...

    def claim(self, kinds: Collection[str], *, worker: str) -> Job | None:
        """Lease the next job of these kinds; None where there is nothing to do now."""
        ...

    def report(self, job: Job, news: News, *, connection: Connection | None = None) -> bool:
        """Say how it goes with a claimed job, in the caller's own transaction if one is given.

        Return False, and change nothing, where the lease is over: then nothing done for it may count.
        """
        ...

    def move(self, job_id: str, verb: str) -> Job:
        """Take a step that people ask for: "cancel" or "retry"; return the job as it is then.

        Raises NotFound for a job that is not there, IllegalTransition where it has no such step.
        """
        ...

    def find(self, job_id: str) -> Job:
        """Return a job as it stands; NotFound where there is none."""
        ...


# --- extraction ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Something that was said, as an extractor reads it. `id` is the memory's."""

    id: str
    text: str
    speaker: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """A statement that was found in passages; `found_in` are their ids, at least one."""

    text: str
    found_in: tuple[str, ...]
    kind: str = "fact"
    at: datetime | None = None
    tags: tuple[str, ...] = ()


class Extractor(Protocol):
    """Reads what was said and states what of it is worth knowing by itself. Safe from several threads.

    What it returns is data: it is kept as derived from the passages, and trusted no further than they are.
    """

    @property
    def identity(self) -> str:
        """`extractor:<model>`: what one read, the same one does not read again."""
        ...

    def extract(self, passages: Sequence[Passage], *, context: Sequence[Passage] = ()) -> list[Extracted]:
        """Return what the passages state; nothing is an answer. `context` is what was said just before.

        Raises BackendUnavailable where trying again later may help, BackendError for an answer of no use.
        """
        ...
