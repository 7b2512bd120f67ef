"""Rows become frozen values here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from memos_core.cube import CubeHeader, Limits
from memos_core.memory import (
    Behaviour,
    Descriptive,
    Governance,
    Header,
    Link,
    Memory,
    Relation,
    Revision,
    Source,
    State,
    Trust,
    Visibility,
)


def to_cube(row: Row[Any]) -> CubeHeader:
    limits = Limits(
        ttl=None if row.ttl is None else timedelta(microseconds=row.ttl),
        memories=row.max_memories,
        text_bytes=row.max_bytes,
        purposes=tuple(row.purposes or ()),
    )
    return CubeHeader(
        id=row.id,
        name=row.name,
        owner=row.owner,
        created_at=row.created_at,
        change=row.change,
        limits=limits,
    )


def to_memory(row: Row[Any], links: Iterable[Link] = ()) -> Memory:
    return Memory(
        id=row.id,
        cube=row._mapping.get("home", row.cube_id),
        version=row.version,
        text=row.text,
        state=State(row.state),
        header=Header(
            descriptive=_descriptive(row),
            governance=Governance(
                owner=row.owner,
                visibility=Visibility(row.visibility),
                expires_at=row.expires_at,
                sensitivity=row.sensitivity,
                priority=row.priority,
                trust=Trust(row.trust),
            ),
            behaviour=Behaviour(
                hits=row.hits, last_used=row.last_used, usefulness=row.usefulness, lineage=tuple(links)
            ),
        ),
    )


def _descriptive(row: Row[Any]) -> Descriptive:
    return Descriptive(
        kind=row.kind,
        tags=tuple(row.tags),
        origin=row.origin,
        made_by=row.made_by,
        speaker=row.speaker,
        role=row.role,
        session=row.session,
        position=row.position,
        event_at=row.event_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
        imported_from=row.imported_from,
    )


def to_link(row: Row[Any]) -> Link:
    return Link(
        source=row.source, relation=Relation(row.relation), target=row.target, created_at=row.created_at
    )


def to_revision(row: Row[Any]) -> Revision:
    return Revision(
        version=row.version,
        text=row.text,
        kind=row.kind,
        tags=tuple(row.tags),
        state=State(row.state),
        event_at=row.event_at,
        written_at=row.written_at,
        written_by=row.written_by,
    )


def to_source(row: Row[Any], memory_id: str) -> Source:
    return Source(
        memory_id=memory_id,
        text=row.text,
        speaker=row.speaker,
        role=row.role,
        session=row.session,
        position=row.position,
        event_at=row.event_at,
        message_id=row.message_id,
        recorded_at=row.recorded_at,
    )
