"""What `cube.recall` returns: a real store, written by `ingest`, asked through the public API."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.retrieval.cases import Case
from benchmarks.retrieval.corpora import LOCOMO, Talk
from benchmarks.retrieval.fit import Values
from benchmarks.retrieval.metrics import Row, ordered_row
from memos_core import MemOS
from memos_core.memos import RESIDENT_BYTES
from memos_core.operator import rank
from memos_core.operator.rank import Weights
from memos_core.protocols import Embedder
from memos_core.query import Recall

DEPTH = {LOCOMO: 50}  # hits asked for
DEEP = 200  # where sessions are counted


@dataclass(slots=True)
class Clock:
    """A clock that stands where it is put: a question is asked at its own time."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


class Store:
    """A corpus in a store of its own in `folder`, a cube per conversation."""

    def __init__(self, talks: Sequence[Talk], embedder: Embedder, folder: Path) -> None:
        self._embedder, self._folder = embedder, folder
        self._clock = Clock(max(question.now for talk in talks for question in talk.questions))
        self._names = {
            (talk.name, each.name): number for talk in talks for number, each in enumerate(talk.sessions)
        }
        self._turns = {talk.name: {turn: place for place, turn in enumerate(talk.turns)} for talk in talks}
        with self._opened() as memos:
            for talk in talks:
                cube = memos.cube(talk.name)
                for each in talk.sessions:
                    cube.ingest(each.messages, session=each.name)
            memos.drain()

    def row(
        self,
        name: str,
        cases: Sequence[Case],
        *,
        fitted: str,
        weights: dict[int, Values] | None = None,
        resident: bool = True,
    ) -> Row:
        """Return the figures of `recall` on the cases, with its own weights or those of each fold.

        Without `resident` no keys are held in RAM: Milvus Lite and FTS5 propose, and what they
        propose is ranked.
        """
        with self._opened(resident_bytes=RESIDENT_BYTES if resident else 0) as memos:
            orders = [self._order(memos, case, weights) for case in cases]
        return ordered_row(name, cases, orders, fitted=fitted)

    def _order(self, memos: MemOS, case: Case, weights: dict[int, Values] | None) -> list[int]:
        """Return the recalled turns, best first, as places in the conversation."""
        self._clock.now = case.question.now
        with _weighing(None if weights is None else weights[case.fold]):
            found = memos.cube(case.talk.name).recall(case.question.text, k=DEPTH.get(case.corpus, DEEP))
        return self._places(case.talk, found)

    def _places(self, talk: Talk, found: Recall) -> list[int]:
        place = self._turns[talk.name]
        order = []
        for memory in found.memories:
            header = memory.header.descriptive
            if header.session is None or header.position is None:
                raise ValueError(f"{memory.id} is no turn, yet only turns were ingested")
            order.append(place[self._names[talk.name, header.session], header.position])
        return order

    def _opened(self, *, resident_bytes: int = RESIDENT_BYTES) -> MemOS:
        return MemOS.open(
            self._folder, embedder=self._embedder, clock=self._clock, resident_bytes=resident_bytes
        )


@contextmanager
def _weighing(values: Values | None) -> Generator[None]:
    """Let `recall` rank with other weights than those that are shipped."""
    if values is None:
        yield
        return
    with patch.object(rank, "fitted_weights", return_value=Weights(values.astype(np.float32))):
        yield
