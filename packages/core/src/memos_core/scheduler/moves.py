"""What the planner can ask for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from memos_core.scheduler.stats import Tier


class MoveKind(StrEnum):
    """Kinds of moves, in the order in which they are done: room is made before it is taken."""

    EXPIRE = "expire"  # erase the words of what is overdue
    ARCHIVE = "archive"  # put away what has rested
    CONSOLIDATE = "consolidate"  # bring together what belongs together
    EVICT = "evict"  # let a form go; it can be made again
    LOAD = "load"  # take a cube's keys into RAM
    PREFILL = "prefill"  # compute the states of a cube's words
    RETRAIN = "retrain"  # make an adapter anew that has gone stale
    DISTIL = "distil"  # train an adapter


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One step: what to do with which cube, in which tier, and why.

    `saves` are the seconds that it is expected to spare, net of its price; `frees` the bytes that it
    gives back, negative where it takes some. What is let go from its end on `leaves` some bytes there.
    """

    kind: MoveKind
    cube: str  # the cube's id
    name: str  # the cube's name
    tier: Tier
    reason: str
    saves: float = 0.0
    frees: int = 0
    leaves: int = 0


def in_order(moves: list[Move]) -> list[Move]:
    """Return moves as they are to be done: by kind, what saves most first, then by name."""
    places = list(MoveKind)
    return sorted(moves, key=lambda move: (places.index(move.kind), -move.saves, move.name, move.cube))
