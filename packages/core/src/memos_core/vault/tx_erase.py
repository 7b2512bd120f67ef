"""Erasing memories, a cube, a person: set by set, in one writing transaction.

It reaches through forks: their copies of what a cube erases go as well. What a fork shares only is
another cube's: the fork erases nothing of it, and shares it no more.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Row, delete, func, insert, select, update

from memos_core.consolidation import GIST
from memos_core.cube import CubeHeader
from memos_core.erasure import Erasure, Scope
from memos_core.lifecycle import check_writable
from memos_core.memory import State
from memos_core.query import Where
from memos_core.vault import artifacts, forks, jobs, made, moved, schedules, statements
from memos_core.vault.extracted import only_in
from memos_core.vault.schema import (
    cubes,
    edges,
    erasures,
    former_keys,
    grants,
    lexical,
    memories,
    outbox,
    parts,
    records,
    snapshots,
    sources,
    store,
    tags,
    vectors,
    versions,
)
from memos_core.vault.schema_jobs import extractions
from memos_core.vault.settings import ERASED_BYTES, ERASED_WORDS

if TYPE_CHECKING:
    from memos_core.vault.tx import Tx

_BY_SEQ = (
    ("sources", sources, sources.c.memory_seq),
    ("tags", tags, tags.c.memory_seq),
    ("vectors", vectors, vectors.c.memory_seq),
    ("lexical", lexical, lexical.c.rowid),
    ("versions", versions, versions.c.memory_seq),
)


@dataclass(slots=True)
class Tally:
    """What one erasure has erased so far.

    `beside` is what was merged with something that goes, by cube and id, with the state that it had: what of
    it is left comes back at the end.
    """

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    verb: str = "forget"
    counts: Counter[str] = field(default_factory=Counter)
    memories: list[str] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)
    cubes: dict[str, None] = field(default_factory=dict)
    texts: dict[str, None] = field(default_factory=dict)
    beside: dict[tuple[str, str], State] = field(default_factory=dict)
    left: int = 0


# --- rows ------------------------------------------------------------------------------------


def erase_words(tx: Tx, rows: Sequence[Row[Any]], *, reason: str) -> Counter[str]:
    """Delete what memories say and every trace of it but their own rows; count the rows by place.

    What was made from them is marked as stale, and the records that they are found by go as well.
    That their bytes are still to be overwritten is written down.
    """
    seqs, ids = [row.seq for row in rows], [row.id for row in rows]
    erased = Counter({"artifacts": artifacts.outdate(tx.connection, seqs, reason=reason, now=tx.now)})
    for part in parts(seqs):
        for place, kept in (("records", records), ("former keys", former_keys)):
            if count := deleted(tx, kept, kept.c.memory_seq.in_(part)):
                erased[place] += count
        for name, table, column in _BY_SEQ:
            erased[name] += deleted(tx, table, column.in_(part))
    if count := jobs.forget(tx.connection, seqs):
        erased["jobs"] += count
    for part in parts(seqs):
        deleted(tx, extractions, extractions.c.memory_seq.in_(part))
    for part in parts(ids):
        erased["links"] += deleted(tx, edges, edges.c.source.in_(part) | edges.c.target.in_(part))
    owe_bytes(tx)
    return erased


def owe_bytes(tx: Tx) -> None:
    """Write down that words were deleted which the files still hold in their bytes."""
    for key in (ERASED_WORDS, ERASED_BYTES):
        tx.connection.execute(delete(store).where(store.c.key == key))
        tx.connection.execute(insert(store).values(key=key, value=uuid.uuid4().hex))


def deleted(tx: Tx, table: Any, condition: ColumnElement[bool]) -> int:
    return tx.connection.execute(delete(table).where(condition)).rowcount


def erase_rows(tx: Tx, cube: CubeHeader, rows: Sequence[Row[Any]], tally: Tally) -> None:
    """Delete memories that a cube shows, whatever their state; who calls has looked whether that may be.

    Rows say in `held` whose they are, where that may be another cube. What stands behind a merged memory
    goes with it, and with any of them what consolidation made of it; what was merged with that comes back.
    """
    every = {row.seq: row for row in (*rows, *made.absorbed(tx, cube, rows))}
    _erase(tx, cube, list(every.values()), tally)
    _bring_back(tx, cube, tally)


def erase_made(tx: Tx, cube: CubeHeader, row: Row[Any], tally: Tally) -> None:
    """Erase what was consolidated from a memory of the cube's own that goes on without some of its words."""
    _erase_quoting(tx, cube, _quoting(tx, cube, {row.id}, tally), tally)
    _bring_back(tx, cube, tally)


def _erase(tx: Tx, cube: CubeHeader, rows: Sequence[Row[Any]], tally: Tally) -> None:
    own, shared = list[Row[Any]](), list[Row[Any]]()
    for row in rows:
        (own if row._mapping.get("held", cube.id) == cube.id else shared).append(row)
    _erase_own(tx, cube, own, tally)
    _share_no_more(tx, cube, shared, tally)


def _share_no_more(tx: Tx, cube: CubeHeader, rows: Sequence[Row[Any]], tally: Tally) -> None:
    """Let a fork share these memories no more, nor what was consolidated from them."""
    if not rows:
        return
    ids = {row.id for row in rows}
    quoting = made.quoting(tx, cube, ids)
    _note_beside(tx, cube, quoting, tally)
    for row in made.shown(tx, cube, ids):  # one may have gone with another
        _unshare(tx, cube, row, tally)
    _erase(tx, cube, made.shown(tx, cube, {row.id for row in quoting}), tally)


def _unshare(tx: Tx, cube: CubeHeader, row: Row[Any], tally: Tally) -> None:
    """Let a fork share a memory no more; what the fork made from it goes."""
    forks.remove(tx, cube, row)
    tally.cubes[cube.id] = None
    tally.shared.append(row.id)
    tally.counts["shared"] += 1
    tally.counts["artifacts"] += artifacts.outdate_in(
        tx.connection, cube, row.seq, reason="erased", now=tx.now
    )
    tx._owe(cube, [(row.id, row.seq, row.version)], verb=tally.verb, detail=tally.id)


def _erase_own(tx: Tx, cube: CubeHeader, rows: Sequence[Row[Any]], tally: Tally) -> None:
    if not rows:
        return
    quoting = _quoting(tx, cube, {row.id for row in rows}, tally)
    there = _present(tx, {row.seq for row in rows})
    rows = [row for row in rows if row.seq in there]
    tally.cubes[cube.id] = None
    tally.memories += [row.id for row in rows]
    _reach_forks(tx, cube, rows, tally)
    tally.texts |= dict.fromkeys(_texts(tx, [row.seq for row in rows]))
    tally.counts.update(tx.erase_words(rows, reason="erased"))
    for part in parts([row.seq for row in rows]):
        tally.counts["memories"] += deleted(tx, memories, memories.c.seq.in_(part))
    for frozen in (False, True):
        told = [row for row in rows if (row.state == State.FROZEN.value) is frozen]
        detail = f"frozen {tally.id}" if frozen else tally.id
        tx._owe(cube, [(row.id, row.seq, row.version) for row in told], verb=tally.verb, detail=detail)
    _erase_quoting(tx, cube, quoting, tally)


def _quoting(tx: Tx, cube: CubeHeader, ids: set[str], tally: Tally) -> dict[str, set[int]]:
    """Return by cube what was consolidated from memories of the cube's own, and note what it was made from.

    What the cube shares that was made from them belongs to the cube it was made from: it is let go of here.
    """
    if cube.base is not None:
        theirs = [row for row in made.quoting(tx, cube, ids) if row.held != cube.id]
        _note_beside(tx, cube, theirs, tally)
        _share_no_more(tx, cube, theirs, tally)
    found: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in made.products(tx, ids):
        found[row.cube_id].append(row)
    for cube_id, rows in found.items():
        _note_beside(tx, cube if cube_id == cube.id else tx.header(cube_id), rows, tally)
    return {cube_id: {row.seq for row in rows} for cube_id, rows in found.items()}


def _erase_quoting(tx: Tx, cube: CubeHeader, quoting: Mapping[str, set[int]], tally: Tally) -> None:
    for cube_id in sorted(quoting, key=lambda each: (each != cube.id, each)):
        there = _present(tx, quoting[cube_id])  # some may have gone with others
        if there:
            tally.counts["consolidated"] += len(there)
            place = cube if cube_id == cube.id else tx.counted(tx.header(cube_id))
            _erase_own(tx, place, [tx.row(seq) for seq in sorted(there)], tally)


def _note_beside(tx: Tx, cube: CubeHeader, rows: Sequence[Row[Any]], tally: Tally) -> None:
    """Note what stands behind merged memories that will go, in the cube and in the forks that lose them."""
    merged = [row for row in rows if row.kind != GIST]
    for each in made.behind(tx, cube, {row.id for row in merged}):
        tally.beside[cube.id, each.row.id] = each.was
    _note_in_forks(tx, cube, [row for row in merged if row._mapping.get("held", cube.id) == cube.id], tally)


def _note_in_forks(tx: Tx, cube: CubeHeader, gone: Sequence[Row[Any]], tally: Tally) -> None:
    if not gone:
        return
    copies = forks.copies(tx, [row.seq for row in gone])
    for fork in forks.of(tx, cube.id):
        lost = made.shown(tx, fork, {row.id for row in gone})
        lost += [copy for copy in copies if copy.cube_id == fork.id]
        for each in made.behind(tx, fork, {row.id for row in lost}):
            tally.beside[fork.id, each.row.id] = each.was
        _note_in_forks(tx, fork, lost, tally)


def _bring_back(tx: Tx, cube: CubeHeader, tally: Tally) -> None:
    """Give what was merged with something that went, and is left in the archive, the state it had before.

    First in forks: what their base gets back they share no more.
    """
    from memos_core.vault import tx_life  # noqa: PLC0415 - it stands on `Tx`, which stands on this

    beside: dict[str, dict[str, State]] = defaultdict(dict)
    for (cube_id, memory_id), was in tally.beside.items():
        beside[cube_id][memory_id] = was
    tally.beside.clear()
    places = [cube if each == cube.id else tx.header(each) for each in beside]
    for place in sorted(places, key=lambda each: -len(each.holders)):
        left = made.shown(tx, place, beside[place.id])
        left = [row for row in left if row.state == State.ARCHIVED.value]
        opened = place if place.id == cube.id or not left else tx.counted(place)
        for row in left:
            tx_life.stand(tx, opened, row, beside[place.id][row.id], verb="restore")


def _present(tx: Tx, seqs: set[int]) -> set[int]:
    found: set[int] = set()
    for part in parts(sorted(seqs)):
        found |= set(tx.connection.execute(select(memories.c.seq).where(memories.c.seq.in_(part))).scalars())
    return found


def _reach_forks(tx: Tx, cube: CubeHeader, rows: Sequence[Row[Any]], tally: Tally) -> None:
    """Erase every copy of these memories, however far down, and tell the forks that share them."""
    copies: dict[str, list[Row[Any]]] = defaultdict(list)
    for copy in forks.copies(tx, [row.seq for row in rows]):
        copies[copy.cube_id].append(copy)
    for fork_id, found in copies.items():
        tally.counts["copies"] += len(found)
        _erase_own(tx, tx.counted(tx.header(fork_id)), found, tally)
    if forks.of(tx, cube.id):
        for row in rows:
            tally.cubes |= dict.fromkeys(forks.gone(tx, tx.row(row.seq), verb=tally.verb))


def _texts(tx: Tx, seqs: Sequence[int]) -> Iterable[str]:
    """Yield every text that these memories hold: of versions and sources, and values of records."""
    for part in parts(seqs):
        for query in (
            select(versions.c.text).where(versions.c.memory_seq.in_(part)),
            select(sources.c.text).where(sources.c.memory_seq.in_(part)),
            select(records.c.data).where(records.c.memory_seq.in_(part)),
        ):
            yield from tx.connection.execute(query.distinct()).scalars()


def receipt(tx: Tx, scope: Scope, tally: Tally) -> Erasure:
    """Write the receipt down, without a word of what was erased; return it."""
    owed = 0
    for part in parts([*tally.memories, *tally.shared]):
        query = select(func.count(outbox.c.memory_id.distinct())).where(outbox.c.memory_id.in_(part))
        owed += tx.connection.execute(query).scalar_one()
    made = Erasure(
        id=tally.id,
        scope=scope,
        by=tx.principal.name,
        at=tx.now,
        cubes=tuple(tally.cubes),
        memories=tuple(tally.memories),
        shared=tuple(tally.shared),
        erased=dict(tally.counts),
        owed=owed,
        left=tally.left,
        texts=tuple(tally.texts),
    )
    row = {"id": made.id, "by": made.by, "at": tx.now, "facts": made.facts()}
    tx.connection.execute(insert(erasures).values(row))
    return made


# --- what is asked for -----------------------------------------------------------------------


def erase_memory(tx: Tx, cube: CubeHeader, row: Row[Any], *, extracted: bool) -> Erasure:
    """Erase one memory, archived and expired ones too. Raises IllegalTransition for a frozen one."""
    return _erased(tx, cube, [row], Scope.MEMORY, extracted=extracted)


def erase_where(tx: Tx, cube: CubeHeader, where: Where, *, extracted: bool) -> Erasure:
    """Erase every memory that matches and may be seen, whether it is in sight, archived or overdue.

    Raises IllegalTransition, and erases nothing, if one of them is frozen.
    """
    there = (memories.c.cube_id == cube.id, statements.visible_to(cube.access))
    query = select(memories).where(*there, memories.c.state != State.EXPIRED.value)
    matching = statements.matching(where, plain=cube.is_plain)
    rows = tx.ask(cube, query.where(*matching).order_by(memories.c.seq)).all()
    return _erased(tx, cube, rows, Scope.WHERE, extracted=extracted)


def _erased(tx: Tx, cube: CubeHeader, rows: Sequence[Row[Any]], scope: Scope, *, extracted: bool) -> Erasure:
    """Erase memories, and with `extracted` what was extracted from nothing else; return the receipt."""
    every = [*rows, *only_in(tx, cube, rows)] if extracted else rows
    for row in every:
        check_writable(row.id, State(row.state), verb="forget")
    made.check_free(tx, cube, every, verb="forget")
    tally = Tally()
    erase_rows(tx, cube, every, tally)
    return receipt(tx, scope, tally)


def erase_cube(tx: Tx, cube: CubeHeader) -> Erasure:
    """Erase a cube with all that is in it, frozen memories too."""
    tally = Tally()
    empty_cube(tx, cube, tally)
    return receipt(tx, Scope.CUBE, tally)


def empty_cube(tx: Tx, cube: CubeHeader, tally: Tally) -> None:
    """Empty the cube and give it to nobody; its row goes when the files made from it are gone.

    Its forks keep what they wrote themselves. What they shared of it, or by way of it, they show no more.
    """
    tally.cubes[cube.id] = None
    tally.counts["artifacts"] += artifacts.outdate_cube(
        tx.connection, cube, reason="erased"
    )  # none is renewed
    rows = tx.connection.execute(select(memories).where(memories.c.cube_id == cube.id)).all()
    erase_rows(tx, cube, rows, tally)
    erase_records(tx, records.c.cube_id == cube.id, tally)
    tally.counts["grants"] += deleted(tx, grants, grants.c.cube_id == cube.id)
    if kept := deleted(tx, snapshots, snapshots.c.cube_id == cube.id):
        tally.counts["snapshots"] += kept
    if pending := jobs.remove_of(tx.connection, cube.id) + schedules.remove_of(tx.connection, cube.id):
        tally.counts["jobs"] += pending
    moved.forget(tx, cube.id)
    tally.cubes |= dict.fromkeys(forks.cut(tx, cube, detail=f"base {tally.id}"))
    tally.counts["cubes"] += 1
    tx._note(cube, "forget", detail=f"cube {tally.id}")
    gone = {"owner": artifacts.NOBODY, "name": cube.id, "base_cube": None}
    tx.connection.execute(update(cubes).where(cubes.c.id == cube.id).values(gone))


def erase_records(tx: Tx, condition: ColumnElement[bool], tally: Tally) -> None:
    """Delete records that no memory stands behind."""
    bare = condition & records.c.memory_seq.is_(None)
    data = list(tx.connection.execute(select(records.c.data).where(bare)).scalars())
    if data:
        tally.texts |= dict.fromkeys(data)
        tally.counts["records"] += deleted(tx, records, bare)
        owe_bytes(tx)
