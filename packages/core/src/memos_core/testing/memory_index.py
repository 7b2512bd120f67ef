"""A TextIndex in a dict: exact, forgetful, and able to be down on purpose."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime

from memos_core.errors import BackendUnavailable, Closed, InvalidInput
from memos_core.protocols import Candidate, IndexEntry, Vectors
from memos_core.tiers.text._entries import checked_cubes, checked_entries, checked_query, microseconds


class InMemoryIndex:
    """The TextIndex to test with. While `down` is true, all but `close` raises BackendUnavailable."""

    def __init__(self, *, dimensions: int) -> None:
        if dimensions < 1:
            raise InvalidInput(f"dimensions must be positive, not {dimensions}")
        self.dimensions = dimensions
        self.down = False
        self._held: dict[str, IndexEntry] = {}
        self._lock = threading.Lock()
        self._closed = False

    def upsert(self, entries: Sequence[IndexEntry]) -> None:
        """Store these memories; InvalidInput, and nothing stored, if one of them cannot be."""
        self._must_answer()
        checked = checked_entries(entries, dimensions=self.dimensions)
        with self._lock:
            self._held |= {entry.id: entry for entry in checked}

    def delete(self, ids: Sequence[str]) -> None:
        """Remove these memories; unknown ids are no error."""
        self._must_answer()
        with self._lock:
            for memory_id in ids:
                self._held.pop(memory_id, None)

    def search(
        self,
        vector: Vectors,
        *,
        cubes: Sequence[str],
        limit: int,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Candidate]:
        """Return at most `limit` memories of these cubes, best first; exact, by brute force."""
        self._must_answer()
        question = checked_query(vector, dimensions=self.dimensions)
        wanted = set(checked_cubes(cubes))
        earliest, latest = (None if bound is None else microseconds(bound) for bound in (since, until))
        with self._lock:
            held = list(self._held.values())
        found = [
            Candidate(id=entry.id, version=entry.version, score=float((entry.vectors @ question).max()))
            for entry in held
            if entry.cube in wanted and _within(entry.at, earliest, latest)
        ]
        return sorted(found, key=lambda candidate: (-candidate.score, candidate.id))[: max(0, limit)]

    def count(self) -> int:
        """Return how many memories are stored."""
        self._must_answer()
        return len(self._held)

    def close(self) -> None:
        """Forget everything. Closing twice is no error."""
        self._closed = True
        self._held.clear()

    def _must_answer(self) -> None:
        if self._closed:
            raise Closed
        if self.down:
            raise BackendUnavailable("the index is down: a test said so")


def _within(at: datetime | None, since: int | None, until: int | None) -> bool:
    if since is None and until is None:
        return True
    if at is None:
        return False
    moment = microseconds(at)
    return (since is None or since <= moment) and (until is None or moment < until)
