"""Going back, in a writing transaction: a memory to an earlier version, a cube to an earlier state.

Nothing is lost by it: what was said since is an earlier version now, what was written since is in the
archive. Words and states come back; who may see a memory and for how long it is known do not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Row, and_, or_, select, update

from memos_core.cube import CubeHeader
from memos_core.errors import NotFound
from memos_core.governance import cube_key
from memos_core.lifecycle import IN_USE, check_writable
from memos_core.memory import Memory, Relation, State
from memos_core.timeline import Rollback
from memos_core.vault import forks, former, keyring, made, pasts, tx_life, tx_share, tx_trust
from memos_core.vault.draft import statement_digest
from memos_core.vault.schema import OUT_OF_SIGHT, edges, versions
from memos_core.vault.tx import DIRECTED, Tx
from memos_core.vault.view import View

VERB: Final = "rollback"


@dataclass(slots=True)
class _Done:
    """Ids by what was done."""

    revised: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    archived: list[str] = field(default_factory=list)
    frozen: list[str] = field(default_factory=list)


def version_row(view: View, row: Row[Any], version: int) -> Row[Any]:
    """Return an earlier version of a memory."""
    query = select(versions).where(versions.c.memory_seq == row.seq, versions.c.version == version)
    found = view.connection.execute(query).one_or_none()
    if found is None:
        raise NotFound("version", f"{version} of {row.id}")
    return found


def revert(tx: Tx, cube: CubeHeader, memory_id: str, version: int) -> Memory:
    """Write a new version of a memory that says what an earlier one said; return the memory.

    It stays as it is where it says that already.
    """
    row = tx.memory_row(cube, memory_id)
    check_writable(memory_id, State(row.state), verb="revert")
    then = version_row(tx, row, version)
    if _says(row) != _says(then):
        _rewrite(tx, cube, forks.own(tx, cube, row), then, verb="revert")
        tx_share.check_quota(tx, cube)
    return tx.memory(cube, memory_id)


def rollback(tx: Tx, cube: CubeHeader, to: int) -> Rollback:
    """Give a cube the words, states and links again that it had after its change `to`.

    The work grows with what changed since, not with the cube.
    """
    past = replace(cube, at=to)
    changed = keyring.changed_since(tx.connection, cube, to)
    then, now = pasts.there(tx, past, changed), pasts.there(tx, cube, changed)
    done = _Done()
    for seq in sorted(now):
        _back(tx, cube, seq, now[seq], then.get(seq), done)
    _relink(tx, cube, to)
    tx_share.check_quota(tx, cube)
    return Rollback(
        cube=cube.id,
        to=to,
        revised=tuple(done.revised),
        moved=tuple(done.moved),
        archived=tuple(done.archived),
        frozen=tuple(done.frozen),
        gone=tuple(pasts.gone_between(tx, cube, to, cube.change)),
    )


def _back(
    tx: Tx,
    cube: CubeHeader,
    seq: int,
    now: Memory,
    then: Memory | None,
    done: _Done,
) -> None:
    """Bring one memory back to what it was, or put it away if it was not there."""
    words = then is not None and pasts.said(now) != pasts.said(then)
    state = State.ARCHIVED if then is None else then.state
    if not words and _class(state) == _class(now.state):
        return
    if now.state is State.FROZEN:
        done.frozen.append(now.id)
        return
    row = forks.own(tx, cube, tx.row(seq))
    if then is not None and words:
        version = version_row(tx, row, then.version)
        _rewrite(tx, cube, row, version, verb=VERB)
        done.revised.append(now.id)
    if _class(state) != _class(now.state):
        tx_life.stand(tx, cube, tx.row(row.seq), state, verb=VERB)
        (done.archived if then is None else done.moved).append(now.id)


def _class(state: State) -> State:
    """Return what tells states apart for a rollback: in use is in use, whatever for."""
    return State.ACTIVATED if state in IN_USE else state


def _says(row: Row[Any]) -> tuple[Any, ...]:
    return row.text, row.kind, tuple(row.tags), row.event_at, row.speaker, row.role


def _rewrite(tx: Tx, cube: CubeHeader, row: Row[Any], then: Row[Any], *, verb: str) -> None:
    """Write the next version of a row of the cube's own with the words, and the keys, of an earlier one."""
    present = former.number(tx.connection, row.seq, row.version)
    if present != then.keyed:
        former.keep(tx.connection, row.seq, keyed=present)
        key = "" if row.state in OUT_OF_SIGHT else cube_key(cube.id)
        former.put_back(tx.connection, row.seq, keyed=then.keyed, cube=key)
    names = ("text", "kind", "tags", "event_at", "speaker", "role")
    changes = {name: getattr(then, name) for name in names}
    changes["digest"] = statement_digest(then.text, kind=then.kind, at=then.event_at)
    tx.write_version(cube, row, changes, keyed=then.keyed, verb=verb)


def _relink(tx: Tx, cube: CubeHeader, to: int) -> None:
    """Take back the links that were made since, make those again that were taken back since.

    Of what is frozen none are touched, and none to or from what is out of reach.
    """
    mine = edges.c.cube_id == cube.id
    since = tx.connection.execute(
        select(edges).where(mine, or_(edges.c.change > to, edges.c.ended > to))
    ).all()
    ids = {end for row in since for end in (row.source, row.target)}
    known = tx.kept(cube, tx.seqs_of(cube, sorted(ids)).values())
    free = {each.id for each in known.values() if each.state is not State.FROZEN}
    reach = {each.id for each in known.values()}
    rests = {each.id for each in known.values() if each.state is State.ARCHIVED}
    had = {_ends(row): row for row in since if row.change <= to}
    has = {_ends(row) for row in since if row.ended is None}
    for row in since:
        if row.ended is None and _ends(row) not in had and row.source in free:
            forks.part(tx, cube.id, tx.any_row(cube, row.source).seq)
            same = and_(*(edges.c[name] == row._mapping[name] for name in _EDGE))
            tx.connection.execute(update(edges).where(same).values(ended=cube.change))
            _note(tx, cube, row.source)
    for source, relation, target in sorted(had.keys() - has):
        kind = Relation(relation)
        circle = kind in DIRECTED and source in tx.reached(cube, target, kind)
        if source in free and target in reach and not circle:
            forks.part(tx, cube.id, tx.any_row(cube, source).seq)
            away = _behind(had[source, relation, target], to) if target in rests else None
            tx.write_edge(cube, source, relation, target, put_away=away)
            _note(tx, cube, source)
            if kind is Relation.DERIVED_FROM:
                tx_trust.bound(tx, cube, tx.any_row(cube, source), tx.any_row(cube, target))
    made.moved_back(tx, cube, to)


_EDGE: Final = ("source", "relation", "target", "change")


def _ends(row: Row[Any]) -> tuple[str, str, str]:
    return row.source, row.relation, row.target


def _behind(row: Row[Any], to: int) -> str | None:
    """Return what an edge kept at the cube's change `to` of a target that stood behind its source."""
    stood: bool = row.brought_back is None or row.brought_back > to
    return row.put_away if stood else None


def _note(tx: Tx, cube: CubeHeader, memory_id: str) -> None:
    row = tx.any_row(cube, memory_id)
    tx._note(cube, VERB, memory_id=row.id, seq=row.seq, version=row.version)
