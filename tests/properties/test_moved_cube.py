"""Whatever a cube has been through: written to a file and loaded elsewhere, it is equal and goes on alike."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from memos_core import Entry, IllegalTransition, MemCube, MemOS, Message
from memos_core.testing import HashEmbedder, InMemoryIndex
from tests.unit.interchange.conftest import ranking, told

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40).filter(
    str.strip
)
words = st.sampled_from(["harbour", "key", "pike", "Lisbon", "tea"]).map(lambda word: f"the {word} is old")
times = st.none() | st.integers(0, 10**6).map(lambda seconds: NOON - timedelta(seconds=seconds))
places = st.integers(0, 50)

acts = st.one_of(
    st.tuples(st.just("remember"), texts | words, times, st.lists(texts, max_size=2)),
    st.tuples(st.just("ingest"), texts | words, times, st.sampled_from([None, "s1", "s2"])),
    st.tuples(st.just("revise"), places, texts | words),
    st.tuples(st.just("link"), places, places, st.sampled_from(["supports", "supersedes", "derived_from"])),
    st.tuples(st.just("put"), texts, st.dictionaries(texts, st.none() | st.integers(), max_size=3), words),
    st.tuples(st.sampled_from(["archive", "freeze", "forget", "copy", "activate", "doubt"]), places),
)  # fmt: skip


def act(cube: MemCube, what: tuple) -> None:
    verb, *given_ = what
    memories = cube.list()
    match verb, given_:
        case "remember", [text, at, tags]:
            cube.remember(text, at=at, tags=tags)
        case "ingest", [text, at, session]:
            cube.ingest([Message("Ana", text, at=at), Message("Bo", "yes", id="m")], session=session)
        case "put", [key, data, text]:
            cube.records.put([Entry(key=key, data=data, texts=[text] if len(key) % 2 else ())])
        case "revise", [place, text] if memories:
            cube.revise(memories[place % len(memories)].id, text)
        case "link", [one, other, relation] if memories:
            cube.link(memories[one % len(memories)].id, relation, memories[other % len(memories)].id)
        case "doubt", [place] if memories:
            cube.classify(memories[place % len(memories)].id, trust="untrusted")
        case _, [place] if memories:
            getattr(cube, verb)(memories[place % len(memories)].id)


def done(cube: MemCube, all_acts: list[tuple]) -> None:
    for each in all_acts:
        try:
            act(cube, each)
        except (ValueError, IllegalTransition):
            continue  # this one the cube does not take, here or there


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=st.lists(acts, max_size=12), after=st.lists(acts, max_size=4), vectors=st.booleans())
def test_a_moved_cube_is_equal(before, after, vectors):
    given_ = {"embedder": HashEmbedder(dimensions=16), "clock": lambda: NOON}
    with (
        tempfile.TemporaryDirectory() as folder,
        MemOS.open(Path(folder) / "a", index=InMemoryIndex(dimensions=16), **given_) as here,
        MemOS.open(Path(folder) / "b", index=InMemoryIndex(dimensions=16), **given_) as there,
    ):
        cube = here.cube("notes")
        done(cube, before)
        cube.dump(Path(folder) / "file.memcube", vectors=vectors)
        there.load(Path(folder) / "file.memcube")
        moved = there.cube("notes")
        assert told(moved) == told(cube)
        assert ranking(moved, "Where is the old key?") == ranking(cube, "Where is the old key?")
        done(cube, after)
        done(moved, after)
        assert told(moved, ids=False)["records"] == told(cube, ids=False)["records"]
        assert [m.text for m in moved.list()] == [m.text for m in cube.list()]
