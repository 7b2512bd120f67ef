"""How far memories are trusted: never further than what they are derived from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, func, select, update

from memos_core.cube import CubeHeader, Right
from memos_core.errors import Forbidden, InvalidInput
from memos_core.memory import Relation, Trust
from memos_core.vault import artifacts
from memos_core.vault.draft import Draft
from memos_core.vault.schema import edges, memories, parts

if TYPE_CHECKING:
    from memos_core.vault.tx import Tx
    from memos_core.vault.view import View

_DERIVED = edges.c.relation == Relation.DERIVED_FROM.value
_TRUSTED = memories.c.trust == Trust.TRUSTED.value


def bounded(view: View, cube: CubeHeader, draft: Draft, derived_from: Sequence[str]) -> Draft:
    """Return the draft, trusted no further than any of what it is derived from."""
    trusts = [Trust(view.memory_row(cube, each).trust) for each in derived_from]
    return replace(draft, trust=min((draft.trust, *trusts), key=lambda trust: trust.rank))


def bound(tx: Tx, cube: CubeHeader, memory: Row[Any], source: Row[Any]) -> None:
    """Let a memory that has become derived from a source be trusted no further than it."""
    if Trust(source.trust) is Trust.UNTRUSTED:
        distrust(tx, cube, [memory.id])


def distrust(tx: Tx, cube: CubeHeader, ids: Collection[str]) -> int:
    """Mark memories as untrusted, and all that is derived from them; return how many were not before.

    That holds for frozen ones, too, and for those that the principal may not see: their words stay
    as they are. What was made from them quoted them as trusted, and is stale.
    """
    marked = 0
    for part in parts(sorted(_derived_from(tx, ids))):
        there = memories.c.id.in_(part) & (memories.c.cube_id == cube.id) & _TRUSTED
        rows = tx.connection.execute(select(memories.c.id, memories.c.seq, memories.c.version).where(there))
        for row in rows.all():
            tx._note(cube, "distrust", memory_id=row.id, seq=row.seq, version=row.version)
            artifacts.outdate(tx.connection, [row.seq], reason="distrusted")
            marked += 1
        tx.connection.execute(update(memories).where(there).values(trust=Trust.UNTRUSTED.value))
    return marked


def _derived_from(view: View, ids: Collection[str]) -> set[str]:
    """Return these memories, what is derived from them, what is derived from that, and so on."""
    reached, frontier = set(ids), list(ids)
    while frontier:
        fresh: set[str] = set()
        for part in parts(frontier):
            rows = view.connection.execute(select(edges.c.source).where(edges.c.target.in_(part), _DERIVED))
            fresh |= set(rows.scalars()) - reached
        reached |= fresh
        frontier = list(fresh)
    return reached


def check_trusting(tx: Tx, cube: CubeHeader, row: Row[Any]) -> None:
    """Raise unless whoever entered the cube may declare a memory trusted that is not.

    It takes ADMIN, and what it is derived from has to be trusted before.
    """
    if Right.ADMIN not in cube.access.rights:
        raise Forbidden(tx.principal.name, verb="trust", what=f"memory {row.id!r}")
    origins = select(func.count()).select_from(edges).join(memories, memories.c.id == edges.c.target)
    doubtful = tx.connection.execute(origins.where(edges.c.source == row.id, _DERIVED, ~_TRUSTED))
    if count := doubtful.scalar_one():
        raise InvalidInput(
            f"{row.id!r} is derived from {count} memories that are not trusted: see lineage(), and "
            f"classify those first"
        )
