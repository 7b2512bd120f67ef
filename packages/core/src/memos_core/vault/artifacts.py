"""Rows of what was made from memories: which file, from which memories, and whether it may be served.

A change of a memory marks what was made from it as stale in the transaction of that change. The
file goes afterwards; a stale row is never served meanwhile, and says that the file has to go. Neither
is one from a memory whose time is over, whether that was written down already or not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    delete,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)

from memos_core.cube import Access, CubeHeader, Right
from memos_core.lineage import Product
from memos_core.segment import Origin
from memos_core.vault import renewal, scope
from memos_core.vault.schema import artifacts, cubes, lineage, memories, parts
from memos_core.vault.statements import in_sight, in_time, visible_to

NOBODY: Final = ""
"""The owner of a cube that was erased, until the files made from it are gone. No principal is called so."""


GIVER: Final = "giver"
"""Among an artifact's facts: who gave words in it that are no memory, a system text. It is theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An artifact about to be recorded. Its file is in the blobs already."""

    key: str
    kind: str
    engine: str
    blob: str
    size: int  # bytes
    facts: Mapping[str, Any]
    build_seconds: float
    sources: Sequence[Origin]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A recorded artifact. `stale` says why it must not be served, None where it may be."""

    key: str
    cube_id: str
    kind: str
    engine: str
    blob: str
    size: int
    facts: Mapping[str, Any]
    build_seconds: float
    saved_seconds: float
    hits: int
    created_at: datetime
    last_used: datetime | None
    pinned: bool
    stale: str | None


def record(connection: Connection, cube: CubeHeader, made: Made, *, now: datetime) -> bool:
    """Write the row and its lineage; return whether it was written.

    It is not where one of its sources is gone or has another version by now, nor where the same
    artifact is recorded already, nor in a cube that was erased.
    """
    if cube.owner == NOBODY:
        return False
    seqs = _present(connection, cube, made.sources, now=now)
    if seqs is None:
        return False
    known = connection.execute(
        select(artifacts.c.seq, artifacts.c.stale).where(artifacts.c.key == made.key)
    ).one_or_none()
    if known is not None:
        return False
    found = connection.execute(
        insert(artifacts)
        .values(
            key=made.key,
            cube_id=cube.id,
            kind=made.kind,
            engine=made.engine,
            blob=made.blob,
            size=made.size,
            facts=dict(made.facts),
            build_seconds=made.build_seconds,
            saved_seconds=0.0,
            hits=0,
            created_at=now,
            pinned=False,
        )
        .returning(artifacts.c.seq)
    ).scalar_one()
    if seqs:
        rows = [{"artifact_seq": found, "memory_seq": seq, "version": n} for seq, n in seqs.items()]
        connection.execute(insert(lineage), rows)
    return True


def _present(
    connection: Connection, cube: CubeHeader, sources: Sequence[Origin], *, now: datetime
) -> dict[int, int] | None:
    """Return version by sequence number of these memories, None unless all are as they were."""
    wanted = {source.memory_id: source.version for source in sources}
    found: dict[int, int] = {}
    for part in parts(list(wanted)):
        query = select(memories.c.seq, memories.c.id, memories.c.version, memories.c.cube_id)
        query = query.where(memories.c.id.in_(part), in_sight(now))
        if not cube.is_plain:
            whole = replace(cube, access=Access(rights=frozenset(Right)))
            query = scope.moved(query, whole)
        rows = connection.execute(query, {"now": now})
        found |= {
            row.seq: row.version for row in rows if row.cube_id == cube.id and wanted[row.id] == row.version
        }
    return found if len(found) == len(wanted) else None


def servable(
    connection: Connection, cube: CubeHeader, keys: Sequence[str], *, now: datetime
) -> dict[str, Artifact]:
    """Return by key those of the artifacts of this cube that may be served."""
    found: dict[str, Artifact] = {}
    for part in parts(keys):
        query = select(artifacts).where(artifacts.c.key.in_(part), artifacts.c.cube_id == cube.id)
        rows = connection.execute(query.where(artifacts.c.stale.is_(None), not_(_overdue(now))))
        found |= {row.key: _artifact(row) for row in rows}
    return found


def outdate(connection: Connection, seqs: Collection[int], *, reason: str, now: datetime) -> int:
    """Mark everything that was made from these memories as stale; return how many artifacts.

    Adapters that somebody wants renewed are ordered anew.
    """
    marked = 0
    for part in parts(list(seqs)):
        made_from = select(lineage.c.artifact_seq).where(lineage.c.memory_seq.in_(part))
        marked += _mark(connection, artifacts.c.seq.in_(made_from), reason, now=now)
    return marked


def outdate_cube(
    connection: Connection, cube: CubeHeader, *, reason: str, now: datetime | None = None
) -> int:
    """Mark everything that was made from a cube as stale; return how many artifacts.

    With `now`, adapters are ordered anew as in `outdate`; without it the cube is on its way out.
    """
    return _mark(connection, artifacts.c.cube_id == cube.id, reason, now=now)


def outdate_keys(connection: Connection, keys: Collection[str], *, reason: str) -> int:
    """Mark these artifacts as stale; return how many were not before."""
    return sum(_mark(connection, artifacts.c.key.in_(part), reason) for part in parts(list(keys)))


def outdate_given(connection: Connection, name: str, *, cube: CubeHeader | None = None) -> int:
    """Mark what holds words that somebody gave, in a cube or in all, as stale; return how many artifacts."""
    which = artifacts.c.facts[GIVER].as_string() == name
    return _mark(connection, which if cube is None else which & (artifacts.c.cube_id == cube.id), "erased")


def _mark(connection: Connection, which: Any, reason: str, *, now: datetime | None = None) -> int:
    if now is not None:
        renewal.order(connection, which, now=now)
    statement = update(artifacts).where(which, artifacts.c.stale.is_(None)).values(stale=reason)
    return connection.execute(statement).rowcount


def hand_over(connection: Connection, cube: CubeHeader, old: int, new: int) -> None:
    """Let a cube's artifacts be made from its own copy of a memory, with whose changes they go stale."""
    mine = select(artifacts.c.seq).where(artifacts.c.cube_id == cube.id)
    which = (lineage.c.memory_seq == old) & lineage.c.artifact_seq.in_(mine)
    connection.execute(update(lineage).where(which).values(memory_seq=new))


def outdate_in(connection: Connection, cube: CubeHeader, seq: int, *, reason: str, now: datetime) -> int:
    """Mark what one cube made from a memory as stale, as `outdate` does; return how many artifacts."""
    made_from = select(lineage.c.artifact_seq).where(lineage.c.memory_seq == seq)
    which = (artifacts.c.cube_id == cube.id) & artifacts.c.seq.in_(made_from)
    return _mark(connection, which, reason, now=now)


def stale(connection: Connection) -> list[Artifact]:
    """Return every artifact whose file has to go."""
    return [
        _artifact(row) for row in connection.execute(select(artifacts).where(artifacts.c.stale.is_not(None)))
    ]


def remove(connection: Connection, keys: Collection[str]) -> None:
    """Delete rows, once their files are gone."""
    for part in parts(list(keys)):
        connection.execute(delete(artifacts).where(artifacts.c.key.in_(part)))


def listed(connection: Connection, cube: CubeHeader, *, kind: str, now: datetime) -> list[Artifact]:
    """Return the artifacts that whoever entered the cube may know of, stale ones too, oldest first.

    What was made from a memory that they may not see does not exist for them, nor what holds words that
    somebody else gave: both exist for who governs the cube.
    """
    query = select(artifacts, _overdue(now).label("overdue"))
    query = query.where(artifacts.c.kind == kind, artifacts.c.cube_id == cube.id, _shown(cube))
    return [_told(row) for row in connection.execute(query.order_by(artifacts.c.seq))]


def known(
    connection: Connection, cube: CubeHeader, keys: Collection[str], *, now: datetime
) -> dict[str, Artifact]:
    """Return by key those of `listed` that may be served."""
    found: dict[str, Artifact] = {}
    for part in parts(list(keys)):
        query = select(artifacts).where(artifacts.c.cube_id == cube.id, artifacts.c.stale.is_(None))
        query = query.where(artifacts.c.key.in_(part), _shown(cube), not_(_overdue(now)))
        found |= {row.key: _artifact(row) for row in connection.execute(query)}
    return found


def _shown(cube: CubeHeader) -> ColumnElement[bool]:
    """Return the condition that nothing in an artifact is hidden from whoever entered the cube."""
    made_from = lineage.alias("made_from")
    hidden = select(made_from.c.memory_seq).join(memories, memories.c.seq == made_from.c.memory_seq)
    hidden = hidden.where(made_from.c.artifact_seq == artifacts.c.seq, not_(visible_to(cube.access)))
    shown = not_(hidden.correlate(artifacts).exists())
    if cube.access.whole:
        return shown
    giver = artifacts.c.facts[GIVER].as_string()
    return and_(shown, or_(giver.is_(None), giver == cube.access.principal))


def _overdue(now: datetime) -> ColumnElement[bool]:
    """Return the condition that the time of a memory is over from which an artifact was made."""
    made_from = lineage.alias("timed_from")
    ended = select(made_from.c.memory_seq).join(memories, memories.c.seq == made_from.c.memory_seq)
    ended = ended.where(made_from.c.artifact_seq == artifacts.c.seq, not_(in_time(now)))
    return ended.correlate(artifacts).exists()


def of_kind(connection: Connection, kind: str) -> list[Artifact]:
    """Return every artifact of a tier that is not stale, oldest first."""
    query = select(artifacts).where(artifacts.c.kind == kind, artifacts.c.stale.is_(None))
    return [_artifact(row) for row in connection.execute(query.order_by(artifacts.c.seq))]


def sources_of(connection: Connection, key: str) -> list[Origin]:
    """Return what an artifact was made from, by memory id, oldest memory first."""
    rows = connection.execute(
        select(memories.c.id, lineage.c.version)
        .join(lineage, lineage.c.memory_seq == memories.c.seq)
        .join(artifacts, artifacts.c.seq == lineage.c.artifact_seq)
        .where(artifacts.c.key == key)
        .order_by(memories.c.seq)
    )
    return [Origin(memory_id, version) for memory_id, version in rows]


def products_of(connection: Connection, cube: CubeHeader, seq: int, *, now: datetime) -> list[Product]:
    """Return what was made from a memory, as far as nothing else in it is hidden, oldest first."""
    query = (
        select(artifacts, lineage.c.version, _overdue(now).label("overdue"))
        .join(lineage, lineage.c.artifact_seq == artifacts.c.seq)
        .where(lineage.c.memory_seq == seq, artifacts.c.cube_id == cube.id, _shown(cube))
        .order_by(artifacts.c.seq)
    )
    names = ("key", "kind", "size", "created_at", "stale")
    rows = [(_told(row), row.version) for row in connection.execute(query)]
    return [
        Product(version=version, **{name: getattr(each, name) for name in names}) for each, version in rows
    ]


def alive(connection: Connection, keys: Collection[str]) -> set[str]:
    """Return those of these keys that have a row which is not stale."""
    found: set[str] = set()
    for part in parts(list(keys)):
        query = select(artifacts.c.key).where(artifacts.c.key.in_(part), artifacts.c.stale.is_(None))
        found.update(connection.execute(query).scalars())
    return found


def blobs_in_use(connection: Connection) -> set[str]:
    """Return the names of all files that a row knows, stale rows included."""
    return set(connection.execute(select(artifacts.c.blob)).scalars())


def erased_cubes(connection: Connection) -> list[str]:
    """Return the ids of the erased cubes from which no artifact is left."""
    held = select(artifacts.c.cube_id)
    query = select(cubes.c.id).where(cubes.c.owner == NOBODY, cubes.c.id.not_in(held))
    return list(connection.execute(query).scalars())


def drop_cubes(connection: Connection, ids: Collection[str]) -> None:
    """Delete the rows of erased cubes."""
    for part in parts(list(ids)):
        connection.execute(delete(cubes).where(cubes.c.id.in_(part), cubes.c.owner == NOBODY))


def tell(connection: Connection, key: str, facts: Mapping[str, Any]) -> None:
    """Write facts beside those of an artifact, over what had their names; None takes one away."""
    held = connection.execute(select(artifacts.c.facts).where(artifacts.c.key == key)).scalar_one()
    told = {name: value for name, value in {**held, **facts}.items() if value is not None}
    connection.execute(update(artifacts).where(artifacts.c.key == key).values(facts=told))


def pin(connection: Connection, key: str, *, pinned: bool) -> None:
    """Keep an artifact from eviction, or let it go again."""
    connection.execute(update(artifacts).where(artifacts.c.key == key).values(pinned=pinned))


def count_uses(connection: Connection, uses: Mapping[str, tuple[int, float]], *, now: datetime) -> None:
    """Add (times, seconds saved) to artifacts, by key; those that are gone are passed over."""
    connection.execute(
        update(artifacts)
        .where(artifacts.c.key == bindparam("used"))
        .values(
            hits=artifacts.c.hits + bindparam("times"),
            saved_seconds=artifacts.c.saved_seconds + bindparam("seconds"),
            last_used=now,
        ),
        [{"used": key, "times": times, "seconds": seconds} for key, (times, seconds) in uses.items()],
    )


def size(connection: Connection, *, kind: str) -> int:
    """Return the bytes that the files of a tier take."""
    query = select(func.coalesce(func.sum(artifacts.c.size), 0)).where(artifacts.c.kind == kind)
    return int(connection.execute(query).scalar_one())


def _told(row: Row[Any]) -> Artifact:
    """Return a row as it is listed: with the end of its time, if that is why it is not served."""
    artifact = _artifact(row)
    return replace(artifact, stale="expired") if row.overdue and artifact.stale is None else artifact


def _artifact(row: Row[Any]) -> Artifact:
    return Artifact(**{name: getattr(row, name) for name in Artifact.__slots__})
