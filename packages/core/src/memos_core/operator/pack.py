"""Fill a token budget with the hits that say most together, and the turns that make them readable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memos_core.protocols import Vectors

RELEVANCE = 0.8  # maximal marginal relevance (Carbonell and Goldstein 1998): lambda


@dataclass(frozen=True, slots=True)
class Companion:
    """A neighbouring turn that a hit may take along, and what it costs in tokens."""

    place: int
    cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A hit as packing sees it: its place among the turns, its score (0 to 1), its cost in tokens.

    It waits for the pieces `after` which it may come (by number): those that supersede it.
    """

    place: int
    score: float
    cost: int
    after: tuple[int, ...] = ()
    companions: tuple[Companion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What fits: numbers of the pieces, in the order of choice, then places of companions."""

    pieces: tuple[int, ...]
    companions: tuple[int, ...]


def packed(pieces: Sequence[Piece], vectors: Vectors, *, budget: int, most: int) -> Packed:
    """Choose pieces for `budget` tokens, at most `most`, then companions of the chosen.

    Each time the one is taken that has the best balance of score and news (unlikeness to what is
    chosen) among those that still fit. `vectors` has one unit row per piece. What is dearer than
    what is left is passed over, never cut.
    """
    left = budget
    chosen: list[int] = []
    scores = np.array([piece.score for piece in pieces], dtype=np.float32)
    costs = np.array([piece.cost for piece in pieces])
    likeness = np.zeros(len(pieces), dtype=np.float32)
    unused = np.ones(len(pieces), dtype=np.bool_)
    while len(chosen) < most and (fits := unused & (costs <= left) & _ready(pieces, chosen)).any():
        one = int(np.argmax(np.where(fits, RELEVANCE * scores - (1 - RELEVANCE) * likeness, -np.inf)))
        chosen.append(one)
        unused[one] = False
        left -= pieces[one].cost
        likeness = np.maximum(likeness, vectors @ vectors[one])
    taken = {pieces[one].place for one in chosen}
    companions: list[int] = []
    for companion in (each for one in chosen for each in pieces[one].companions):
        if companion.place not in taken and companion.cost <= left:
            taken.add(companion.place)
            companions.append(companion.place)
            left -= companion.cost
    return Packed(pieces=tuple(chosen), companions=tuple(companions))


def _ready(pieces: Sequence[Piece], chosen: Sequence[int]) -> NDArray[np.bool_]:
    """Return which pieces wait for nothing that is not chosen."""
    return np.array([set(piece.after) <= set(chosen) for piece in pieces], dtype=np.bool_)
