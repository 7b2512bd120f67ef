"""What comes into a cube from a file, in a writing transaction. Which of it, is decided before."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, func, insert, or_, select, update

from memos_core.cube import CubeHeader
from memos_core.lifecycle import check_writable
from memos_core.memory import Relation, State
from memos_core.vault import forks, made, scope, statements, tx_erase, tx_trust
from memos_core.vault.draft import Keys
from memos_core.vault.engine import dialect_of
from memos_core.vault.schema import (
    audit,
    edges,
    imports,
    lexical,
    memories,
    parts,
    records,
    sources,
    versions,
)
from memos_core.vault.tx import DIRECTED, Tx
from memos_core.vault.tx_erase import Tally
from memos_core.vault.view import View

Row = dict[str, Any]

_LINK = ("source", "relation", "target", "created_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """A file that was loaded into a cube: the digest of its manifest, and whose cube it held.

    `signer` is the public key of whoever signed it. `place` and `version` tell the store and the
    publication that it was fetched from, None for a file.
    """

    digest: str
    name: str
    owner: str
    signer: str | None
    place: str | None
    version: int | None
    by: str
    at: datetime


class Present(NamedTuple):
    """A memory of the cube that an incoming one is the same as."""

    seq: int
    id: str
    version: int
    text: str
    state: str
    trust: str
    imported: bool = False  # whether it came in from a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A memory about to be written with its whole history; `memory` lacks its sequence number only."""

    memory: Row
    versions: Sequence[Row]
    sources: Sequence[Row]
    keys: Keys


_PRESENT = (
    memories.c.seq,
    memories.c.id,
    memories.c.version,
    memories.c.text,
    memories.c.state,
    memories.c.trust,
    memories.c.imported_from.is_not(None).label("imported"),
)
_TOUCHING = (
    *("revise", "classify", "distrust", "freeze", "unfreeze", "archive", "restore"),
    *("revert", "rollback", "merge"),
)


def touched(view: View, cube: CubeHeader) -> set[str]:
    """Return the memories of a cube that were changed by its users since they were loaded, if they were."""
    query = select(audit.c.memory_id, audit.c.verb).where(
        audit.c.cube_id == cube.id, audit.c.memory_id.is_not(None), audit.c.verb.in_((*_TOUCHING, "load"))
    )
    last = {row.memory_id: row.verb for row in view.connection.execute(query.order_by(audit.c.seq))}
    return {memory_id for memory_id, verb in last.items() if verb != "load"}


def came_from(view: View, cube: CubeHeader, place: str) -> list[Present]:
    """Return the memories of a cube that were loaded from a store, those that may be seen."""
    digests = select(imports.c.digest).where(imports.c.cube_id == cube.id, imports.c.place == place)
    query = select(*_PRESENT).where(memories.c.cube_id == cube.id, statements.visible_to(cube.access))
    query = query.where(memories.c.imported_from.in_(digests)).order_by(memories.c.seq)
    return [Present._make(row) for row in view.ask(cube, query)]


def forgotten(view: View, cube: CubeHeader) -> set[str]:
    """Return the ids of every memory that was ever forgotten in this store, and of those by this cube.

    What a fork forgot of its base is alive there, and so is a memory that lost one telling only.
    """
    query = select(audit.c.memory_id).where(audit.c.verb == "forget", audit.c.memory_id.is_not(None))
    query = query.where(func.coalesce(audit.c.detail, "").not_like("tellings %"))
    gone = or_(audit.c.cube_id == cube.id, audit.c.memory_id.not_in(select(memories.c.id)))
    return set(view.connection.execute(query.where(gone)).scalars())


def taken(view: View, ids: Sequence[str]) -> set[str]:
    """Return those of the ids that a memory of any cube has."""
    found: set[str] = set()
    for part in parts(ids):
        found.update(view.connection.execute(select(memories.c.id).where(memories.c.id.in_(part))).scalars())
    return found


def present(
    view: View, cube: CubeHeader, ids: Sequence[str], digests: Sequence[str]
) -> tuple[dict[str, Present], dict[str, Present]]:
    """Return the memories of the cube that have these ids, and those that are known by these digests.

    By id whatever became of them, by digest those in sight; always those that may be seen only.
    """
    columns = _PRESENT
    mine = (memories.c.cube_id == cube.id) & statements.visible_to(cube.access)
    by_id: dict[str, Present] = {}
    by_digest: dict[str, Present] = {}
    for part in parts(ids):
        rows = view.ask(cube, select(*columns).where(mine, memories.c.id.in_(part)))
        by_id |= {row.id: Present._make(row) for row in rows}
    there = mine & statements.in_sight(view.now)
    for part in parts(digests):
        query = select(memories.c.digest, *columns).where(there, memories.c.digest.in_(part))
        by_digest |= {digest: Present._make(rest) for digest, *rest in view.ask(cube, query)}
    known = view.messages(cube, [digest for digest in digests if digest not in by_digest])
    more = present(view, cube, [each.memory_id for each in known.values()], ())[0] if known else {}
    by_digest |= {d: more[each.memory_id] for d, each in known.items() if each.memory_id in more}
    return by_id, by_digest


def arrive(tx: Tx, cube: CubeHeader, arrivals: Sequence[Arrival], *, detail: str) -> list[int]:
    """Write memories with their versions, sources, keys, audit lines and debts; return seqs."""
    if not arrivals:
        return []
    first = tx.reserve_seqs(len(arrivals))
    rows = [{**each.memory, "seq": first + place} for place, each in enumerate(arrivals)]
    seqs = [row["seq"] for row in rows]
    by_seq = dict(zip(seqs, arrivals, strict=True))
    tx.connection.execute(insert(memories), rows)
    tx.connection.execute(
        insert(versions),
        [
            {**row, "memory_seq": seq, "change": cube.change, "keyed": row["version"]}
            for seq, each in by_seq.items()
            for row in each.versions
        ],
    )
    said = [
        {**row, "memory_seq": seq, "cube_id": cube.id} for seq, each in by_seq.items() for row in each.sources
    ]
    if said:
        tx.connection.execute(insert(sources), said)
    tx._write_tags(rows)
    tx._write_keys(cube, {seq: each.keys for seq, each in by_seq.items()})
    hidden = [row["seq"] for row in rows if row["state"] == State.ARCHIVED.value]
    for part in parts(hidden):
        tx.connection.execute(update(lexical).where(lexical.c.rowid.in_(part)).values(cube=""))
    tx._owe(cube, [(row["id"], row["seq"], row["version"]) for row in rows], verb="load", detail=detail)
    return seqs


def may_go(view: View, cube: CubeHeader, old: Present) -> bool:
    """Whether a memory is still there, and nothing frozen was made of it: then it can be withdrawn."""
    rows = made.shown(view, cube, {old.id})  # it may have gone with another
    return bool(rows) and not made.binds(view, cube, rows)


def give_way(
    tx: Tx, cube: CubeHeader, old: Present, *, untouched: bool = False, verb: str = "replace"
) -> list[Row]:
    """Erase a memory that another takes the place of; return the edges that it had.

    Raises IllegalTransition for one that was frozen, unless nobody touched it since it came in, and where
    something frozen would end with it. It is not noted as forgotten: it may be loaded again. Forks keep
    what is replaced, in copies; what is withdrawn is erased from them, too.
    """
    if not untouched:
        check_writable(old.id, State(old.state), verb="replace")
    touching = or_(edges.c.source == old.id, edges.c.target == old.id)
    query = select(*(edges.c[name] for name in _LINK), made.PUT_AWAY).where(touching, scope.edges_shown(cube))
    kept = [dict(row._mapping) for row in tx.connection.execute(query)]
    row = tx.any_row(cube, old.id)
    if verb == "replace" and row._mapping.get("held", cube.id) == cube.id:
        forks.part(tx, cube.id, row.seq)
        tx.erase_words([row], reason="replaced")
        tx.connection.execute(delete(memories).where(memories.c.seq == old.seq))
        tx._owe(cube, [(old.id, old.seq, old.version)], verb=verb)
    else:
        made.check_free(tx, cube, [row], verb=verb)
        tx_erase.erase_rows(tx, cube, [row], Tally(verb=verb))
    return kept


def join(tx: Tx, cube: CubeHeader, links: Sequence[Row]) -> int:
    """Write edges between memories of the cube; return how many there were not before.

    An edge that would make a circle with those that are there is left out. What becomes derived from
    something untrusted is untrusted.
    """
    has = tx.links_of(cube, sorted({link["source"] for link in links}))
    there = {(each.source, each.relation, each.target) for known in has.values() for each in known}
    apart = not cube.is_plain or bool(forks.of(tx, cube.id))  # somebody may share what the link starts at
    written = 0
    for link in links:
        source, relation, target = link["source"], Relation(link["relation"]), link["target"]
        circle = relation in DIRECTED and source in tx.reached(cube, target, relation)
        if circle or (source, relation, target) in there:
            continue
        if apart:
            source = forks.own(tx, cube, tx.any_row(cube, source)).id
        there.add((source, relation, target))
        row = {"put_away": None, **link, "source": source, "cube_id": cube.id, "change": cube.change}
        fresh = dialect_of(tx.connection).insert(edges).values(row).on_conflict_do_nothing()
        written += len(tx.connection.execute(fresh.returning(edges.c.source)).all())
        if relation is Relation.DERIVED_FROM:
            tx_trust.bound(tx, cube, tx.any_row(cube, source), tx.any_row(cube, target))
    return written


def settle_behind(tx: Tx, cube: CubeHeader, ids: Collection[str]) -> None:
    """Let what came in and does not rest in the archive stand behind nothing, whatever the links say."""
    for part in parts(sorted(ids)):
        awake = select(memories.c.id).where(memories.c.id.in_(part), memories.c.state != State.ARCHIVED.value)
        made.moved_on(tx, cube, edges.c.target.in_(awake))


def add_records(tx: Tx, cube: CubeHeader, rows: Sequence[Row]) -> None:
    """Write records that are not there yet, with an audit line each."""
    if rows:
        tx.connection.execute(insert(records), [{**row, "cube_id": cube.id} for row in rows])
    for _ in rows:
        tx._note(cube, "put")


def drop_record(tx: Tx, cube: CubeHeader, key: str) -> None:
    """Delete a record that has no memory."""
    mine = (records.c.cube_id == cube.id) & (records.c.key == key) & records.c.memory_seq.is_(None)
    tx.connection.execute(delete(records).where(mine))
    tx._note(cube, "drop")


def remember_import(tx: Tx, cube: CubeHeader, facts: Mapping[str, Any]) -> None:
    """Write down what was loaded."""
    row = {**facts, "cube_id": cube.id, "by": tx.principal.name, "at": tx.now}
    tx.connection.execute(insert(imports).values(row))
    tx._note(cube, "load", detail=facts["digest"])


def imported(view: View, cube: CubeHeader) -> list[Import]:
    """Return what was loaded into a cube, oldest first."""
    query = select(imports).where(imports.c.cube_id == cube.id).order_by(imports.c.seq)
    return [
        Import(**{name: getattr(row, name) for name in Import.__slots__})
        for row in view.connection.execute(query)
    ]


def seqs_by_id(view: View, ids: Collection[str]) -> dict[str, int]:
    """Return sequence numbers by memory id."""
    found: dict[str, int] = {}
    for part in parts(list(ids)):
        query = select(memories.c.id, memories.c.seq).where(memories.c.id.in_(part))
        found |= {row.id: row.seq for row in view.connection.execute(query)}
    return found
