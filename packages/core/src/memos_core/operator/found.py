"""Hits on their way to the caller: put in succession, fitted into a budget."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from memos_core.cube import CubeHeader
from memos_core.memory import Memory
from memos_core.operator.pack import Companion, Piece, packed
from memos_core.operator.rank import Ranking
from memos_core.operator.succession import in_succession
from memos_core.protocols import Vectors
from memos_core.query import Hit, Why, estimate_tokens, line_of
from memos_core.tiers.text.arrays import NONE
from memos_core.tiers.text.resident import Resident
from memos_core.vault.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A confirmed hit. `place` is its place in the ranking, NONE where it was put in by a link."""

    memory: Memory
    seq: int
    place: int
    score: float
    why: Why
    likeness: float | None = None
    newer: tuple[str, ...] = ()  # ids of what supersedes it
    context: bool = False

    @classmethod
    def of(cls, memory: Memory, place: int, ranking: Ranking) -> Found:
        return cls(
            memory=memory,
            seq=int(ranking.seqs[place]),
            place=place,
            score=float(ranking.scores[place]),
            why=ranking.why(place),
            likeness=min(max(float(ranking.likeness[place]), -1.0), 1.0),
        )

    @property
    def hit(self) -> Hit:
        return Hit(
            memory=self.memory,
            score=self.score,
            why=self.why,
            likeness=self.likeness,
            context=self.context,
        )


def succeeded(
    view: View, cube: CubeHeader, found: Sequence[Found], *, among: Collection[int] | None
) -> list[Found]:
    """Return the hits with everything that supersedes one of them right above it.

    A successor outside `among` (seqs that the filter lets through; None lets all) is left out.
    """
    newer_of = _newer_of(view, cube, [each.memory.id for each in found])
    if not newer_of:
        return list(found)
    known = {each.memory.id: replace(each, newer=tuple(newer_of.get(each.memory.id, ()))) for each in found}
    order = in_succession(list(known), newer_of)
    seqs = view.seqs_of(cube, [each for each in order if each not in known])
    memories = view.hydrate(cube, [seq for seq in seqs.values() if among is None or seq in among])
    placed: list[Found] = []
    for memory_id in reversed(order):  # from below, so that what is above can be given its score
        below = placed[-1] if placed else None
        if memory_id in known:
            floor = below.score if below else 0.0
            placed.append(replace(known[memory_id], score=max(known[memory_id].score, floor)))
        elif below and (seq := seqs.get(memory_id, NONE)) in memories:
            newer = tuple(newer_of.get(memory_id, ()))
            successor = replace(below, memory=memories[seq], seq=seq, place=NONE, newer=newer)
            placed.append(replace(successor, likeness=None))
    return placed[::-1]


def _newer_of(view: View, cube: CubeHeader, ids: Sequence[str]) -> dict[str, list[str]]:
    """Return what supersedes these memories, and what supersedes that, and so on."""
    newer_of: dict[str, list[str]] = defaultdict(list)
    asked: set[str] = set()
    frontier = list(ids)
    while frontier:
        asked.update(frontier)
        pairs = view.successors(cube, frontier)
        for newer, older in pairs:
            newer_of[older].append(newer)
        frontier = list({newer for newer, _ in pairs} - asked)
    return newer_of


def fitted(
    view: View,
    cube: CubeHeader,
    keys: Resident,
    found: Sequence[Found],
    *,
    budget: int,
    most: int,
    among: Collection[int] | None,
) -> list[Found]:
    """Return the hits that fill the budget best, best first, then turns that make them readable."""
    if not found:
        return []
    beside = {each.place: _companions(keys, each.place) for each in found}
    seqs = {place: int(keys.arrays.traits.seqs[place]) for places in beside.values() for place in places}
    texts = view.hydrate(cube, [seq for seq in seqs.values() if among is None or seq in among])
    chosen = packed(
        _pieces(
            found, {place: [p for p in beside[place] if seqs[p] in texts] for place in beside}, texts, seqs
        ),
        _directions(keys, found),
        budget=budget,
        most=most,
    )
    return [
        *(found[number] for number in sorted(chosen.pieces)),
        *(
            Found(memory=texts[seqs[place]], seq=seqs[place], place=place, score=0.0, why=Why(), context=True)
            for place in chosen.companions
        ),
    ]


def _pieces(
    found: Sequence[Found],
    beside: Mapping[int, Sequence[int]],
    texts: Mapping[int, Memory],
    seqs: Mapping[int, int],
) -> list[Piece]:
    number_of = {each.memory.id: number for number, each in enumerate(found)}
    return [
        Piece(
            place=each.place,
            score=each.score,
            cost=_cost(each.memory),
            after=tuple(n for n in map(number_of.get, each.newer) if n is not None and n < number),
            companions=tuple(Companion(place, _cost(texts[seqs[place]])) for place in beside[each.place]),
        )
        for number, each in enumerate(found)
    ]


def _directions(keys: Resident, found: Sequence[Found]) -> Vectors:
    """Return a unit vector per hit; nothing is like a hit that a link put in."""
    places = np.array([each.place for each in found], dtype=np.intp)
    vectors = keys.vectors_of(np.maximum(places, 0))
    vectors[places == NONE] = 0
    return vectors


def _companions(keys: Resident, place: int) -> list[int]:
    """Return the question that a turn answers, and the turn that answers a question."""
    if place == NONE:
        return []
    arrays = keys.arrays
    before, after = int(arrays.previous[place]), int(arrays.following[place])
    found = [before] if before != NONE and arrays.traits.is_question[before] else []
    return [*found, after] if after != NONE and arrays.traits.is_question[place] else found


def _cost(memory: Memory) -> int:
    return estimate_tokens(line_of(memory) + "\n")
