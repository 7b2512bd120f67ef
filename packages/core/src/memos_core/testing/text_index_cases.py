"""Material of the text index kit: nasty texts, vectors of known cosine, and a model to compare with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memos_core.protocols import Candidate, IndexEntry, TextIndex, Vectors

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
TINY = timedelta(microseconds=1)

NASTY = {
    "emoji": "I ❤️ 👩‍👩‍👧‍👦 and 🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "cjk": "我住在里斯本。東京に住んでいます。",
    "nul": "before\x00after",
    "quotes": 'it\'s "quoted" \\ and `ticked` \\" or 1 == 1',
    "rtl": "\u202eمرحبا שלום\u202c",  # noqa: RUF001 - Arabic and Hebrew
    "filter": '"] or cube != "" or id in ["',
    "lines": "one\ntwo\r\nthree\ttabbed\u2028",
    "long": "ünïcödé " * 9_000,  # over 100 kB, and no even cut
    "blank": "",
}


def cube_of(name: str) -> str:
    """Return the hash under which an index knows a cube."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


HERE, THERE = cube_of("here"), cube_of("there")


def at_cosine(cosine: float, *, dimensions: int, axis: int = 1) -> Vectors:
    """Return a unit vector of this cosine to `question(...)`, off into the direction of `axis`."""
    vector = np.zeros(dimensions, dtype=np.float32)
    vector[0], vector[axis] = cosine, np.sqrt(1.0 - cosine**2)
    return vector


def random_units(seed: int, *, dimensions: int, rows: int = 1) -> Vectors:
    """Return `rows` unit vectors, the same for the same seed; shape (rows, dimensions)."""
    vectors = np.random.default_rng(seed).standard_normal((rows, dimensions)).astype(np.float32)
    units: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def summary(found: Sequence[Candidate]) -> list[tuple[str, float]]:
    """Return (id, score to two digits): what order and scores come to."""
    return [(candidate.id, round(candidate.score, 2)) for candidate in found]


Step: TypeAlias = list[IndexEntry] | list[str]  # an upsert or a delete


def compare_with_a_dict(index: TextIndex, *, dimensions: int, examples: int) -> None:
    """Check random upserts, deletes and searches against a dict and brute force in numpy."""
    model: dict[str, IndexEntry] = {}

    @settings(max_examples=examples, deadline=None, derandomize=True, database=None)
    @given(st.lists(_steps(dimensions), min_size=1, max_size=6), st.integers(0, 999))
    def run(steps: list[Step], seed: int) -> None:
        question = random_units(seed, dimensions=dimensions)[0]
        index.delete(sorted(model))
        model.clear()
        for step in steps:
            _apply(step, index)
            _apply_to_model(step, model)
            _agree(index, model, question, cubes=[HERE], limit=3)
            _agree(index, model, question, cubes=[HERE], limit=3, since=NOON)
            _agree(index, model, question, cubes=[HERE], limit=3, until=NOON + TINY)
            _agree(index, model, question, cubes=[HERE, THERE], limit=50)
            assert index.count() == len(model)

    run()


def _steps(dimensions: int) -> st.SearchStrategy[Step]:
    """Return a strategy for upserts and deletes of eight memories in two cubes."""
    ids = st.sampled_from([f"m{n}" for n in range(8)])
    entries = st.builds(
        lambda memory_id, cube, version, keys, seed, at: IndexEntry(
            id=memory_id,
            cube=cube,
            version=version,
            text="",
            vectors=random_units(seed, dimensions=dimensions, rows=keys),
            at=at,
        ),
        ids,
        st.sampled_from([HERE, THERE]),
        st.integers(1, 9),
        st.integers(1, 4),
        st.integers(0, 999),
        st.sampled_from([None, NOON - TINY, NOON, NOON + TINY]),
    )
    return st.lists(entries, max_size=5) | st.lists(ids, max_size=3)


def _apply(step: Step, index: TextIndex) -> None:
    """Do the step to an index."""
    index.delete([x for x in step if isinstance(x, str)])
    index.upsert([x for x in step if isinstance(x, IndexEntry)])


def _apply_to_model(step: Step, model: dict[str, IndexEntry]) -> None:
    """Do the step to a dict."""
    for item in step:
        if isinstance(item, str):
            model.pop(item, None)
        else:
            model[item.id] = item


def _agree(
    index: TextIndex,
    model: Mapping[str, IndexEntry],
    question: Vectors,
    *,
    cubes: list[str],
    limit: int,
    since: datetime | None = None,
    until: datetime | None = None,
) -> None:
    """Check a search against brute force; equal scores may come in any order."""
    bounded = since is not None or until is not None
    scores = {
        entry.id: float((entry.vectors @ question).max())
        for entry in model.values()
        if entry.cube in cubes
        and not (bounded and entry.at is None)
        and (since is None or (entry.at is not None and entry.at >= since))
        and (until is None or (entry.at is not None and entry.at < until))
    }
    found = index.search(question, cubes=cubes, limit=limit, since=since, until=until)
    assert len({c.id for c in found}) == len(found)
    assert [c.score for c in found] == pytest.approx(sorted(scores.values(), reverse=True)[:limit], abs=1e-3)
    assert {c.id: c.score for c in found} == pytest.approx({c.id: scores[c.id] for c in found}, abs=1e-3)
    assert {c.id: c.version for c in found} == {c.id: model[c.id].version for c in found}
