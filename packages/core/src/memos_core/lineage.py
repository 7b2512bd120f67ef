"""Where a memory comes from and what came of it: sources, versions, kin, and what was made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from memos_core.memory import Memory, Relation, Revision, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Kin:
    """A memory that another one stands on, or that stands on it.

    `via` is the id of the memory on the way to the one that was asked about, one step nearer to it;
    `relation` is that of the link between the two, written at `linked_at`; `depth` counts from 1.
    """

    memory: Memory
    relation: Relation
    via: str
    depth: int
    linked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Something that a tier made from a memory, at `version` of it. `size` is in bytes.

    `stale` says why it must not be served any more, None where it may be.
    """

    key: str
    kind: str  # which tier: "kv"
    version: int
    size: int
    created_at: datetime
    stale: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Everything that a memory came from, and everything that came of it.

    `ancestors` are what it is derived from, what it supersedes and what supports it, and theirs in
    turn, the nearest first; `descendants` are the same the other way. A memory is named once, by the
    shortest way. `record` is the key of the record that it is found by, if there is one.
    """

    memory: Memory
    sources: Sequence[Source]
    versions: Sequence[Revision]
    ancestors: Sequence[Kin]
    descendants: Sequence[Kin]
    artifacts: Sequence[Product]
    record: str | None

    @property
    def made_by(self) -> str:
        """What put it into these words: "verbatim", "statement", "copy", "record", or an extractor's name."""
        return self.memory.header.descriptive.made_by

    @property
    def written_by(self) -> str:
        """Which principal first wrote it."""
        return self.versions[0].written_by
