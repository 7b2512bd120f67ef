"""Order the memories of a cube for a query, and say why."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from memos_core.operator.features import FEATURES, Query, features
from memos_core.operator.timewindow import soft_window
from memos_core.protocols import Vectors
from memos_core.query import Why
from memos_core.tiers.text.arrays import Floats
from memos_core.tiers.text.lexical import terms
from memos_core.tiers.text.resident import Resident
from memos_core.tiers.text.speech import ROLES, speakers_meant

MOST_TERMS = 64  # distinct words of a query that are looked up, the rarest first

_PART_OF = {
    "cosine": "dense",
    "bm25": "lexical",
    "coverage": "lexical",
    "bm25_window": "neighbour",
    "bm25_wide": "neighbour",
    "cosine_window": "neighbour",
    "next": "neighbour",
    "previous": "neighbour",
    "answers": "neighbour",
    "session": "session",
    "best_session": "session",
    "speaker": "speaker",
    "in_time": "time",
}  # every other column is the memory's form


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """What each column counts, fitted offline; see `weights.json` for where they come from."""

    values: Floats  # (F,) in the order of FEATURES

    @property
    def span(self) -> float:
        """The distance between the worst and the best conceivable sum."""
        return float(np.abs(self.values).sum())


@cache
def fitted_weights() -> Weights:
    """Return the weights that the package ships."""
    record = json.loads((files("memos_core.operator") / "weights.json").read_text(encoding="utf-8"))
    return Weights(np.array([record["weights"].get(name, 0.0) for name in FEATURES], dtype=np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Scores of n memories, each in [0, 1]: 0 nothing speaks for it, 1 everything does."""

    seqs: NDArray[np.int64]  # (n,)
    scores: Floats  # (n,)
    matrix: Floats  # (n, F)
    weights: Weights
    likeness: Floats = field(default_factory=lambda: np.zeros(0, np.float32))  # (n,) cosines, unscaled

    def best(self, count: int, *, among: NDArray[np.bool_] | None = None) -> NDArray[np.intp]:
        """Return the places of the `count` best, best first; ties go to the earlier memory."""
        places = np.arange(len(self.scores)) if among is None else np.flatnonzero(among)
        scores = self.scores[places]
        if count < len(places):
            kth = np.partition(scores, len(scores) - count)[len(scores) - count]
            kept = scores >= kth
            places, scores = places[kept], scores[kept]
        return places[np.lexsort((self.seqs[places], -scores))][:count]

    def why(self, place: int) -> Why:
        """Return what each signal added to the score of the memory at this place."""
        values = self.weights.values
        earned = (
            np.where(values >= 0, self.matrix[place], self.matrix[place] - 1) * values / self.weights.span
        )
        parts: dict[str, float] = {}
        for name, part in zip(FEATURES, earned.tolist(), strict=True):
            group = _PART_OF.get(name, "form")
            parts[group] = parts.get(group, 0.0) + part
        return Why(**parts)


def rank(
    keys: Resident, query: str, vector: Vectors, *, now: datetime, weights: Weights | None = None
) -> Ranking:
    """Score every memory of `keys` for the query. `now` is what "last week" is counted from."""
    chosen = weights or fitted_weights()
    asked = _asked(keys, query, vector, now)
    matrix = features(keys.arrays, asked)
    negative = float(chosen.values[chosen.values < 0].sum())
    scores = (matrix @ chosen.values - negative) / max(chosen.span, 1e-9)
    return Ranking(keys.arrays.traits.seqs, scores.astype(np.float32), matrix, chosen, asked.cosine)


def _asked(keys: Resident, query: str, vector: Vectors, now: datetime) -> Query:
    window = soft_window(query, now=now)
    meant = speakers_meant(query, keys.speaker_codes)
    named = {
        term
        for name, code in keys.speaker_codes.items()
        if code in meant and name not in ROLES
        for term in terms(name)
    }
    wanted = [term for term in dict.fromkeys(terms(query)) if term not in named]
    postings = [posting for posting in map(keys.posting, wanted) if len(posting.positions)]
    postings.sort(key=lambda posting: len(posting.positions))
    return Query(
        cosine=keys.cosines(vector),
        postings=postings[:MOST_TERMS],
        speakers=meant,
        window=(window[0].timestamp(), window[1].timestamp()) if window else None,
    )
