"""The gist of a session: its turns that are most like all the others, verbatim, in their order.

Continuous LexRank (Erkan and Radev, "LexRank: Graph-based Lexical Centrality as Salience in Text
Summarization", JAIR 22, 2004): turns are nodes, edges weigh by idf-modified cosine (their section 3.2),
and a turn's weight is its share in the walk's stationary distribution (section 3.3, damping 0.15). What
repeats a chosen turn is passed over, as in maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memos_core.memory import Memory
from memos_core.tiers.text.lexical import terms

DAMPING: Final = 0.15
ALIKE: Final = 0.5  # idf-modified cosine from which a turn repeats another one
_ROUNDS: Final = 200
_LEAST_TERMS, _MOST_CHARACTERS = 4, 600


def telling(turns: Sequence[Memory]) -> list[Memory]:
    """Return the turns that may stand in a gist: neither questions, nor very short, nor very long."""
    return [
        each
        for each in turns
        if len(each.text) <= _MOST_CHARACTERS
        and not each.text.rstrip().endswith(("?", "\uff1f"))
        and len(terms(each.text)) >= _LEAST_TERMS
    ]


def gist(turns: Sequence[Memory], *, most: int) -> list[Memory]:
    """Return at most `most` of the turns, in their order, that say most of what all of them say."""
    likeness = _likeness([Counter(terms(each.text)) for each in turns])
    weights = _central(likeness)
    chosen: list[int] = []
    for place in sorted(range(len(turns)), key=lambda each: (-round(float(weights[each]), 9), each)):
        if all(likeness[place, other] < ALIKE for other in chosen):
            chosen.append(place)
        if len(chosen) == most:
            break
    return [turns[place] for place in sorted(chosen)]


def gist_text(turns: Sequence[Memory]) -> str:
    """Return the gist's words: each turn as it was said, under its speaker."""
    return "\n".join(f"{each.speaker}: {each.text}" if each.speaker else each.text for each in turns)


def _likeness(bags: Sequence[Counter[str]]) -> NDArray[np.float64]:
    """Return the idf-modified cosine of all pairs, (turns x turns), 0 to 1; 0 on the diagonal."""
    known = {term: number for number, term in enumerate(sorted({term for bag in bags for term in bag}))}
    counts = np.zeros((len(bags), max(1, len(known))))
    for row, bag in enumerate(bags):
        for term, count in bag.items():
            counts[row, known[term]] = count
    seen_in = np.maximum((counts > 0).sum(axis=0), 1)
    weighted = counts * (np.log(len(bags) / seen_in) + 1.0)
    norms = np.linalg.norm(weighted, axis=1, keepdims=True)
    unit = weighted / np.where(norms > 0, norms, 1.0)
    likeness: NDArray[np.float64] = unit @ unit.T
    np.fill_diagonal(likeness, 0.0)
    return likeness


def _central(likeness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each turn's share in a walk that goes to like turns, and now and then to any."""
    count = len(likeness)
    sums = likeness.sum(axis=1, keepdims=True)
    steps = np.where(sums > 0, likeness / np.where(sums > 0, sums, 1.0), 1.0 / count)
    share = np.full(count, 1.0 / count)
    for _ in range(_ROUNDS):
        following = DAMPING / count + (1 - DAMPING) * (share @ steps)
        if np.abs(following - share).max() < 1e-12:
            return following
        share = following
    return share
