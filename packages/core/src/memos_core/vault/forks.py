"""Forks: a cube that shares another one's memories until either of the two writes to one.

Whoever is about to change a shared memory first gives the other side a copy: a fork writes to a copy
of its own, and before a cube changes what forks of it share, each of them is given one. So what a
fork shares never changes for it. Only what ends a memory's life reaches through: what the cube that
was forked forgets is gone from every fork, its copies too, and so is what expires in it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, Table, insert, literal, or_, select, update

from memos_core.cube import CubeHeader
from memos_core.errors import InvalidInput
from memos_core.governance import cube_key
from memos_core.vault import artifacts, scope
from memos_core.vault.schema import (
    OUT_OF_SIGHT,
    cubes,
    edges,
    former_keys,
    lexical,
    memories,
    parts,
    sources,
    tags,
    twins,
    vectors,
    versions,
)

if TYPE_CHECKING:
    from memos_core.vault.tx import Tx
    from memos_core.vault.view import View


def make(tx: Tx, of: CubeHeader, name: str) -> CubeHeader:
    """Write a cube that shares what the principal sees of another one; it is the principal's own."""
    if tx.find_cube(tx.principal.name, name) is not None:
        raise InvalidInput(f"you have a cube {name!r} already: choose another name for the fork")
    cube = tx.create_cube(name)
    base = {
        "base_cube": of.id,
        "base_upto": tx.last_seq(),
        "base_principal": of.access.principal,
        "base_rights": " ".join(sorted(of.access.rights)),
    }
    tx.connection.execute(update(cubes).where(cubes.c.id == cube.id).values(base))
    tx._note(of, "fork", detail=cube.id)
    return tx.header(cube.id)


def of(tx: Tx, cube_id: str) -> list[CubeHeader]:
    """Return the cubes that were made from this one, oldest first."""
    query = select(cubes.c.id).where(cubes.c.base_cube == cube_id).order_by(cubes.c.created_at, cubes.c.id)
    return [tx.header(fork_id) for fork_id in tx.connection.execute(query).scalars().all()]


def sharing(tx: Tx, cube_id: str, seq: int) -> Iterator[CubeHeader]:
    """Yield the forks of a cube that share this memory, and note for the others that they never will."""
    for fork in of(tx, cube_id):
        if fork.base is None or seq > fork.base.upto or _known(tx, fork, seq):
            continue
        shared = select(memories.c.seq).where(memories.c.seq == seq, scope.shared(fork))
        if tx.connection.execute(shared, tx.moment).scalar() is not None:
            yield fork
        else:
            row = tx.row(seq)
            _twin(tx, fork, row, copy=None, hidden=True)


def own(tx: Tx, cube: CubeHeader, row: Row[Any]) -> Row[Any]:
    """Return the row as this cube may write to it: its own, which no fork of it shares any more."""
    if row._mapping.get("held", row.cube_id) != cube.id:
        return tx.row(_copied(tx, cube, tx.row(row.seq)))
    part(tx, cube.id, row.seq)
    return tx.row(row.seq)


def part(tx: Tx, cube_id: str, seq: int) -> None:
    """Give each fork of a cube that shares this memory a copy of its own."""
    for fork in list(sharing(tx, cube_id, seq)):
        _copied(tx, tx.counted(fork), tx.row(seq))


def remove(tx: Tx, cube: CubeHeader, row: Row[Any]) -> None:
    """Let a fork no longer share this memory."""
    part(tx, cube.id, row.seq)
    _twin(tx, cube, tx.row(row.seq), copy=None)


def gone(tx: Tx, row: Row[Any], *, verb: str) -> list[str]:
    """Tell the forks that share this memory that it is no more, however far down; return their ids."""
    told: list[str] = []
    for fork in list(sharing(tx, row.cube_id, row.seq)):
        told += _tell(tx, fork, row, verb=verb)
    return told


def _tell(tx: Tx, fork: CubeHeader, row: Row[Any], *, verb: str) -> list[str]:
    counted = tx.counted(fork)
    tx._note(counted, verb, memory_id=row.id, seq=row.seq, version=row.version)
    told = [fork.id]
    for each in list(sharing(tx, fork.id, row.seq)):
        told += _tell(tx, each, row, verb=verb)
    return told


def cut(tx: Tx, cube: CubeHeader, *, detail: str) -> list[str]:
    """Part the forks of a cube that is no more from it; return the ids of all that showed something of it."""
    found: list[str] = []
    for fork in of(tx, cube.id):
        found += _tell_cut(tx, fork, detail=detail)
    nothing = dict.fromkeys(("base_cube", "base_upto", "base_principal", "base_rights"))
    tx.connection.execute(update(cubes).where(cubes.c.base_cube == cube.id).values(nothing))
    return found


def _tell_cut(tx: Tx, fork: CubeHeader, *, detail: str) -> list[str]:
    tx._note(tx.counted(fork), "forget", detail=detail)
    artifacts.outdate_cube(tx.connection, fork, reason="erased", now=tx.now)
    found = [fork.id]
    for each in of(tx, fork.id):
        found += _tell_cut(tx, each, detail=detail)
    return found


def copies(tx: Tx, seqs: Sequence[int]) -> list[Row[Any]]:
    """Return the rows that forks have of these memories."""
    found: list[Row[Any]] = []
    for some in parts(seqs):
        query = select(memories).join(twins, twins.c.copy_seq == memories.c.seq)
        found += tx.connection.execute(query.where(twins.c.base_seq.in_(some)))
    return found


def parted(view: View, cube: CubeHeader, ids: Collection[str]) -> set[str]:
    """Return which of these memories a fork has a copy of, which has its links, or shares no more."""
    if cube.base is None:
        return set()
    query = select(memories.c.id).join(twins, twins.c.base_seq == memories.c.seq)
    query = query.where(twins.c.fork_id.in_(cube.holders), twins.c.hidden.is_(False))
    found: set[str] = set()
    for some in parts(sorted(ids)):
        found |= set(view.connection.execute(query.where(memories.c.id.in_(some))).scalars())
    return found


def _copied(tx: Tx, fork: CubeHeader, row: Row[Any]) -> int:
    """Write a fork's own copy of a memory that it shares; return its seq. Forks of the fork come first."""
    part(tx, fork.id, row.seq)
    ends = _ends(tx, fork, row)
    seq = copy_row(tx, fork, row, change=0)
    _twin(tx, fork, row, copy=seq)
    artifacts.hand_over(tx.connection, fork, row.seq, seq)
    forks = select(cubes.c.id).where(cubes.c.base_cube == fork.id)
    theirs = (twins.c.base_seq == row.seq) & twins.c.fork_id.in_(
        forks
    )  # from now on, they are twins of the copy
    tx.connection.execute(update(twins).where(theirs).values(base_seq=seq))
    copy = tx.row(seq)
    for each in ends:
        renamed = {end: copy.id for end in ("source", "target") if each[end] == row.id}
        tx.connection.execute(insert(edges).values({**each, **renamed}))
    tx._note(fork, "part", memory_id=row.id, seq=row.seq, version=row.version)
    tx._owe(fork, [(copy.id, seq, copy.version)], verb="part", detail=row.id)
    return seq


def _ends(tx: Tx, fork: CubeHeader, row: Row[Any]) -> list[dict[str, Any]]:
    """Return the edges that a fork sees or saw at a memory, as rows of its own."""
    mine = edges.c.cube_id == fork.id
    at = or_(edges.c.source == row.id, edges.c.target == row.id)
    found = tx.connection.execute(select(edges).where(at, or_(mine, scope.edges_shown(fork))))
    theirs = {"cube_id": fork.id, "change": 0}
    return [
        dict(each._mapping)
        if each.cube_id == fork.id
        else {**each._mapping, **theirs, "brought_back": None if each.brought_back is None else 0}
        for each in found
    ]


def copy_row(tx: Tx, cube: CubeHeader, row: Row[Any], *, change: int, **changes: Any) -> int:
    """Write a memory again as one of this cube, with its versions, sources and keys; return its seq.

    Its versions count as written by `change`, 0 for what a fork had from the start.
    """
    seq = tx.reserve_seqs(1)
    new = {**row._mapping, "id": uuid.uuid4().hex, "seq": seq, "cube_id": cube.id, **changes}
    tx.connection.execute(insert(memories).values({column.name: new[column.name] for column in memories.c}))
    mine: Mapping[str, Any] = {"memory_seq": seq}
    copy_rows(tx, versions, row.seq, {**mine, "change": change})
    copy_rows(tx, sources, row.seq, {**mine, "cube_id": cube.id}, but=("id",))
    for table in (tags, vectors, former_keys):
        copy_rows(tx, table, row.seq, mine)
    terms = select(lexical.c.terms).where(lexical.c.rowid == row.seq)
    key = "" if new["state"] in OUT_OF_SIGHT else cube_key(cube.id)
    found = [{"rowid": seq, "cube": key, "terms": each} for each in tx.connection.execute(terms).scalars()]
    if found:  # an expired memory has none
        tx.connection.execute(insert(lexical), found)
    return seq


def copy_rows(tx: Tx, table: Table, seq: int, given: Mapping[str, Any], *, but: Sequence[str] = ()) -> None:
    """Write a memory's rows in a table again, with these columns as given."""
    columns = [column for column in table.c if column.name not in but]
    values = [literal(given[c.name], c.type) if c.name in given else c for c in columns]
    rows = select(*values).where(table.c.memory_seq == seq)
    tx.connection.execute(insert(table).from_select([column.name for column in columns], rows))


def _known(tx: Tx, fork: CubeHeader, seq: int) -> bool:
    query = select(twins.c.seq).where(twins.c.fork_id == fork.id, twins.c.base_seq == seq)
    return tx.connection.execute(query).scalar() is not None


def _twin(tx: Tx, fork: CubeHeader, row: Row[Any], *, copy: int | None, hidden: bool = False) -> None:
    first = tx.connection.execute(select(twins.c.first_seq).where(twins.c.copy_seq == row.seq)).scalar()
    tx.connection.execute(
        insert(twins).values(
            fork_id=fork.id,
            base_seq=row.seq,
            copy_seq=copy,
            first_seq=row.seq if first is None else first,
            hidden=hidden,
            base_version=row.version,
            copy_version=row.version,
            by_copy=copy is not None,
            state=row.state,
        )
    )
