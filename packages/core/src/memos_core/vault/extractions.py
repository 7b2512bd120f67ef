"""What a model has read of a cube, and what it has still to read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Exists, exists, insert, select

from memos_core.cube import CubeHeader
from memos_core.job import About
from memos_core.memory import Memory
from memos_core.vault.schema import OUT_OF_SIGHT, memories, parts
from memos_core.vault.schema_jobs import extractions
from memos_core.vault.view import View

MESSAGE: Final = "message"


def not_read(connection: Connection, seqs: Sequence[int], extractor: str) -> list[About]:
    """Return those of these memories that the extractor has not read at their present versions."""
    found: list[About] = []
    query = select(memories.c.seq, memories.c.version).where(~_read_by(extractor)).order_by(memories.c.seq)
    for part in parts(seqs):
        rows = connection.execute(query.where(memories.c.seq.in_(part)))
        found += [About(seq=row.seq, version=row.version) for row in rows]
    return found


def _read_by(extractor: str) -> Exists:
    return exists().where(
        extractions.c.memory_seq == memories.c.seq,
        extractions.c.version == memories.c.version,
        extractions.c.extractor == extractor,
    )


def unread(view: View, cube: CubeHeader, about: Collection[About], extractor: str) -> dict[int, Memory]:
    """Return those of the memories that are in sight, at that version, and not read by the extractor yet."""
    wanted = {each.seq: each.version for each in about}
    read: set[tuple[int, int]] = set()
    for part in parts(sorted(wanted)):
        rows = view.connection.execute(
            select(extractions.c.memory_seq, extractions.c.version).where(
                extractions.c.memory_seq.in_(part), extractions.c.extractor == extractor
            )
        )
        read |= {(row.memory_seq, row.version) for row in rows}
    found = view.hydrate(cube, sorted(wanted))
    return {
        seq: memory
        for seq, memory in sorted(found.items())
        if memory.version == wanted[seq] and (seq, memory.version) not in read
    }


def next_unread(view: View, cube: CubeHeader, extractor: str, *, after: int, limit: int) -> list[About]:
    """Return the next messages of a cube's own, by sequence number, that the extractor has not read."""
    query = select(memories.c.seq, memories.c.version).where(
        memories.c.cube_id == cube.id,
        memories.c.kind == MESSAGE,
        memories.c.seq > after,
        memories.c.state.not_in(OUT_OF_SIGHT),
        ~_read_by(extractor),
    )
    rows = view.connection.execute(query.order_by(memories.c.seq).limit(limit))
    return [About(seq=row.seq, version=row.version) for row in rows]


def before(view: View, cube: CubeHeader, memory: Memory, *, limit: int) -> list[Memory]:
    """Return what was said in a session just before a turn of it, oldest first."""
    place = memory.header.descriptive
    if place.session is None or place.position is None:
        return []
    query = select(memories.c.seq).where(
        memories.c.cube_id == cube.id,
        memories.c.session == place.session,
        memories.c.position < place.position,
    )
    seqs = list(view.ask(cube, query.order_by(memories.c.position.desc()).limit(limit)).scalars())
    found = view.hydrate(cube, seqs)
    return [found[seq] for seq in reversed(seqs) if seq in found]


def note(connection: Connection, read: Collection[About], extractor: str, *, now: datetime) -> None:
    """Write down what the extractor has read."""
    if read:
        connection.execute(
            insert(extractions),
            [
                {"memory_seq": each.seq, "version": each.version, "extractor": extractor, "at": now}
                for each in read
            ],
        )
