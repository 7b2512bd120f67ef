"""What memories are found by, read from the catalog: terms, vectors, neighbours, and what lacks them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, exists, func, select, true

from memos_core import governance
from memos_core.consolidation import GIST
from memos_core.cube import CubeHeader
from memos_core.memory import State
from memos_core.protocols import KeyRow
from memos_core.vault import schema
from memos_core.vault.draft import Draft
from memos_core.vault.engine import dialect_of
from memos_core.vault.schema import OUT_OF_SIGHT, memories, parts, vectors
from memos_core.vault.statements import visible_to


class Unkeyed(NamedTuple):
    """A memory at the version at which it lacks vectors, and the draft to make them from."""

    seq: int
    version: int
    draft: Draft


def key_rows(
    connection: Connection,
    cube: CubeHeader,
    model: str,
    seqs: Sequence[int] | None = None,
    *,
    gists: bool = False,
) -> Iterator[KeyRow]:
    """Yield the keys by `model` of a cube's memories (or of these) that may be seen, by seq."""
    base = (
        select(
            memories.c.seq,
            memories.c.version,
            memories.c.text,
            schema.lexical.c.terms,
            vectors.c.data,
            vectors.c.key_count,
            memories.c.session,
            memories.c.position,
            memories.c.speaker,
            memories.c.event_at,
        )
        .join(vectors, vectors.c.memory_seq == memories.c.seq)
        .join(schema.lexical, schema.lexical.c.rowid == memories.c.seq)
        .where(memories.c.cube_id == cube.id, vectors.c.model == model)
        .where(memories.c.state.not_in(OUT_OF_SIGHT), visible_to(cube.access))
        .where(true() if gists else memories.c.kind != GIST)
        .order_by(memories.c.seq)
    )
    queries = [base] if seqs is None else [base.where(memories.c.seq.in_(p)) for p in parts(seqs)]
    for query in queries:
        yield from map(KeyRow._make, connection.execute(query))


def key_count(connection: Connection, cube: CubeHeader, model: str) -> int:
    """Return how many keys the cube's memories have by this embedder."""
    found = connection.execute(
        select(func.coalesce(func.sum(vectors.c.key_count), 0))
        .join(memories, memories.c.seq == vectors.c.memory_seq)
        .where(memories.c.cube_id == cube.id, vectors.c.model == model, visible_to(cube.access))
    )
    return int(found.scalar_one())


def beside(connection: Connection, cube: CubeHeader, seqs: Sequence[int], *, reach: int) -> list[int]:
    """Return the turns up to `reach` places before or after these in their sessions, themselves too."""
    near = memories.alias("near")
    found: set[int] = set(seqs)
    for part in parts(seqs):
        rows = connection.execute(
            select(near.c.seq)
            .join(
                memories,
                and_(
                    memories.c.cube_id == near.c.cube_id,
                    memories.c.session.is_not_distinct_from(near.c.session),
                    near.c.position.between(memories.c.position - reach, memories.c.position + reach),
                ),
            )
            .where(near.c.cube_id == cube.id, memories.c.seq.in_(part))  # so the plan starts at `seq`
        )
        found.update(rows.scalars())
    return sorted(found)


def lexical_matches(
    connection: Connection, cube: CubeHeader, terms: Sequence[str], *, limit: int
) -> list[tuple[int, float]]:
    """Return (seq, BM25 score, higher is better) of the memories that share words with the query.

    SQLite takes its statistics over the whole store, PostgreSQL over the cubes that are asked: the scores
    only propose.
    """
    if not terms:
        return []
    cubes = [governance.cube_key(cube_id) for cube_id in cube.holders]
    return dialect_of(connection).matches(connection, cubes, terms, limit=limit)


def changed_since(connection: Connection, cube: CubeHeader, change: int) -> list[int]:
    """Return which memories changed after the cube's change number `change`, by sequence number.

    Erased ones are among them: whoever holds something derived from them must drop it.
    """
    query = (
        select(schema.audit.c.memory_seq)
        .where(
            schema.audit.c.cube_id == cube.id,
            schema.audit.c.change > change,
            schema.audit.c.memory_seq.is_not(None),
        )
        .distinct()
        .order_by(schema.audit.c.memory_seq)
    )
    return list(connection.execute(query).scalars())


def without_keys(connection: Connection, model: str, *, limit: int) -> list[Unkeyed]:
    """Return up to `limit` memories that have no vectors by this embedder."""
    rows = connection.execute(
        select(memories).where(_lacks_keys(model)).order_by(memories.c.seq).limit(limit)
    )
    return [
        Unkeyed(
            row.seq,
            row.version,
            Draft(
                text=row.text,
                digest=row.digest,
                kind=row.kind,
                speaker=row.speaker,
                event_at=row.event_at,
            ),
        )
        for row in rows
    ]


def count_without_keys(connection: Connection, model: str) -> int:
    """Return how many memories have no vectors by this embedder."""
    query = select(func.count()).select_from(memories).where(_lacks_keys(model))
    return int(connection.execute(query).scalar_one())


def _lacks_keys(model: str) -> ColumnElement[bool]:
    """Return the condition for memories without such vectors; what has no words left needs none."""
    has = exists().where(vectors.c.memory_seq == memories.c.seq, vectors.c.model == model)
    return and_(memories.c.state != State.EXPIRED.value, ~has.correlate(memories))
