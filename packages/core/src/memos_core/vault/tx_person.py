"""Erasing a person: what they own, what they wrote and what they said, wherever the principal may."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, or_, select

from memos_core.cube import CubeHeader, Right
from memos_core.erasure import Erasure, Scope
from memos_core.errors import Forbidden, NotFound
from memos_core.memory import State
from memos_core.vault import artifacts, forks, jobs, made, schedules, tx_erase
from memos_core.vault.schema import (
    former_keys,
    grants,
    groups,
    members,
    memories,
    parts,
    records,
    sources,
    versions,
)
from memos_core.vault.tx_erase import Tally, deleted

if TYPE_CHECKING:
    from memos_core.vault.tx import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """A memory that a person has a share in: the texts that nobody else told, white space aside."""

    row: Row[Any]
    alone: frozenset[str]

    def is_all(self, name: str) -> bool:
        """Whether it is theirs, or its present words are."""
        return self.row.owner == name or _plain(self.row.text) in self.alone


def erase_principal(tx: Tx, name: str) -> Erasure:
    """Erase what a person owns or said, wherever the principal may.

    In every cube that the principal governs: the cube itself if it is the person's own, else what
    they wrote or said in it, and their rights on it. A person may themself do this for the memories
    that are theirs, in every cube that they may write to; what of it is frozen, or would end something that
    is, is left, and counted.
    """
    tally = Tally()
    for header in tx.cubes_of(tx.principal):
        try:
            cube = tx.enter(header.id, tx.principal, Right.WRITE)
        except (Forbidden, NotFound):
            continue
        if cube.access.whole and cube.owner == name:
            tx_erase.empty_cube(tx, tx.counted(cube), tally)
        elif cube.access.whole or tx.principal.name == name:
            _erase_traces(tx, cube, name, tally)
    if tx.principal.name == name:
        tally.counts["artifacts"] += artifacts.outdate_given(tx.connection, name)
        _erase_groups(tx, name, tally)
        if ordered := _forget_orders(tx, None, name):
            tally.counts["jobs"] += ordered
    return tx_erase.receipt(tx, Scope.PRINCIPAL, tally)


def _erase_traces(tx: Tx, cube: CubeHeader, name: str, tally: Tally) -> None:
    """Erase what a person wrote or said in somebody else's cube; an admin takes their rights away as well."""
    governs = cube.access.whole
    if governs:
        tally.counts["artifacts"] += artifacts.outdate_given(tx.connection, name, cube=cube)
    shares = _shares(tx, cube, name)
    rows = [share.row for share in shares if (share.is_all(name) if governs else share.row.owner == name)]
    if not governs:
        free = [row for row in rows if row.state != State.FROZEN.value]
        if made.binds(tx, cube, free):
            free = [row for row in free if not made.binds(tx, cube, [row])]
        tally.left += len(rows) - len(free)
        rows = free
    known = {row.seq for row in rows}
    partly = [share for share in shares if share.row.seq not in known] if governs else []
    bare = (records.c.cube_id == cube.id) & (records.c.owner == name)
    theirs = (grants.c.cube_id == cube.id) & (grants.c.kind == "principal") & (grants.c.grantee == name)
    is_known = tx.connection.execute(select(records.c.seq).where(bare).limit(1)).first() is not None
    granted = governs and tx.connection.execute(select(grants.c.right).where(theirs)).first() is not None
    ordered = _forget_orders(tx, cube.id, name)
    if not (rows or partly or is_known or granted or ordered):
        return
    cube = tx.counted(cube)
    tally.cubes[cube.id] = None
    if ordered:
        tally.counts["jobs"] += ordered
    tx_erase.erase_rows(tx, cube, rows, tally)
    for share in partly:
        if (still := _still_there(tx, cube, share)) is not None:
            _erase_share(tx, cube, still, name, tally)
    tx_erase.erase_records(tx, bare, tally)
    if granted:
        tally.counts["grants"] += deleted(tx, grants, theirs)
        artifacts.outdate_cube(tx.connection, cube, reason="regranted", now=tx.now)
    jobs.remove_of(tx.connection, cube.id, by=name)  # their adapters that were made from what is erased
    tx._note(cube, "forget", detail=f"principal {tally.id}")


def _still_there(tx: Tx, cube: CubeHeader, share: _Share) -> _Share | None:
    """Return the share as it is now: its memory may have gone with another, or come back as a fork's copy."""
    try:
        return replace(share, row=tx.any_row(cube, share.row.id))
    except NotFound:
        return None


def _forget_orders(tx: Tx, cube: str | None, name: str) -> int:
    """Delete the jobs and schedules that a person ordered about a cube (or the store); return how many."""
    done = jobs.remove_of(tx.connection, cube, by=name)
    return done + schedules.remove_of(tx.connection, cube, by=name)


def _shares(tx: Tx, cube: CubeHeader, name: str) -> list[_Share]:
    """Return every memory of the cube that the person owns, or has told or written something of."""
    told = select(sources.c.memory_seq).where(sources.c.cube_id.in_(cube.holders), sources.c.speaker == name)
    written = select(versions.c.memory_seq).where(versions.c.written_by == name)
    theirs = or_(
        memories.c.owner == name,
        memories.c.speaker == name,
        memories.c.seq.in_(told),
        memories.c.seq.in_(written),
    )
    query = select(memories).where(memories.c.cube_id == cube.id, theirs).order_by(memories.c.seq)
    rows = tx.ask(cube, query).all()
    who = _told_by(tx, [row.seq for row in rows])
    found = [
        _Share(row=row, alone=frozenset(text for text, by in who[row.seq].items() if by == {name}))
        for row in rows
    ]
    return [each for each in found if each.alone or each.row.owner == name or _has_source(tx, each, name)]


def _has_source(tx: Tx, share: _Share, name: str) -> bool:
    query = select(sources.c.id).where(sources.c.memory_seq == share.row.seq, sources.c.speaker == name)
    return tx.connection.execute(query.limit(1)).first() is not None


def _told_by(tx: Tx, seqs: Sequence[int]) -> dict[int, dict[str, set[str]]]:
    """Return by memory who told each of its texts; who revised it told what no source says."""
    who: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for part in parts(seqs):
        told = select(sources.c.memory_seq, sources.c.text, sources.c.speaker)
        for seq, text, speaker in tx.connection.execute(told.where(sources.c.memory_seq.in_(part))):
            who[seq][_plain(text)].add(speaker)
    for part in parts(seqs):
        written = select(versions.c.memory_seq, versions.c.text, versions.c.written_by, versions.c.version)
        written = written.where(versions.c.memory_seq.in_(part)).order_by(versions.c.version)
        for seq, text, by, _ in tx.connection.execute(written):
            if _plain(text) not in who[seq]:
                who[seq][_plain(text)].add(by)
    return who


def _erase_share(tx: Tx, cube: CubeHeader, share: _Share, name: str, tally: Tally) -> None:
    """Erase a person's part of a memory that goes on without it: their tellings, their versions.

    What a fork shares, it has a copy of from then on. Copies of the memory in forks lose that part, too, or
    are erased where they say nothing else.
    What was consolidated from it may repeat words of theirs, and goes.
    """
    if share.row._mapping.get("held", cube.id) != cube.id:
        share = replace(share, row=forks.own(tx, cube, share.row))
    for copy in forks.copies(tx, [share.row.seq]):
        fork = tx.counted(tx.header(copy.cube_id))
        tally.cubes[fork.id] = None
        if _plain(copy.text) in share.alone:
            tx_erase.erase_rows(tx, fork, [copy], tally)
        else:
            _erase_share(tx, fork, replace(share, row=copy), name, tally)
    seq = share.row.seq
    theirs = (sources.c.memory_seq == seq) & (sources.c.speaker == name)
    tally.texts |= dict.fromkeys(tx.connection.execute(select(sources.c.text).where(theirs)).scalars())
    tally.counts["sources"] += deleted(tx, sources, theirs)
    rows = tx.connection.execute(select(versions).where(versions.c.memory_seq == seq)).all()
    gone = [row.version for row in rows if _plain(row.text) in share.alone]
    tally.texts |= dict.fromkeys(row.text for row in rows if row.version in gone)
    for part in parts(gone):
        condition = (versions.c.memory_seq == seq) & versions.c.version.in_(part)
        tally.counts["versions"] += deleted(tx, versions, condition)
    needed = select(versions.c.keyed).where(versions.c.memory_seq == seq)
    earlier = (former_keys.c.memory_seq == seq) & former_keys.c.keyed.not_in(needed)
    if kept := deleted(tx, former_keys, earlier):
        tally.counts["former keys"] += kept
    tx_erase.owe_bytes(tx)
    if share.alone:
        tx_erase.erase_made(tx, cube, share.row, tally)
    tx._owe(
        cube,
        [(share.row.id, seq, share.row.version)],
        verb="forget",
        detail=f"tellings {tally.id}",
    )


def _erase_groups(tx: Tx, name: str, tally: Tally) -> None:
    """Delete the groups that a person owns, and take them out of those of others."""
    owned = select(groups.c.id).where(groups.c.owner == name)
    joined = select(members.c.group_id).where(members.c.member == name)
    ids = set(tx.connection.execute(owned.union(joined)).scalars())
    touched = select(grants.c.cube_id).where(grants.c.kind == "group", grants.c.grantee.in_(ids)).distinct()
    for cube_id in list(tx.connection.execute(touched).scalars()):
        cube = tx.counted(tx.header(cube_id))
        artifacts.outdate_cube(tx.connection, cube, reason="regranted", now=tx.now)
        jobs.remove_of(tx.connection, cube.id, by=name)
        tx._note(cube, "group", detail=f"principal {tally.id}")
    mine = set(tx.connection.execute(owned).scalars())
    tally.counts["grants"] += deleted(tx, grants, (grants.c.kind == "group") & grants.c.grantee.in_(mine))
    tally.counts["members"] += deleted(tx, members, members.c.member == name)
    tally.counts["groups"] += deleted(tx, groups, groups.c.owner == name)


def _plain(text: str) -> str:
    return " ".join(text.split())
