"""The read path: the keys propose, the catalog disposes, the weights order, the reasons are kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memos_core.consolidation import GIST
from memos_core.cube import CubeHeader, Principal
from memos_core.memory import Memory
from memos_core.operator.found import Found, fitted, succeeded
from memos_core.operator.indexer import Indexer
from memos_core.operator.propose import Proposer
from memos_core.operator.rank import Ranking, rank
from memos_core.operator.residents import Residents
from memos_core.protocols import Embedder, TextIndex, Vectors, checked_vectors
from memos_core.query import Recall, Where
from memos_core.tiers.text.resident import Resident
from memos_core.timeline import At
from memos_core.vault import pasts
from memos_core.vault.catalog import Catalog
from memos_core.vault.view import View

PACK_FROM = 64  # hits from which a budget is filled


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One recall, its arguments checked."""

    query: str
    k: int
    where: Where
    budget: int | None
    at: At | None = None

    @property
    def wanted(self) -> int:
        """How many hits to look for: more than `k` where the best of them are to be packed."""
        return self.k if self.budget is None else max(self.k, PACK_FROM)


class Recaller:
    """Answers queries. `embedder` and `index` are called when they are needed.

    `ready` is called before a past state is looked at: it sees that everything in it has keys.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        embedder: Callable[[], Embedder],
        residents: Residents,
        index: Callable[[], TextIndex],
        indexer: Indexer,
        ready: Callable[[Principal, Sequence[str], At], None],
    ) -> None:
        self._catalog, self._embedder, self._residents = catalog, embedder, residents
        self._ready = ready
        self._proposer = Proposer(index, indexer)
        self.listeners: list[Callable[[Principal, Sequence[str]], None]] = []

    def recall(self, principal: Principal, cube_ids: str | Sequence[str], ask: Ask) -> Recall:
        """Return the memories of a cube (or of several, as one) that answer best, best first."""
        begin = time.perf_counter()
        ids = [cube_ids] if isinstance(cube_ids, str) else cube_ids
        found = None
        while found is None:  # again where the store changed over to another embedder meanwhile
            embedder = self._embedder()
            if ask.at is not None:
                self._ready(principal, ids, ask.at)
            found = self._answer(principal, ids, ask, embedder)
        if ask.at is None:  # who looks at the past uses nothing of the present
            self.asked(principal, ids, found=[each.seq for each in found])
        hits = tuple(each.hit for each in found)
        return Recall(ask.query, hits, took=time.perf_counter() - begin)

    def asked(self, principal: Principal, ids: Sequence[str], *, found: Sequence[int] = ()) -> None:
        """Count a question to these cubes and what it found (by seq), and tell those who listen."""
        self._catalog.uses.ask(ids, found)
        for listen in list(self.listeners):
            listen(principal, ids)

    def _answer(
        self, principal: Principal, ids: Sequence[str], ask: Ask, embedder: Embedder
    ) -> list[Found] | None:
        """Return the hits, or None where the store's vectors are no longer of this embedder."""
        vector = checked_vectors(embedder.embed_query(ask.query), embedder)
        with self._catalog.read() as view:
            cube = pasts.entered(view, principal, ids, ask.at)
            if not view.is_embedded_by(embedder.identity):
                return None
            among = None if ask.where.is_empty else view.seqs_matching(cube, ask.where)
            with self._keys(view, cube, ask, vector, embedder.identity, among) as keys:
                ranking = rank(keys, ask.query, vector, now=view.now)
                allowed = None if among is None else among.mask(ranking.seqs)
                found = _confirmed(view, cube, ranking, ask, allowed)
                found = succeeded(view, cube, found, among=among)[: ask.wanted]
                if ask.budget is None:
                    return found
                return fitted(view, cube, keys, found, budget=ask.budget, most=ask.k, among=among)

    @contextmanager
    def _keys(
        self,
        view: View,
        cube: CubeHeader,
        ask: Ask,
        vector: Vectors,
        model: str,
        among: Collection[int] | None,
    ) -> Generator[Resident]:
        """Give the cube's keys: all of them where it is resident, else those that the indexes propose.

        Keys that are resident are without gists: whoever asks for these gets proposals.
        """
        with self._residents.using(view, cube, model=model, dimensions=len(vector)) as keys:
            yield (
                keys
                if keys is not None and GIST not in ask.where.kinds
                else self._proposer.propose(
                    view,
                    cube,
                    query=ask.query,
                    vector=vector,
                    model=model,
                    count=ask.wanted,
                    among=among,
                    where=ask.where,
                )
            )

    def write_uses(self) -> None:
        """Add the uses counted so far to the memories' headers, and to the meter."""
        self._catalog.uses.write()


def _confirmed(
    view: View, cube: CubeHeader, ranking: Ranking, ask: Ask, allowed: NDArray[np.bool_] | None
) -> list[Found]:
    """Return the best memories that the catalog confirms, looking further down while some are gone."""
    known: dict[int, Memory] = {}
    reach = ask.wanted
    while True:
        places = ranking.best(reach, among=allowed)
        seqs = ranking.seqs[places].tolist()
        known |= view.hydrate(cube, [seq for seq in seqs if seq not in known])
        if len(known) >= ask.wanted or len(places) < reach:
            break
        reach *= 4
    kept = [(seq, place) for seq, place in zip(seqs, places.tolist(), strict=True) if seq in known]
    return [Found.of(known[seq], place, ranking) for seq, place in kept[: ask.wanted]]
