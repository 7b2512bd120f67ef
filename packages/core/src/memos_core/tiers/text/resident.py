"""A cube's keys in RAM: exact vectors, postings and neighbours, one row per memory.

The cost of a search is that of the cube, and its statistics are the cube's own: no cube's answer
depends on another's contents. Rows are appended and struck out, never moved, so a change costs
what it changes. Not safe from several threads by itself: whoever holds one locks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from memos_core.protocols import KeyRow, Vectors
from memos_core.tiers.text.arrays import NONE, Arrays, Traits, arranged
from memos_core.tiers.text.growing import Growing
from memos_core.tiers.text.postings import Posting, Postings
from memos_core.tiers.text.speech import is_assistant, is_first_person, is_question

_SLICE = 4096
_WORN = 0.25  # share of struck rows at which it is cheaper to begin anew


class Resident:
    """The keys of one cube at change number `change`."""

    def __init__(self, *, dimensions: int, change: int = 0) -> None:
        self.change = change
        self.speaker_codes: dict[str, int] = {}
        self._session_codes: dict[str | None, int] = {}
        self._vectors = Growing(np.float32, width=dimensions)  # one per key
        self._first_key = Growing(np.int64)  # where a row's keys start
        self._seqs = Growing(np.int64)
        self._alive = Growing(np.bool_)
        self._sessions = Growing(np.int32)
        self._positions = Growing(np.int32)
        self._speakers = Growing(np.int32)
        self._questions = Growing(np.bool_)
        self._assistants = Growing(np.bool_)
        self._first_persons = Growing(np.bool_)
        self._times = Growing(np.float64)
        self._previous = Growing(np.int32)
        self._following = Growing(np.int32)
        self._window_norms = Growing(np.float32)
        self._postings = Postings()
        self._row_of: dict[int, int] = {}  # by seq
        self._row_at: dict[tuple[int, int], int] = {}  # by (session, position)
        self._arrays: Arrays | None = None  # made when asked for, dropped by a change

    def __len__(self) -> int:
        """Return how many memories it holds."""
        return len(self._row_of)

    @property
    def is_worn(self) -> bool:
        """Whether so many rows are struck out that it should be built anew."""
        return len(self._seqs) - len(self) > 64 + _WORN * len(self)

    @property
    def size(self) -> int:
        """Bytes of RAM that it takes, nearly."""
        columns = [value for value in vars(self).values() if isinstance(value, Growing)]
        return sum(column.size for column in columns) + self._postings.size + 400 * len(self._seqs)

    @property
    def arrays(self) -> Arrays:
        """What ranking reads: one element per memory, struck rows left out."""
        if self._arrays is None:
            self._arrays = arranged(
                self._traits(),
                alive=self._alive.view,
                previous=self._previous.view,
                following=self._following.view,
                sessions=self._sessions.view,
                norms=self._window_norms.view,
            )
        return self._arrays

    def cosines(self, query: Vectors) -> NDArray[np.float32]:
        """Return each memory's likeness to the query, that of its best key, shape (n,)."""
        likeness: NDArray[np.float32] = self._vectors.view @ query
        if len(likeness) != len(self._seqs):
            likeness = np.maximum.reduceat(likeness, self._first_key.view)
        return self.arrays.kept(likeness)

    def posting(self, term: str) -> Posting:
        """Return which memories have the analysed term, and how often."""
        return self.arrays.renumbered(self._postings.of(term))

    def vectors_of(self, places: NDArray[np.intp]) -> Vectors:
        """Return one unit vector per memory at these places of `arrays`, (len(places), dimensions)."""
        return self._means(self.arrays.rows[places])

    def _traits(self) -> Traits:
        return Traits(
            seqs=self._seqs.view,
            lengths=self._postings.lengths.view,
            speakers=self._speakers.view,
            is_question=self._questions.view,
            is_assistant=self._assistants.view,
            is_first_person=self._first_persons.view,
            times=self._times.view,
        )

    # --- changes -----------------------------------------------------------------------------

    def apply(self, rows: Iterable[KeyRow], *, gone: Iterable[int] = (), change: int) -> None:
        """Strike the memories that are gone, take in rows: new memories, or new versions of known ones."""
        batch = list(rows)
        for seq in {*gone, *(row.seq for row in batch)}:
            self._strike(seq)
        if batch:
            self._append(batch)
        self.change, self._arrays = change, None

    def _append(self, batch: Sequence[KeyRow]) -> None:
        start = len(self._seqs)
        counts = np.fromiter((row.keys for row in batch), dtype=np.int64, count=len(batch))
        self._first_key.extend(len(self._vectors) + np.cumsum(counts) - counts)
        vectors = np.frombuffer(b"".join(row.vectors for row in batch), dtype=np.float16)
        self._vectors.extend(vectors.reshape(counts.sum(), -1))
        self._seqs.extend([row.seq for row in batch])
        self._alive.extend(np.ones(len(batch), dtype=np.bool_))
        self._sessions.extend([self._session(row) for row in batch])
        self._positions.extend([NONE if row.position is None else row.position for row in batch])
        self._speakers.extend([self._speaker(row.speaker) for row in batch])
        self._questions.extend([is_question(row.text) for row in batch])
        self._assistants.extend([is_assistant(row.speaker) for row in batch])
        self._first_persons.extend([is_first_person(row.text) for row in batch])
        self._times.extend([row.event_at.timestamp() if row.event_at else np.nan for row in batch])
        self._postings.extend([row.terms.split() for row in batch])
        rows = range(start, start + len(batch))
        self._row_of |= {row.seq: number for row, number in zip(batch, rows, strict=True)}
        self._join(rows)

    def _join(self, rows: range) -> None:
        """Make turns neighbours of the turns right before and after them in their session."""
        sessions = self._sessions.view[rows.start :].tolist()
        positions = self._positions.view[rows.start :].tolist()
        places = list(zip(sessions, positions, strict=True))
        self._row_at |= {place: row for place, row in zip(places, rows, strict=True) if place[1] != NONE}
        found = self._row_at.get
        before = [found((s, p - 1), NONE) if p > 0 else NONE for s, p in places]
        after = [found((s, p + 1), NONE) if p != NONE else NONE for s, p in places]
        self._previous.extend(before)
        self._following.extend(after)
        self._window_norms.extend(np.ones(len(rows), dtype=np.float32))
        numbers = np.arange(rows.start, rows.stop, dtype=np.int32)
        previous, following = self._previous.view, self._following.view
        left, right = previous[numbers], following[numbers]
        following[left[left != NONE]] = numbers[left != NONE]
        previous[right[right != NONE]] = numbers[right != NONE]
        self._renorm(np.unique(np.concatenate([numbers, left, right])))

    def _renorm(self, rows: NDArray[np.int32]) -> None:
        """Work out the length of the sum of each row's vector and its neighbours' again."""
        rows = rows[rows != NONE]
        for start in range(0, len(rows), _SLICE):  # bounded memory for a large cube
            part = rows[start : start + _SLICE]
            total = self._means(part)
            for link in (self._previous.view[part], self._following.view[part]):
                total[link != NONE] += self._means(link[link != NONE])
            self._window_norms.view[part] = np.maximum(np.linalg.norm(total, axis=1), 1e-6)

    def _means(self, rows: NDArray[np.integer]) -> Vectors:
        """Return the mean direction of each row's keys, unit length, shape (len(rows), dimensions)."""
        vectors: Vectors = self._vectors.view[self._first_key.view[rows]]
        if len(self._vectors) == len(self._seqs):
            return vectors
        for place, keys in enumerate(map(self._keys_of, rows.tolist())):
            if keys.stop - keys.start > 1:
                total = self._vectors.view[keys].sum(axis=0)
                vectors[place] = total / max(float(np.linalg.norm(total)), 1e-9)
        return vectors

    def _strike(self, seq: int) -> None:
        row = self._row_of.pop(seq, None)
        if row is None:
            return
        self._alive.view[row] = False
        before, after = int(self._previous.view[row]), int(self._following.view[row])
        if before != NONE:
            self._following.view[before] = NONE
        if after != NONE:
            self._previous.view[after] = NONE
        self._previous.view[row] = self._following.view[row] = NONE
        self._row_at.pop((int(self._sessions.view[row]), int(self._positions.view[row])), None)
        self._vectors.view[self._keys_of(row)] = 0  # what is erased is not kept in memory either
        self._renorm(np.array([before, after], dtype=np.int32))

    def _keys_of(self, row: int) -> slice:
        starts = self._first_key.view
        return slice(starts[row], starts[row + 1] if row + 1 < len(starts) else len(self._vectors))

    def _session(self, row: KeyRow) -> int:
        """Return the code of a turn's session; a statement belongs to none."""
        if row.position is None:
            return NONE
        return self._session_codes.setdefault(row.session, len(self._session_codes))

    def _speaker(self, name: str | None) -> int:
        return NONE if name is None else self.speaker_codes.setdefault(name, len(self.speaker_codes))
