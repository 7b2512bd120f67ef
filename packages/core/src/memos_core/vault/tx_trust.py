"""How far memories are trusted: never further than what they are derived from.

Trust is about the words: what a cube doubts is doubted in every fork of it, shared or copied, and so
is what is derived from it there. What a fork doubts is its own affair.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, func, select, update

from memos_core.cube import CubeHeader, Right
from memos_core.errors import Forbidden, InvalidInput
from memos_core.memory import Relation, Trust
from memos_core.vault import artifacts, forks, scope
from memos_core.vault.draft import Draft
from memos_core.vault.schema import edges, memories, parts, twins

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


def doubt(tx: Tx, cube: CubeHeader, ids: Collection[str]) -> dict[str, int]:
    """Mark memories that the cube shows as untrusted, as `distrust`; return under which seqs it has them."""
    rows = {each: forks.own(tx, cube, tx.any_row(cube, each)) for each in ids}
    distrust(tx, cube, [row.id for row in rows.values()])
    return {each: row.seq for each, row in rows.items()}


def distrust(tx: Tx, cube: CubeHeader, ids: Collection[str]) -> int:
    """Mark memories as untrusted, and all that is derived from them; return how many were not before.

    That holds for frozen ones, too, and for those that the principal may not see: their words stay
    as they are. What was made from them quoted them as trusted, and is stale. What another cube
    holds is marked in a copy of the cube's own; forks of the cube are told.
    """
    reached = _derived_from(tx, cube, ids)
    marked = 0
    for row in _doubted_now(tx, cube, reached):
        mine = forks.own(tx, cube, row) if row.cube_id != cube.id else row
        reached.add(mine.id)
        tx.connection.execute(
            update(memories).where(memories.c.seq == mine.seq).values(trust=Trust.UNTRUSTED.value)
        )
        tx._note(cube, "distrust", memory_id=mine.id, seq=mine.seq, version=mine.version)
        artifacts.outdate(tx.connection, [mine.seq], reason="distrusted", now=tx.now)
        marked += 1
    if marked:
        _tell_forks(tx, cube, reached)
    return marked


def _doubted_now(tx: Tx, cube: CubeHeader, ids: Collection[str]) -> list[Row[Any]]:
    """Return the rows of those of the memories that the cube has, or shares, and that are trusted."""
    found: list[Row[Any]] = []
    for part in parts(sorted(ids)):
        there = select(memories).where(memories.c.id.in_(part), _TRUSTED, scope.belongs(cube))
        found += tx.connection.execute(there, tx.moment).all()
    return found


def _tell_forks(tx: Tx, cube: CubeHeader, ids: Collection[str]) -> None:
    """Let the forks of a cube doubt what it doubts: their copies, and what they derived from it."""
    for fork in forks.of(tx, cube.id):
        theirs = set(ids)
        for part in parts(sorted(ids)):
            base = memories.alias("base")
            copies = select(memories.c.id).join(twins, twins.c.copy_seq == memories.c.seq)
            copies = copies.join(base, base.c.seq == twins.c.base_seq)
            mine = copies.where(twins.c.fork_id == fork.id, base.c.id.in_(part))
            theirs |= set(tx.connection.execute(mine).scalars())
        if _doubted_now(tx, fork, _derived_from(tx, fork, theirs)):
            distrust(tx, tx.counted(fork), theirs)
        else:  # what is derived from it may be further down
            _tell_forks(tx, fork, theirs)


def _derived_from(view: View, cube: CubeHeader, ids: Collection[str]) -> set[str]:
    """Return these memories, what is derived from them in the cube, what is derived from that, and so on."""
    shown = scope.edges_shown(cube)
    reached, frontier = set(ids), list(ids)
    while frontier:
        fresh: set[str] = set()
        for part in parts(frontier):
            query = select(edges.c.source).where(edges.c.target.in_(part), _DERIVED, shown)
            fresh |= set(view.connection.execute(query).scalars()) - reached
        reached |= fresh
        frontier = list(fresh)
    return reached


def check_trusting(tx: Tx, cube: CubeHeader, row: Row[Any]) -> None:
    """Raise unless whoever entered the cube may declare a memory of its own trusted that is not.

    It takes ADMIN, and what it is derived from, or copied from, has to be trusted before.
    """
    if Right.ADMIN not in cube.access.rights:
        raise Forbidden(tx.principal.name, verb="trust", what=f"memory {row.id!r}")
    origins = select(func.count()).select_from(edges).join(memories, memories.c.id == edges.c.target)
    origins = origins.where(edges.c.source == row.id, _DERIVED, ~_TRUSTED, scope.edges_shown(cube))
    if count := tx.connection.execute(origins).scalar_one():
        raise InvalidInput(
            f"{row.id!r} is derived from {count} memories that are not trusted: see lineage(), and "
            f"classify those first"
        )
    shared = select(memories.c.id).join(twins, twins.c.base_seq == memories.c.seq)
    doubted = shared.where(twins.c.copy_seq == row.seq, twins.c.fork_id == cube.id, ~_TRUSTED)
    if tx.connection.execute(doubted).first() is not None:
        raise InvalidInput(
            f"{row.id!r} is a fork's copy of a memory that is not trusted in the cube that it was forked "
            f"from: that one is classified first"
        )
