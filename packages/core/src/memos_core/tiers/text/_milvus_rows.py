"""A memory as rows of Milvus, a search as its filter, and its hits as memories again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from memos_core.protocols import Candidate, IndexEntry
from memos_core.tiers.text._entries import microseconds

LENGTHS = {"pk": 64, "id": 1024, "cube": 32, "text": 65_535, "kind": 1024, "session": 32}  # bytes of UTF-8
INTEGERS = ("key", "keys", "version", "at", "sensitivity", "priority")
_BYTES_A_CALL = 16 << 20  # a server accepts 64 MiB
_UNKNOWN_TIME = -(1 << 62)  # microseconds; before every datetime


def owner(memory_id: str) -> str:
    """Return the hash that stands for an id, because not every id can be written in a filter."""
    return hashlib.sha256(memory_id.encode()).hexdigest()[:32]


def pk_of(memory_id: str, n: int) -> str:
    """Return the primary key of a memory's key `n`, from 0."""
    return f"{owner(memory_id)}:{n}"


def rows_of(entry: IndexEntry) -> Iterator[dict[str, Any]]:
    """Yield one row per key of the memory, from key 0."""
    shared = {
        "id": entry.id,
        "cube": entry.cube,
        "text": _clipped(entry.text, LENGTHS["text"]),
        "kind": _clipped(entry.kind, LENGTHS["kind"]),
        "session": owner(entry.session) if entry.session else "",
        "keys": len(entry.vectors),
        "version": entry.version,
        "at": _UNKNOWN_TIME if entry.at is None else microseconds(entry.at),
        "sensitivity": entry.sensitivity,
        "priority": entry.priority,
    }
    for n, vector in enumerate(entry.vectors.astype(np.float32, copy=False)):
        yield {"pk": pk_of(entry.id, n), "key": n, "vector": vector} | shared


def _clipped(text: str, size: int) -> str:
    """Return as much of the text as `size` bytes of UTF-8 hold, in whole characters."""
    return text.encode()[:size].decode(errors="ignore")


def calls(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows in order, as many at a time as one call takes."""
    batch: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        weight = 4 * len(row["vector"]) + 4 * len(row["text"]) + 1024  # bytes, at most about
        if batch and size + weight > _BYTES_A_CALL:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += weight
    if batch:
        yield batch


def condition_of(cubes: Sequence[str], since: datetime | None, until: datetime | None) -> str:
    """Return the filter. Only checked hashes and integers enter it."""
    parts = ["cube in [" + ", ".join(f'"{cube}"' for cube in cubes) + "]"]
    if since is not None:
        parts.append(f"at >= {microseconds(since)}")
    if until is not None:
        parts.append(f"at > {_UNKNOWN_TIME} and at < {microseconds(until)}")
    return " and ".join(parts)


def collapsed(hits: Iterable[dict[str, Any]]) -> list[Candidate]:
    """Return each memory once, by the best key of its newest version, best first."""
    best: dict[str, Candidate] = {}
    for hit in hits:
        row = hit["entity"]
        score = min(1.0, max(-1.0, hit["distance"]))
        found = Candidate(id=row["id"], version=row["version"], score=score)
        held = best.setdefault(found.id, found)
        if (found.version, found.score) > (held.version, held.score):
            best[found.id] = found
    return sorted(best.values(), key=lambda candidate: (-candidate.score, candidate.id))
