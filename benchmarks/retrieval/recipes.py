"""The recipes to compare, as rows of one table per embedder and corpus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.retrieval.cases import Case
from benchmarks.retrieval.fit import Fitter, held_out, scored
from benchmarks.retrieval.gather import Gathered
from benchmarks.retrieval.metrics import Row, row_of
from benchmarks.retrieval.recalled import Store
from memos_core.tiers.text.arrays import Floats

RECALL = "recall, weights held out"
TWELVE = "12 features, logistic"
TWELVE_SAME = "12 features, fitted as ours"


def twelve(case: Case) -> Floats:
    """Return the case's (n, 12) features of the published recipe."""
    return case.twelve


def rows(data: Gathered, embedder: str, corpus: str) -> list[Row]:
    """Return every row of one table, the recall through a store last."""
    test = data.cases[embedder, corpus]
    weights = held_out(test, data.pool)
    found = [*_plain(test), *_fused(test), scored("this fusion, fitted to both corpora", test, weights)]
    with TemporaryDirectory(prefix="retrieval-") as folder:
        store = Store(data.talks[embedder, corpus], data.embedders[embedder], Path(folder) / "memory")
        found += [
            store.row("recall, weights as shipped", test, fitted="in sample"),
            store.row(RECALL, test, fitted="held out", weights=weights),
            store.row(
                "recall, held out, nothing resident",
                test,
                fitted="held out",
                weights=weights,
                resident=False,
            ),
        ]
    return found


def _plain(test: Sequence[Case]) -> list[Row]:
    return [row_of(name, test, _named(name)) for name in test[0].plain]


def _named(name: str) -> Callable[[Case], Floats]:
    return lambda case: case.plain[name]


def _fused(test: Sequence[Case]) -> list[Row]:
    """Return the fusions fitted to the other conversations of the same corpus alone."""
    logistic, softmax = Fitter(matrix=twelve, logistic=True), Fitter(matrix=twelve)
    return [
        scored(TWELVE, test, held_out(test, test, fitter=logistic), matrix=twelve),
        scored(TWELVE_SAME, test, held_out(test, test, fitter=softmax), matrix=twelve),
        scored("this fusion", test, held_out(test, test)),
    ]
