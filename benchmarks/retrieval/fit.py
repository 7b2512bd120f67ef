"""Fit the fusion's weights and write them as a small versioned value.

    python -m benchmarks.retrieval.fit --out packages/core/src/memos_core/operator/weights.json

Per query, a softmax over all memories; the loss is -log of the share that each gold memory takes
against the memories that are not gold, averaged over golds, then queries, then corpora, plus an L2
penalty. That is the top-one likelihood of ListNet (Cao et al. 2007) with several golds. Order
within a query is what is asked for: a logistic regression over all pairs fits a threshold across
queries as well, and orders the first ten a little worse for it.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize  # type: ignore[import-untyped]  # ships no stubs
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]  # ships no stubs

from benchmarks.retrieval.cases import Case
from benchmarks.retrieval.corpora import missing
from benchmarks.retrieval.gather import FITTED_ON, Gathered, add_arguments, gathered
from benchmarks.retrieval.metrics import Row, row_of
from memos_core.operator.features import FEATURES
from memos_core.tiers.text.arrays import Floats

Values: TypeAlias = npt.NDArray[np.float64]
Matrix: TypeAlias = Callable[[Case], Floats]
PENALTY = 2e-3  # chosen on the development data, between 3e-4 and 1e-2; flat there


def columns(case: Case) -> Floats:
    """Return the case's (n, F) features."""
    return case.matrix


@dataclass(frozen=True, slots=True)
class Fitter:
    """How weights are fitted: to which matrix of a case, by softmax or by logistic regression."""

    matrix: Matrix = columns
    logistic: bool = False

    def __call__(self, train: Sequence[Case]) -> Values:
        """Return one weight per column, fitted to the questions whose gold turns are known."""
        train = [case for case in train if case.question.gold]
        blocks = [self.matrix(case).astype(np.float64) for case in train]
        golds = [np.array(case.question.gold) for case in train]
        if self.logistic:
            return _logistic(blocks, golds)
        return _softmax(blocks, golds, _shares(train))


def held_out(test: Sequence[Case], pool: Sequence[Case], *, fitter: Fitter = Fitter()) -> dict[int, Values]:
    """Return weights for each fold of the cases to test, fitted to those of the pool outside that fold.

    The cases to test are of one corpus; other corpora in the pool are used whole.
    """
    corpus = test[0].corpus
    return {
        fold: fitter([case for case in pool if case.corpus != corpus or case.fold != fold])
        for fold in sorted({case.fold for case in test})
    }


def scored(name: str, test: Sequence[Case], weights: dict[int, Values], *, matrix: Matrix = columns) -> Row:
    """Return the figures of cases that are scored with their own fold's weights."""
    return row_of(name, test, lambda case: matrix(case) @ weights[case.fold], fitted="held out")


def _shares(train: Sequence[Case]) -> Values:
    """Return how much each case counts: corpora alike, then questions alike, by however many embedders."""
    asked = [(case.corpus, case.talk.name, case.question.text) for case in train]
    times = Counter(asked)
    questions = Counter(corpus for corpus, _, _ in times)
    return np.array([1 / len(questions) / questions[each[0]] / times[each] for each in asked])


def _logistic(blocks: Sequence[Values], golds: Sequence[npt.NDArray[Any]]) -> Values:
    relevant = np.concatenate(
        [np.isin(np.arange(len(block)), gold) for block, gold in zip(blocks, golds, strict=True)]
    )
    found: Values = LogisticRegression(max_iter=2000).fit(np.vstack(blocks), relevant).coef_[0]
    return found


def _softmax(blocks: Sequence[Values], golds: Sequence[npt.NDArray[Any]], shares: Values) -> Values:
    sizes = np.array([len(block) for block in blocks])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    of = np.repeat(np.arange(len(blocks)), sizes)
    rows = np.vstack(blocks)
    gold = np.concatenate([each + start for each, start in zip(golds, starts, strict=True)])
    share = np.concatenate(
        [np.full(len(each), whole / len(each)) for each, whole in zip(golds, shares, strict=True)]
    )
    is_gold = np.zeros(len(rows), np.bool_)
    is_gold[gold] = True

    def loss(weights: Values) -> tuple[float, Values]:
        scores = rows @ weights
        power = np.exp(scores - np.maximum.reduceat(scores, starts)[of])
        others = np.where(is_gold, 0.0, power)
        total = np.add.reduceat(others, starts)[of[gold]] + power[gold]
        value = float(share @ (np.log(total) - np.log(power[gold] + 1e-300)))
        slope = others * np.bincount(of[gold], share / total, len(blocks))[of]
        slope[gold] += share * (power[gold] / total - 1)
        return value + PENALTY * float(weights @ weights), rows.T @ slope + 2 * PENALTY * weights

    found: Values = minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B").x
    return found


def record(data: Gathered) -> dict[str, Any]:
    """Return the weights with where they come from, and their figures on what they had not seen."""
    weights = Fitter()(data.pool)
    cv: dict[str, dict[str, Any]] = {}
    for (embedder, corpus), test in data.cases.items():
        row = scored("fusion", test, held_out(test, data.pool))
        cv.setdefault(embedder, {})[corpus] = {"questions": len(test), **row.figures}
    return {
        "version": 2,
        "features": list(FEATURES),
        "weights": {name: round(float(each), 4) for name, each in zip(FEATURES, weights, strict=True)},
        "fitted_on": {
            "data": "LoCoMo dev (conv-26, conv-30) and LongMemEval-S dev, each of equal weight",
            "embedders": list(data.embedders),
            "cases": Counter(case.corpus for case in data.pool if case.question.gold),
            "loss": "softmax per query",
            "penalty": PENALTY,
            "script": "benchmarks/retrieval/fit.py",
        },
        "cv": {
            "what": "scored with weights fitted without it: LoCoMo leave one out, LongMemEval-S five folds",
            "figures": cv,
        },
    }


def main() -> None:
    """Write the weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_arguments(parser, embedders=FITTED_ON)
    parser.add_argument("--out", type=Path, required=True, help="where to write the weights")
    arguments = parser.parse_args()
    if lacking := missing(arguments.data):
        print(f"skipped: {', '.join(lacking)} not found in {arguments.data}; name the folder with --data")
        return
    found = record(gathered(arguments))
    arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
