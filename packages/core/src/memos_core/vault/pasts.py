"""States of a cube by name and by time, and how two of them differ.

A state is a change number: what changed after it is in the audit, what was then is in `versions`,
`standings` and `edges`. So a snapshot is one row, whatever the size of the cube.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select

from memos_core.cube import Access, CubeHeader, Principal, Right
from memos_core.errors import InvalidInput, NotFound
from memos_core.memory import Memory, State
from memos_core.record import RECORD
from memos_core.timeline import At, Diff, Gone, Moved, Revised, Snapshot, Why
from memos_core.vault import keyring
from memos_core.vault.schema import audit, snapshots
from memos_core.vault.tx import Tx
from memos_core.vault.view import View


def take(tx: Tx, cube: CubeHeader, label: str) -> Snapshot:
    """Name the cube's present state."""
    if _labelled(tx, cube, label) is not None:
        raise InvalidInput(
            f"there is a snapshot {label!r} already: drop_snapshot() it, or choose another label"
        )
    made = Snapshot(cube=cube.id, label=label, change=cube.change, at=tx.now, by=tx.principal.name)
    row = {"cube_id": made.cube, "label": label, "change": made.change, "at": made.at, "by": made.by}
    tx.connection.execute(insert(snapshots).values(row))
    tx._note(cube, "snapshot")
    return made


def taken(view: View, cube: CubeHeader) -> list[Snapshot]:
    """Return the cube's snapshots, oldest first."""
    query = select(snapshots).where(snapshots.c.cube_id == cube.id)
    rows = view.connection.execute(query.order_by(snapshots.c.change, snapshots.c.at, snapshots.c.label))
    return [_snapshot(row) for row in rows]


def drop(tx: Tx, cube: CubeHeader, label: str) -> None:
    """Let go of a snapshot's name; the state can still be named by its time."""
    mine = (snapshots.c.cube_id == cube.id) & (snapshots.c.label == label)
    if not tx.connection.execute(delete(snapshots).where(mine)).rowcount:
        raise NotFound("snapshot", label)
    tx._note(cube, "drop_snapshot")


def looked_at(view: View, cube: CubeHeader, at: At | None) -> CubeHeader:
    """Return an entered cube as it is looked at: at a state of its past, or now."""
    return cube if at is None else replace(cube, at=change_of(view, cube, at))


def entered(view: View, principal: Principal, ids: Sequence[str], at: At | None) -> CubeHeader:
    """Enter cubes for reading, at a state or now; several are read as one."""
    cubes = [looked_at(view, view.enter(each, principal, Right.READ), at) for each in ids]
    if len(cubes) == 1:
        return cubes[0]
    return CubeHeader(
        id="+".join(ids),
        name=" + ".join(each.name for each in cubes),
        owner=principal.name,
        created_at=min(each.created_at for each in cubes),
        change=sum(each.change for each in cubes),
        access=Access(principal=principal.name, rights=frozenset(Right)),  # each member has its own
        beside=tuple(cubes),
    )


def change_of(view: View, cube: CubeHeader, at: At) -> int:
    """Return the change number after which the cube was so; NotFound for a label that it does not have."""
    match at:
        case Snapshot():
            if at.cube != cube.id:
                raise NotFound("snapshot", at.label)
            return at.change
        case datetime():
            then = (audit.c.cube_id == cube.id) & (audit.c.at <= at)
            return int(view.connection.execute(select(func.max(audit.c.change)).where(then)).scalar() or 0)
        case _:
            row = _labelled(view, cube, at)
            if row is None:
                raise NotFound("snapshot", at)
            return int(row.change)


def _labelled(view: View, cube: CubeHeader, label: str) -> Row[Any] | None:
    mine = (snapshots.c.cube_id == cube.id) & (snapshots.c.label == label)
    return view.connection.execute(select(snapshots).where(mine)).one_or_none()


def _snapshot(row: Row[Any]) -> Snapshot:
    return Snapshot(cube=row.cube_id, label=row.label, change=row.change, at=row.at, by=row.by)


# --- differences ---------------------------------------------------------------------------------


def diff(view: View, cube: CubeHeader, a: At, b: At | None) -> Diff:
    """Return how the cube came from state `a` to `b`, or to now. Values under keys do not count."""
    before, after = looked_at(view, cube, a), looked_at(view, cube, b)
    first, last = change_at(before), change_at(after)
    if first > last:
        raise InvalidInput("the first state is later than the second: name the earlier one first")
    changed = keyring.changed_since(view.connection, cube, first)
    return Diff(
        **differences(there(view, before, changed), there(view, after, changed)),
        gone=tuple(gone_between(view, cube, first, last)),
    )


def differences(before: dict[int, Memory], after: dict[int, Memory]) -> dict[str, tuple[Any, ...]]:
    """Return what was added, revised and moved, for memories by seq; what was put away was not added."""
    both = [(before[seq], after[seq]) for seq in sorted(after) if seq in before]
    return {
        "added": tuple(
            after[seq]
            for seq in sorted(after)
            if seq not in before and after[seq].state is not State.ARCHIVED
        ),
        "revised": tuple(Revised(before=old, after=new) for old, new in both if said(old) != said(new)),
        "moved": tuple(Moved(before=old, after=new) for old, new in both if old.state != new.state),
    }


def there(view: View, cube: CubeHeader, seqs: Collection[int]) -> dict[int, Memory]:
    """Return by seq those of the memories that a cube shows, or has in its archive; no records."""
    return {seq: each for seq, each in view.kept(cube, seqs).items() if each.kind != RECORD}


def said(memory: Memory) -> tuple[object, ...]:
    """Return what a version is about: memories that agree in it say the same."""
    header = memory.header.descriptive
    return memory.text, header.kind, header.tags, header.event_at, header.speaker, header.role


def change_at(cube: CubeHeader) -> int:
    """Return the change number of the state at which a cube is looked at."""
    return cube.change if cube.at is None else cube.at


def gone_between(view: View, cube: CubeHeader, first: int, last: int) -> list[Gone]:
    """Return which memories of state `first` were erased until `last`: to whoever sees all of the cube.

    Others are told what they erased themselves: who could see a memory is erased with it.
    """
    mine = audit.c.cube_id == cube.id
    query = select(audit).where(mine, audit.c.change > first, audit.c.change <= last)
    query = query.where(audit.c.verb.in_(tuple(_ENDS)), audit.c.memory_seq.is_not(None))
    found = {row.memory_seq: row for row in view.connection.execute(query.order_by(audit.c.seq.desc()))}
    young = _first_written_after(view, cube, first)
    return [
        Gone(memory_id=row.memory_id, at=row.at, by=row.principal, why=_ENDS[row.verb])
        for seq, row in sorted(found.items())
        if seq not in young and (cube.access.whole or row.principal == cube.access.principal)
    ]


_ENDS = {"forget": Why.FORGOTTEN, "ttl": Why.EXPIRED}


def _first_written_after(view: View, cube: CubeHeader, change: int) -> set[int]:
    query = select(audit.c.memory_seq).where(audit.c.cube_id == cube.id, audit.c.change > change)
    return set(view.connection.execute(query.where(audit.c.verb == "remember")).scalars())
