"""Postings of one cube: which rows have a term, and how often."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memos_core.tiers.text.growing import Growing

_MERGE_AT = 4096  # postings kept apart before they are sorted in
_ROW = (1 << 32) - 1  # the row in a packed posting


class Posting(NamedTuple):
    """Where one term occurs: rising positions (m,) and its counts there (m,)."""

    positions: NDArray[np.int32]
    counts: NDArray[np.float32]


class Postings:
    """Rows by term, in numpy arrays. Rows are numbered in the order in which they are appended.

    The bulk lies sorted by term in two arrays; what was appended since lies in small lists, and is
    sorted in when there is enough of it.
    """

    def __init__(self) -> None:
        self.lengths = Growing(np.float32)  # terms per row
        self._ids: defaultdict[str, int] = defaultdict(count().__next__)  # a new term gets the next number
        self._starts: NDArray[np.int64] = np.zeros(1, dtype=np.int64)
        self._rows: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        self._counts: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._recent: dict[int, list[tuple[int, int]]] = {}
        self._recent_size = 0

    @property
    def size(self) -> int:
        """Bytes taken, nearly."""
        return (
            self._rows.nbytes + self._counts.nbytes + self._starts.nbytes + self.lengths.size
            + 120 * len(self._ids) + 100 * self._recent_size
        )  # fmt: skip

    def extend(self, documents: Sequence[Sequence[str]]) -> None:
        """Append one row per document, each a list of analysed terms."""
        start = len(self.lengths)
        lengths = [len(document) for document in documents]
        self.lengths.extend(lengths)
        every = chain.from_iterable(documents)
        terms = np.fromiter(map(self._ids.__getitem__, every), dtype=np.int64, count=sum(lengths))
        rows = np.repeat(np.arange(start, start + len(documents), dtype=np.int64), lengths)
        pairs, counts = np.unique((terms << 32) | rows, return_counts=True)
        if self._recent_size + len(pairs) > _MERGE_AT + len(self._rows) // 8:
            self._merge(pairs, counts)
        else:
            for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
                self._recent.setdefault(pair >> 32, []).append((pair & _ROW, count))
            self._recent_size += len(pairs)

    def of(self, term: str) -> Posting:
        """Return the rows that have a term, ascending; struck rows are among them."""
        number = self._ids.get(term)
        if number is None:
            return Posting(self._rows[:0], self._counts[:0])
        rows, counts = self._rows[:0], self._counts[:0]
        if number < len(self._starts) - 1:
            where = slice(self._starts[number], self._starts[number + 1])
            rows, counts = self._rows[where], self._counts[where]
        if number in self._recent:
            recent = np.asarray(self._recent[number], dtype=np.int32)
            rows = np.concatenate([rows, recent[:, 0]])
            counts = np.concatenate([counts, recent[:, 1].astype(np.float32)])
        return Posting(rows, counts)

    def _merge(self, pairs: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Sort the recent postings and these (term << 32 | row) in; rows stay ascending within a term."""
        recent = [(number << 32 | row, count) for number, rows in self._recent.items() for row, count in rows]
        kept = np.asarray(recent, dtype=np.int64).reshape(-1, 2)
        terms = np.repeat(np.arange(len(self._starts) - 1), np.diff(self._starts))
        every = np.concatenate([(terms << 32) | self._rows, kept[:, 0], pairs])
        order = np.argsort(every, kind="stable")
        self._counts = np.concatenate([self._counts, kept[:, 1], counts]).astype(np.float32)[order]
        every = every[order]
        self._rows = (every & _ROW).astype(np.int32)
        self._starts = np.searchsorted(every >> 32, np.arange(len(self._ids) + 1))
        self._recent.clear()
        self._recent_size = 0
