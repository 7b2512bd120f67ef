"""What the catalog still has of memories that were erased, and what the living say."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy import func, select, true

from memos_core.vault import schema, schema_jobs
from memos_core.vault.schema import edges, memories, outbox, parts, records, sources, versions
from memos_core.vault.schema_meters import memory_meters
from memos_core.vault.view import View


def tables_with(view: View, ids: Collection[str]) -> list[str]:
    """Return the tables that hold a row of these memories, or rows of a memory that is not there.

    The audit and the receipts name erased ids for ever, and the outbox while their deletion is owed.
    """
    found: set[str] = set()
    for part in parts(sorted(ids)):
        for table, condition in (
            (memories, memories.c.id.in_(part)),
            (edges, edges.c.source.in_(part) | edges.c.target.in_(part)),
        ):
            if view.connection.execute(select(true()).select_from(table).where(condition).limit(1)).first():
                found.add(table.name)
    for name, column in (
        ("versions", versions.c.memory_seq),
        ("sources", sources.c.memory_seq),
        ("tags", schema.tags.c.memory_seq),
        ("vectors", schema.vectors.c.memory_seq),
        ("lineage", schema.lineage.c.memory_seq),
        ("lexical", schema.lexical.c.rowid),
        ("former_keys", schema.former_keys.c.memory_seq),
        ("standings", schema.standings.c.memory_seq),
        ("job_memories", schema_jobs.job_memories.c.memory_seq),
        ("extractions", schema_jobs.extractions.c.memory_seq),
        ("memory_meters", memory_meters.c.memory_seq),
        ("twins", schema.twins.c.base_seq),
        ("twins", schema.twins.c.copy_seq),
    ):
        orphan = select(column).where(column.not_in(select(memories.c.seq))).limit(1)
        if view.connection.execute(orphan).first():
            found.add(name)
    return sorted(found)


def living_texts(view: View) -> Iterator[str]:
    """Yield every text that the catalog holds now: of memories, versions, sources and records."""
    for column in (memories.c.text, versions.c.text, sources.c.text, records.c.data):
        yield from view.connection.execute(select(column).distinct()).scalars()


def living_terms(view: View) -> Iterator[str]:
    """Yield the analysed words of every memory, as it is and as it was."""
    for column in (schema.lexical.c.terms, schema.former_keys.c.terms):
        yield from view.connection.execute(select(column)).scalars()


def owed(view: View, ids: Collection[str]) -> int:
    """Return how many of these memories the vector index has not been told about."""
    total = 0
    for part in parts(sorted(ids)):
        query = select(func.count(outbox.c.memory_id.distinct())).where(outbox.c.memory_id.in_(part))
        total += view.connection.execute(query).scalar_one()
    return total
