"""A cube that has one of everything, and what of a cube has to be equal after it has been moved."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from memos_core import Entry, MemCube, MemOS, Message

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def filled(cube: MemCube) -> MemCube:
    """Write one of everything."""
    home = cube.remember("Mira lives in Lisbon", tags=["home", "city"], at=NOON, priority=3)
    old = cube.remember("Mira lives in Madrid", sensitivity=4, visibility="shared")
    cube.link(home.id, "supersedes", old.id)
    cube.remember("Mira lives in Lisbon", at=NOON, tags=["again"])
    said = cube.ingest(
        [
            Message("Ana", "Where is the key?", at=NOON, id="m1"),
            Message("Bo", "Behind the pike. " * 200, at=NOON + timedelta(minutes=1)),
            Message("assistant", "ok"),
        ],
        session="first evening",
    )
    cube.ingest([Message("Ana", "Where is the spare key?", at=NOON, id="m1")], session="first evening")
    cube.revise(old.id, "Mira lived in Madrid", kind="past")
    cube.archive(cube.remember("put away").id)
    cube.freeze(cube.remember("kept as it is", ttl=timedelta(days=400)).id)
    cube.copy(home.id)
    cube.copy(said[1].id, "In front of the pike.")
    cube.records.put(
        [
            Entry(key="a", data={"n": 1, "deep": [None, 1.5, {"x": "ü"}]}, texts=["salt", "pepper"]),
            Entry(key="b", data={}, ttl=timedelta(hours=3)),
        ]
    )
    cube.recall("Where does Mira live?")
    return cube


def told(cube: MemCube, *, ids: bool = True) -> dict[str, Any]:
    """Return everything that a reader of a cube can tell, without what names the place."""
    memories = [*cube.list(), *cube.list(state="archived")]
    numbers = {memory.id: place for place, memory in enumerate(memories)}

    def name(memory_id: str) -> object:
        return memory_id if ids else numbers[memory_id]

    found: dict[str, Any] = {}
    for memory in memories:
        header = memory.header
        facts = {each: getattr(header.descriptive, each) for each in header.descriptive.__slots__}
        facts.pop("imported_from")
        links = [(link.relation, name(link.target), link.created_at) for link in header.behaviour.lineage]
        uses = (header.behaviour.hits, header.behaviour.last_used, header.behaviour.usefulness)
        found[name(memory.id)] = (  # type: ignore[index]
            memory.version,
            memory.text,
            memory.state,
            facts,
            header.governance,
            uses,
            links,
        )
        if memory.state != "archived":
            sources = [
                {each: getattr(source, each) for each in source.__slots__ if each != "memory_id"}
                for source in cube.sources(memory.id)
            ]
            found[name(memory.id)] += (list(cube.history(memory.id)), sources)  # type: ignore[index]
    kept = [
        (each.key, each.data, each.memory_id and name(each.memory_id), each.created_at, each.updated_at)
        for each in cube.records.list()
    ]
    return {"memories": found, "records": kept}


def ranking(cube: MemCube, query: str) -> list[tuple[str, float]]:
    return [(hit.memory.text, round(hit.score, 5)) for hit in cube.recall(query, k=20)]


@pytest.fixture
def full(cube: MemCube) -> MemCube:
    return filled(cube)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "notes.memcube"


@pytest.fixture
def elsewhere(open_memos: Callable[..., MemOS], tmp_path: Path) -> MemOS:
    """Another store, empty, with an index of its own."""
    from memos_core.testing import InMemoryIndex

    return open_memos(tmp_path / "elsewhere", index=InMemoryIndex(dimensions=64))
