"""Candidates for a cube that is not resident: the indexes propose, the catalog gives their keys."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from memos_core.consolidation import GIST
from memos_core.cube import CubeHeader
from memos_core.errors import BackendUnavailable
from memos_core.governance import cube_key
from memos_core.operator.indexer import Indexer
from memos_core.protocols import KeyRow, TextIndex, Vectors
from memos_core.query import Where
from memos_core.tiers.text.lexical import terms
from memos_core.tiers.text.resident import Resident
from memos_core.vault import former, keyring, outbox
from memos_core.vault.view import View

log = logging.getLogger(__name__)

PROPOSED = 200  # by each index
MOST_OWED = 256  # memories that are scored without the index
FEW = 2000  # memories a filter may leave for all of them to be scored
REACH = 2  # turns on either side that the features read
_SLICE = 1024


@dataclass(frozen=True, slots=True)
class Proposer:
    """Finds candidates through the vector index and FTS5. `index` is called when it is needed."""

    index: Callable[[], TextIndex]
    indexer: Indexer

    def propose(
        self,
        view: View,
        cube: CubeHeader,
        *,
        query: str,
        vector: Vectors,
        model: str,
        count: int,
        among: Collection[int] | None,
        where: Where,
    ) -> Resident:
        """Return the keys of the likely memories and of the turns around them.

        What the index has not been told yet is always among them. Too few in sight, and more are
        asked for; without the index, every key of the cube is compared.
        """
        if among is not None and len(among) <= FEW:
            seqs = set(among)
        else:
            seqs = self._likely(view, cube, query, vector, model=model, count=count, among=among, where=where)
        keys = Resident(dimensions=len(vector))
        beside = former.beside(view, cube, sorted(seqs), reach=REACH)
        gists = GIST in where.kinds
        keys.apply(former.key_rows(view, cube, model, beside, gists=gists), change=cube.change)
        return keys

    def _likely(
        self,
        view: View,
        cube: CubeHeader,
        query: str,
        vector: Vectors,
        *,
        model: str,
        count: int,
        among: Collection[int] | None,
        where: Where,
    ) -> set[int]:
        limit, wanted = max(PROPOSED, 4 * count), terms(query)
        if any(each.at is not None for each in cube.members):  # the indexes know the present only
            seqs = None if among is None else sorted(among)
            rows = former.key_rows(view, cube, model, seqs, gists=GIST in where.kinds)
            return set(likely(rows, vector, wanted, limit=limit))
        while True:
            lexical = {seq for seq, _ in keyring.lexical_matches(view.connection, cube, wanted, limit=limit)}
            dense = self._dense(view, cube, vector, model=model, limit=limit, where=where)
            found = view.seqs_in_sight(cube, lexical | dense)
            if among is not None:
                found &= set(among)
            if len(found) >= count or max(len(lexical), len(dense)) < limit:
                return found
            limit *= 4

    def _dense(
        self, view: View, cube: CubeHeader, vector: Vectors, *, model: str, limit: int, where: Where
    ) -> set[int]:
        try:
            if any(self.indexer.owed(cube_id=each) > MOST_OWED for each in cube.holders):
                self.indexer.drain(until=MOST_OWED)
            owed = [
                memory_id
                for each in cube.holders
                for memory_id in outbox.owed_memories(view.connection, each, limit=2 * MOST_OWED)
            ]
            keys = [cube_key(each) for each in cube.holders]
            found = self.index().search(vector, cubes=keys, limit=limit, since=where.since, until=where.until)
        except BackendUnavailable as exc:
            log.warning("the index is not available; comparing every key", extra={"cause": str(exc)})
            rows = former.key_rows(view, cube, model, gists=GIST in where.kinds)
            return set(nearest(rows, vector, limit=limit))
        return set(view.seqs_of(cube, [*(each.id for each in found), *owed]).values())


def nearest(rows: Iterable[KeyRow], vector: Vectors, *, limit: int) -> list[int]:
    """Return the `limit` memories nearest to the vector, best first, holding few rows at a time."""
    return likely(rows, vector, (), limit=limit)


def likely(rows: Iterable[KeyRow], vector: Vectors, words: Sequence[str], *, limit: int) -> list[int]:
    """Return the `limit` memories nearest to the vector, then as many that share most of the words."""
    near: list[tuple[float, int]] = []
    sharing: list[tuple[float, int]] = []
    wanted, pending = set(words), iter(rows)
    while batch := list(islice(pending, _SLICE)):
        keys = Resident(dimensions=len(vector))
        keys.apply(batch, change=0)
        likeness = keys.cosines(vector)
        pairs = zip(likeness.tolist(), keys.arrays.traits.seqs.tolist(), strict=True)
        near = heapq.nlargest(limit, [*near, *pairs])
        if wanted:
            shared = ((len(wanted.intersection(row.terms.split())), row.seq) for row in batch)
            sharing = heapq.nlargest(limit, [*sharing, *(each for each in shared if each[0])])
    return [seq for _, seq in [*near, *sharing]]
