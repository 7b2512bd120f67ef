"""The figures of the two corpora, from an order of turns.

Turns (LoCoMo): R@k is the share of a question's evidence turns among the first k, hit@k whether any
is among them. Sessions (LongMemEval): a session ranks by its first turn; any@k, all@k and R@k ask
for any, every and the share of the answering sessions among the first k. nDCG@10 discounts by
log2(rank + 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

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
