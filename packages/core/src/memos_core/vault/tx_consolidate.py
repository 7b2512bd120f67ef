"""Consolidation in a writing transaction: what a run writes, and a run taken back. A run is one change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, func, select, update

from memos_core.consolidation import CONSOLIDATED, GIST, Undone
from memos_core.cube import CubeHeader
from memos_core.errors import InvalidInput, NotFound
from memos_core.lifecycle import IN_USE, Trigger, check_writable
from memos_core.memory import Memory, Relation, State
from memos_core.query import Where
from memos_core.vault import forks, made, scope, statements, tx_life, tx_trust
from memos_core.vault.draft import Draft, Keys
from memos_core.vault.schema import audit, edges, memories, sources, standings, versions
from memos_core.vault.tx import Tx
from memos_core.vault.view import View

VERB, UNDO = "consolidate", "undo"
ELSEWHERE: Final = (
    "a run is undone in the cube that it was done in; in one that was loaded or forked from it, "
    "archive what it wrote and restore what it put away"
)
_SUPERSEDES: Final = edges.c.relation == Relation.SUPERSEDES.value


# --- what a plan looks at --------------------------------------------------------------------


def in_sight(view: View, cube: CubeHeader) -> list[Memory]:
    return view.listed(cube, Where(), limit=None, offset=0)


def linked(view: View, cube: CubeHeader) -> set[tuple[str, str]]:
    """Return (newer, older) of every succession that the cube shows, or showed until it was taken back."""
    found = view.connection.execute(
        select(edges.c.source, edges.c.target).where(_SUPERSEDES, edges.c.cube_id.in_(cube.holders))
    )
    shown = select(edges.c.source, edges.c.target).where(_SUPERSEDES, scope.edges_shown(cube))
    return {(row.source, row.target) for row in (*found, *view.connection.execute(shown))}


def put_away(view: View, cube: CubeHeader) -> list[Memory]:
    """Return what consolidation wrote and somebody has put into the archive."""
    query = select(memories).where(
        memories.c.cube_id == cube.id,
        memories.c.origin == CONSOLIDATED,
        memories.c.state == State.ARCHIVED.value,
        statements.visible_to(cube.access),
    )
    return view._values(cube, view.ask(cube, query.order_by(memories.c.seq)).all())


# --- what a run does -------------------------------------------------------------------------


def is_as_it_was(view: View, cube: CubeHeader, planned: Sequence[Memory]) -> bool:
    """Whether these memories are in sight, at the versions, in the states and under the rules of then."""
    now = {
        each.id: each
        for each in view.hydrate(cube, view.seqs_of(cube, [m.id for m in planned]).values()).values()
    }
    return all(
        each.id in now
        and (now[each.id].version, now[each.id].state) == (each.version, each.state)
        and now[each.id].header.governance == each.header.governance
        for each in planned
    )


def has_gist(view: View, cube: CubeHeader, turn: Memory) -> bool:
    """Whether a gist of the sitting that a turn is of is in sight."""
    rules = turn.header.governance
    query = select(memories.c.seq).where(
        memories.c.cube_id == cube.id,
        memories.c.origin == CONSOLIDATED,
        memories.c.kind == GIST,
        memories.c.session == turn.session,
        memories.c.owner == rules.owner,
        memories.c.visibility == rules.visibility.value,
        statements.in_sight(view.now),
    )
    return view.ask(cube, query.limit(1)).first() is not None


def write(tx: Tx, cube: CubeHeader, draft: Draft, keys: Keys, made_of: Sequence[Memory]) -> str:
    """Write a memory that repeats others, linked to each; return its id. It belongs to whom they belong to.

    A merged one is as old as its newest source and takes over how often they were used; a gist is as old as
    its oldest.
    """
    draft = tx_trust.bounded(tx, cube, draft, [each.id for each in made_of])
    seq = tx.add(cube, [(draft, keys)])[0]
    owner = made_of[0].header.governance.owner
    born = [each.header.descriptive.created_at for each in made_of]
    given: dict[str, Any] = {"owner": owner, "created_at": min(born)}
    if draft.kind != GIST:
        uses = [each.header.behaviour for each in made_of]
        given |= {"created_at": max(born), "last_used": tx.now, "hits": sum(each.hits for each in uses)}
        given["usefulness"] = max(each.usefulness for each in uses)
    tx.connection.execute(update(memories).where(memories.c.seq == seq).values(given))
    said_by = {"speaker": draft.speaker or owner}
    tx.connection.execute(update(sources).where(sources.c.memory_seq == seq).values(said_by))
    memory_id = str(tx.row(seq).id)
    for each in made_of:
        link = tx.link(cube, memory_id, Relation.DERIVED_FROM, each.id)
        if draft.kind != GIST:
            made.put_behind(tx, link, each.state)
    return memory_id


def supersede(tx: Tx, cube: CubeHeader, newer: str, older: str) -> bool:
    """Link two memories; return False where somebody has linked them the other way round."""
    if newer in tx.reached(cube, older, Relation.SUPERSEDES):
        return False
    tx.link(cube, newer, Relation.SUPERSEDES, older)
    return True


def put_by(tx: Tx, cube: CubeHeader, memory_id: str) -> None:
    tx_life.step(tx, cube, memory_id, Trigger.ARCHIVE)


# --- a run taken back ------------------------------------------------------------------------


def undo(tx: Tx, cube: CubeHeader, run: int) -> Undone:
    """Take back what a run did: what it wrote goes to the archive, what it put away comes back.

    Its successions end. Whatever was forgotten or moved by somebody since stays so. NotFound where that
    change was no run; InvalidInput where a later run stands on it.
    """
    ran = (audit.c.cube_id == cube.id) & (audit.c.change == run) & (audit.c.verb == VERB)
    if tx.connection.execute(select(audit.c.seq).where(ran).limit(1)).first() is None:
        raise NotFound("run", str(run), remedy=ELSEWHERE)
    written = [row for row in _written(tx, cube, run) if row.state in IN_USE or row.state == State.FROZEN]
    _check_last(tx, cube, _written(tx, cube, run), run)
    for row in written:
        check_writable(row.id, State(row.state), verb=UNDO)
    back = _moved(tx, cube, run)
    for row in written:
        tx_life.stand(tx, cube, row, State.ARCHIVED, verb=UNDO)
    for row in back:
        tx_life.stand(tx, cube, row, State(row.was), verb=UNDO)
    return Undone(
        cube=cube.id,
        run=run,
        archived=tuple(row.id for row in written),
        restored=tuple(row.id for row in back),
        unlinked=_unlink(tx, cube, run),
    )


def _written(tx: Tx, cube: CubeHeader, run: int) -> list[Row[Any]]:
    first = (versions.c.memory_seq == memories.c.seq) & (versions.c.version == 1) & (versions.c.change == run)
    query = select(memories).join(versions, first)
    query = query.where(memories.c.cube_id == cube.id, memories.c.origin == CONSOLIDATED)
    query = query.where(statements.visible_to(cube.access))
    return list(tx.connection.execute(query.order_by(memories.c.seq)))


def _check_last(tx: Tx, cube: CubeHeader, written: Sequence[Row[Any]], run: int) -> None:
    """Raise InvalidInput where a later run made something of what this one wrote, and was not undone.

    What a fork made of it is the fork's: it keeps a copy of what it stands on.
    """
    for row in made.products(tx, {row.id for row in written}):
        if row.cube_id == cube.id and row.state != State.ARCHIVED.value:
            raise InvalidInput(f"a later run stands on run {run}: undo that one first")


def _moved(tx: Tx, cube: CubeHeader, run: int) -> list[Row[Any]]:
    """Return what a run put away and is still put away by that, with the state in which it was."""
    later = standings.alias("later")
    last = select(func.max(later.c.until)).where(later.c.memory_seq == memories.c.seq).scalar_subquery()
    query = (
        select(memories, standings.c.state.label("was"))
        .join(standings, standings.c.memory_seq == memories.c.seq)
        .where(memories.c.cube_id == cube.id, memories.c.state == State.ARCHIVED.value)
        .where(standings.c.until == run, standings.c.until == last, statements.visible_to(cube.access))
        .where(statements.in_time(tx.now))
    )
    return list(tx.connection.execute(query.order_by(memories.c.seq)))


def _unlink(tx: Tx, cube: CubeHeader, run: int) -> int:
    """End the successions that a run wrote, of what may be seen and written to; return how many."""
    mine = (edges.c.cube_id == cube.id) & (edges.c.change == run) & edges.c.ended.is_(None) & _SUPERSEDES
    seen = select(memories.c.id).where(statements.visible_to(cube.access))
    query = select(edges.c.target, memories).join(memories, memories.c.id == edges.c.source)
    query = query.where(mine, edges.c.target.in_(seen), statements.visible_to(cube.access))
    ended = 0
    for row in tx.connection.execute(query).all():
        if row.state == State.FROZEN.value:
            continue
        forks.part(tx, cube.id, row.seq)
        this = mine & (edges.c.source == row.id) & (edges.c.target == row.target)
        ended += tx.connection.execute(update(edges).where(this).values(ended=cube.change)).rowcount
        tx._note(cube, UNDO, memory_id=row.id, seq=row.seq, version=row.version)
    return ended
