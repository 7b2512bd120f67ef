"""Bringing together what a fork and the cube that it was made from have become: three-way, all or nothing.

What both sides last agreed on is in `twins`: at the fork, or at the last merge. A side changed a
memory if it says or stands otherwise than that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select, update

from memos_core.cube import CubeHeader
from memos_core.errors import InvalidInput
from memos_core.governance import cube_key
from memos_core.lifecycle import IN_USE, check_writable
from memos_core.memory import EXTRACTED, STATED, Memory, State, Trust, Visibility
from memos_core.record import RECORD
from memos_core.timeline import Merge, MergeConflict, Resolution
from memos_core.vault import forks, former, pasts, tx_life, tx_merge_links, tx_share, tx_trust
from memos_core.vault.schema import lexical, memories, twins, vectors, versions
from memos_core.vault.tx import Tx
from memos_core.vault.view import View

VERB: Final = "merge"

Resolver = Callable[[MergeConflict], Resolution]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The two rows that are one memory; None where a side has it no more. `conflict` if both changed it."""

    twin: Row[Any] | None  # None for a memory that only they have
    ours: int | None
    theirs: int | None
    conflict: MergeConflict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What there is to do. Making it changes nothing."""

    fork: CubeHeader
    pairs: Sequence[Pair]  # those in which they changed something
    ours: dict[int, Memory]
    theirs: dict[int, Memory]
    ids: dict[str, str]  # theirs to ours, of every memory that both have in rows of their own

    @property
    def conflicts(self) -> tuple[MergeConflict, ...]:
        return tuple(pair.conflict for pair in self.pairs if pair.conflict is not None)


def planned(view: View, ours: CubeHeader, theirs: CubeHeader) -> Plan:
    """Return what they changed since both sides last agreed. One cube has to be a fork of the other."""
    fork = _fork(ours, theirs)
    query = (
        select(twins).where(twins.c.fork_id == fork.id, twins.c.hidden.is_(False)).order_by(twins.c.base_seq)
    )
    rows = view.connection.execute(query).all()
    sides = [_sides(row, fork, ours) for row in rows]
    new = _new(view, fork, theirs, [their for _, their in sides if their is not None])
    mine = pasts.there(view, ours, [seq for seq, _ in sides if seq is not None])
    yours = pasts.there(view, theirs, [*(seq for _, seq in sides if seq is not None), *new])
    pairs = [
        _compared(view, row, our, their, mine, yours) for row, (our, their) in zip(rows, sides, strict=True)
    ]
    added = [
        Pair(twin=None, ours=None, theirs=seq)
        for seq in new
        if seq in yours and yours[seq].state is not State.ARCHIVED
    ]
    both = [(our, their) for our, their in sides if our in mine and their in yours]
    return Plan(
        fork=fork,
        pairs=[*(pair for pair in pairs if pair), *added],
        ours=mine,
        theirs=yours,
        ids={yours[their].id: mine[our].id for our, their in both if our is not None and their is not None},
    )


def _fork(ours: CubeHeader, theirs: CubeHeader) -> CubeHeader:
    for fork, base in ((ours, theirs), (theirs, ours)):
        if fork.base is not None and fork.base.cube.id == base.id:
            return fork
    raise InvalidInput(
        f"{ours.name!r} and {theirs.name!r} share no fork point: only a fork and the cube that it was "
        f"made from can be merged"
    )


def _sides(row: Row[Any], fork: CubeHeader, ours: CubeHeader) -> tuple[int | None, int | None]:
    return (row.copy_seq, row.base_seq) if fork.id == ours.id else (row.base_seq, row.copy_seq)


def _new(view: View, fork: CubeHeader, theirs: CubeHeader, known: Sequence[int]) -> list[int]:
    """Return the seqs of what they wrote themselves, which we never had."""
    query = select(memories.c.seq).where(memories.c.cube_id == theirs.id, memories.c.kind != RECORD)
    if theirs.id != fork.id and fork.base is not None:
        query = query.where(memories.c.seq > fork.base.upto)
    had = set(known)
    return [
        seq for seq in view.connection.execute(query.order_by(memories.c.seq)).scalars() if seq not in had
    ]


def _compared(
    view: View,
    row: Row[Any],
    our: int | None,
    their: int | None,
    mine: dict[int, Memory],
    yours: dict[int, Memory],
) -> Pair | None:
    """Return the pair, if they changed it; None too where one side may not be seen."""
    if any(seq is not None and seq not in known for seq, known in ((our, mine), (their, yours))):
        return None
    ours, theirs = mine[our] if our else None, yours[their] if their else None
    base = _agreed(view, row)
    if _says(theirs) == base or _says(theirs) == _says(ours):
        return None
    conflict = None
    if _says(ours) != base or (ours is not None and ours.state is State.FROZEN):
        conflict = MergeConflict(base=_as_agreed(view, row, theirs or ours), ours=ours, theirs=theirs)
    return Pair(twin=row, ours=our, theirs=their, conflict=conflict)


def _says(memory: Memory | None) -> tuple[Any, ...] | None:
    """Return what is compared; what a side put away is like what it has no more."""
    if memory is None or memory.state is State.ARCHIVED:
        return None
    return (*pasts.said(memory), _class(memory.state))


def _class(state: State) -> State:
    return State.ACTIVATED if state in IN_USE else state


def _agreed_version(view: View, row: Row[Any]) -> Row[Any] | None:
    by_copy = row.by_copy and row.copy_seq is not None
    seq, number = (row.copy_seq, row.copy_version) if by_copy else (row.base_seq, row.base_version)
    query = select(versions).where(versions.c.memory_seq == seq, versions.c.version == number)
    return view.connection.execute(query).one_or_none()


def _agreed(view: View, row: Row[Any]) -> tuple[Any, ...] | None:
    """Return what both sides last agreed that the memory says."""
    then = _agreed_version(view, row)
    if then is None or row.state == State.ARCHIVED.value:
        return None
    words = (then.text, then.kind, tuple(then.tags), then.event_at, then.speaker, then.role)
    return (*words, _class(State(row.state)))


def _as_agreed(view: View, row: Row[Any], like: Memory | None) -> Memory | None:
    then = _agreed_version(view, row)
    if then is None or like is None:
        return None
    names = ("kind", "event_at", "speaker", "role")
    said = {name: getattr(then, name) for name in names} | {"tags": tuple(then.tags)}
    header = replace(
        like.header, descriptive=replace(like.header.descriptive, **said, updated_at=then.written_at)
    )
    return replace(like, version=then.version, text=then.text, state=State(row.state), header=header)


# --- doing it ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Merging:
    """A merge on its way: `ids` maps theirs to ours."""

    tx: Tx
    cube: CubeHeader
    fork: CubeHeader
    ids: dict[str, str]
    added: list[str]
    revised: list[str]
    moved: list[str]


def merge(tx: Tx, ours: CubeHeader, theirs: CubeHeader, plan: Plan, resolve: Resolver) -> Merge:
    """Do what is planned; `ours` was opened for writing."""
    run = _Merging(tx=tx, cube=ours, fork=plan.fork, ids={}, added=[], revised=[], moved=[])
    for pair in plan.pairs:
        answer = Resolution.THEIRS if pair.conflict is None else resolve(pair.conflict)
        _settle(run, pair, plan, answer)
    tx_merge_links.unite(tx, ours, theirs, plan.ids | run.ids, moved=run.moved)
    tx_share.check_quota(tx, ours)
    return Merge(
        cube=ours.id,
        other=theirs.id,
        added=tuple(run.added),
        revised=tuple(run.revised),
        moved=tuple(run.moved),
        conflicts=plan.conflicts,
        memories=MappingProxyType(run.ids),
    )


def _settle(run: _Merging, pair: Pair, plan: Plan, answer: Resolution) -> None:
    our, their = pair.ours, pair.theirs
    if their is None:
        if our is not None and answer is Resolution.THEIRS:
            _put_away(run, plan.ours[our], our)
    elif our is None:
        if answer is not Resolution.OURS:
            pair = replace(pair, ours=_add(run, their))
    elif answer is Resolution.THEIRS:
        _take(run, our, their, plan.ours[our], plan.theirs[their])
    elif answer is Resolution.KEEP_BOTH:
        _add(run, their)
    _agree(run, pair)


def _put_away(run: _Merging, ours: Memory, seq: int) -> None:
    """They have it no more: it goes to our archive. Nothing is erased by a merge."""
    if ours.state is State.ARCHIVED:
        return
    check_writable(ours.id, ours.state, verb=VERB)
    tx_life.stand(run.tx, run.cube, run.tx.row(seq), State.ARCHIVED, verb=VERB)
    run.moved.append(ours.id)


def _take(run: _Merging, our: int, their: int, ours: Memory, theirs: Memory) -> None:
    """Let our memory say what theirs says, and stand as theirs does."""
    check_writable(ours.id, ours.state, verb=VERB)
    row = forks.own(run.tx, run.cube, run.tx.row(our))
    if pasts.said(ours) != pasts.said(theirs):
        _take_words(run, row, run.tx.row(their))
        tx_trust.bound(run.tx, run.cube, row, run.tx.row(their))
        run.revised.append(ours.id)
    if _class(ours.state) != _class(theirs.state):
        tx_life.stand(run.tx, run.cube, run.tx.row(row.seq), theirs.state, verb=VERB)
        run.moved.append(ours.id)
    run.ids[theirs.id] = ours.id


def _take_words(run: _Merging, row: Row[Any], theirs: Row[Any]) -> None:
    connection = run.tx.connection
    former.keep(connection, row.seq, keyed=former.number(connection, row.seq, row.version))
    run.tx._erase_keys(row.seq)
    own = {"memory_seq": row.seq}
    forks.copy_rows(run.tx, vectors, theirs.seq, own)
    terms = connection.execute(select(lexical.c.terms).where(lexical.c.rowid == theirs.seq)).scalar_one()
    key = "" if row.state == State.ARCHIVED.value else cube_key(run.cube.id)
    connection.execute(insert(lexical), [{"rowid": row.seq, "cube": key, "terms": terms}])
    names = ("text", "kind", "tags", "event_at", "speaker", "role", "digest")
    changes = {name: getattr(theirs, name) for name in names}
    if (row.origin, theirs.origin) == (EXTRACTED, STATED):  # somebody put it in other words
        changes |= {"origin": STATED, "made_by": theirs.made_by}
    run.tx.write_version(run.cube, row, changes, keyed=row.version + 1, verb=VERB)


def _add(run: _Merging, their: int) -> int:
    """Write a memory of theirs as one of ours, unless we have the same statement; return its seq."""
    tx, row = run.tx, run.tx.row(their)
    known = tx.statement(run.cube, row.digest, Trust(row.trust))
    if known is not None:
        run.ids[row.id] = known
        return int(tx.memory_row(run.cube, known).seq)
    if row.visibility == Visibility.PUBLIC.value:
        tx_share.check_publish(run.cube)
    changes: dict[str, Any] = {"created_at": row.created_at, "hits": 0, "last_used": None}
    if row.position is not None and _taken(run, row):
        changes["position"] = tx.free_position(run.cube, row.session)
    if run.cube.limits.ttl is not None:
        latest = tx.now + run.cube.limits.ttl
        changes["expires_at"] = min(row.expires_at or latest, latest)
    seq = forks.copy_row(tx, run.cube, row, change=run.cube.change, **changes)
    copy = tx.row(seq)
    tx._owe(run.cube, [(copy.id, seq, copy.version)], verb="remember", detail=row.id)
    run.ids[row.id] = copy.id
    run.added.append(copy.id)
    return seq


def _taken(run: _Merging, row: Row[Any]) -> bool:
    same = (memories.c.cube_id == run.cube.id, memories.c.session.is_not_distinct_from(row.session))
    query = select(memories.c.seq).where(*same, memories.c.position == row.position)
    return run.tx.ask(run.cube, query).first() is not None


def _agree(run: _Merging, pair: Pair) -> None:
    """Write down that both sides know of each other's state, from which the next merge goes on."""
    if pair.theirs is None and pair.twin is None:
        return
    by_copy = run.fork.id != run.cube.id  # theirs is what was merged in
    base, copy = (pair.ours, pair.theirs) if by_copy else (pair.theirs, pair.ours)
    tx = run.tx
    rows = {seq: tx.row(seq) for seq in (base, copy) if seq is not None}
    theirs = rows.get(pair.theirs) if pair.theirs is not None else None
    agreed = {
        "copy_seq": copy,
        "base_version": rows[base].version if base in rows else 0,
        "copy_version": rows[copy].version if copy in rows else 0,
        "by_copy": by_copy,
        "state": theirs.state if theirs is not None else State.ARCHIVED.value,
    }
    if pair.twin is not None:
        if pair.twin.copy_seq is None and copy is not None:
            agreed["first_seq"] = copy  # the fork had it no more: it is new there
        tx.connection.execute(update(twins).where(twins.c.seq == pair.twin.seq).values(agreed))
    elif base is not None and copy is not None:
        mine = (twins.c.fork_id == run.fork.id) & (twins.c.base_seq == base)
        tx.connection.execute(delete(twins).where(mine))
        tx.connection.execute(
            insert(twins).values(fork_id=run.fork.id, base_seq=base, first_seq=copy, hidden=False, **agreed)
        )
