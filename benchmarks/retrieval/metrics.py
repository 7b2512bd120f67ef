"""The figures of the two corpora, from an order of turns.

Turns (LoCoMo): R@k is the share of a question's evidence turns among the first k, hit@k whether any
is among them. Sessions (LongMemEval): a session ranks by its first turn; any@k, all@k and R@k ask
for any, every and the share of the answering sessions among the first k. nDCG@10 discounts by
log2(rank + 1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.retrieval.cases import Case
from benchmarks.retrieval.corpora import LOCOMO

TURNS = ("R@5", "R@10", "R@50", "hit@10", "nDCG@10")
SESSIONS = ("any@1", "any@5", "all@5", "R@5", "nDCG@10")
MISSING = 1 << 30  # the rank of what was not found


def names(corpus: str) -> tuple[str, ...]:
    """Return the names of a corpus's figures."""
    return TURNS if corpus == LOCOMO else SESSIONS


def turn_figures(order: Sequence[int], gold: Sequence[int]) -> list[float]:
    """Return the figures of `TURNS` for turns in this order, best first."""
    ranks = _ranks(order, gold)
    shares = [sum(rank <= k for rank in ranks) / len(ranks) for k in (5, 10, 50)]
    return [*shares, float(ranks[0] <= 10), _ndcg(ranks)]


def session_figures(sessions: Iterable[int], gold: Sequence[int]) -> list[float]:
    """Return the figures of `SESSIONS`; `sessions` has the session of each turn, the best turn first."""
    ranks = _ranks(list(dict.fromkeys(sessions)), gold)
    near = [rank <= 5 for rank in ranks]
    return [
        float(ranks[0] <= 1),
        float(ranks[0] <= 5),
        float(all(near)),
        sum(near) / len(near),
        _ndcg(ranks),
    ]


def _ranks(order: Sequence[int], gold: Sequence[int]) -> list[int]:
    """Return the ranks of the gold, from 1, rising."""
    place = {each: rank for rank, each in reversed(list(enumerate(order, start=1)))}
    return sorted(place.get(each, MISSING) for each in gold)


def _ndcg(ranks: Sequence[int]) -> float:
    gain = sum(1 / np.log2(rank + 1) for rank in ranks if rank <= 10)
    return float(gain / sum(1 / np.log2(rank + 1) for rank in range(1, min(len(ranks), 10) + 1)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """One recipe's figures on the questions of a corpus. `fitted` says what its weights had seen."""

    name: str
    corpus: str
    fitted: str  # "nothing", "held out" or "in sample"
    values: npt.NDArray[np.float64]  # (questions, figures)
    kinds: tuple[str, ...]  # of question

    @property
    def figures(self) -> dict[str, float]:
        """The means over all questions."""
        return self._means(np.ones(len(self.values), np.bool_))

    @property
    def by_kind(self) -> dict[str, dict[str, float]]:
        """The means over each kind of question, and how many there are."""
        kinds = np.array(self.kinds)
        return {
            kind: {"questions": int((kinds == kind).sum()), **self._means(kinds == kind)}
            for kind in sorted(set(self.kinds))
        }

    def ahead_of(self, other: Row) -> dict[str, tuple[float, float]]:
        """Return by how much this recipe leads, question by question: mean and standard error."""
        gap = self.values - other.values
        error = gap.std(axis=0, ddof=1) / np.sqrt(len(gap))
        pairs = zip(gap.mean(axis=0).round(3).tolist(), error.round(3).tolist(), strict=True)
        return dict(zip(names(self.corpus), pairs, strict=True))

    def _means(self, chosen: npt.NDArray[np.bool_]) -> dict[str, float]:
        means = self.values[chosen].mean(axis=0).round(3).tolist()
        return dict(zip(names(self.corpus), means, strict=True))


Scores: TypeAlias = npt.NDArray[np.floating[Any]]


def row_of(
    name: str, cases: Sequence[Case], score: Callable[[Case], Scores], *, fitted: str = "nothing"
) -> Row:
    """Return the figures of a recipe that scores every turn of a case."""
    orders = [np.argsort(-score(case), kind="stable").tolist() for case in cases]
    return ordered_row(name, cases, orders, fitted=fitted)


def ordered_row(name: str, cases: Sequence[Case], orders: Sequence[Sequence[int]], *, fitted: str) -> Row:
    """Return the figures of turns that come in an order, best first; not all need be there."""
    values = [_figures(case, order) for case, order in zip(cases, orders, strict=True)]
    kinds = tuple(case.question.kind for case in cases)
    return Row(name=name, corpus=cases[0].corpus, fitted=fitted, values=np.array(values), kinds=kinds)


def _figures(case: Case, order: Sequence[int]) -> list[float]:
    if case.corpus == LOCOMO:
        return turn_figures(order, case.question.gold)
    return session_figures(case.sessions[list(order)].tolist(), case.question.gold_sessions)
