"""What every TextIndex promises, as tests.

Subclass `TextIndexConformance`, give its fixture `index` a fresh, empty index of `dimensions`
dimensions that is closed afterwards, and let pytest collect the subclass::

    class TestMyIndex(TextIndexConformance):
        @pytest.fixture
        def index(self, tmp_path):
            with closing(MyIndex(tmp_path, dimensions=self.dimensions)) as index:
                yield index

An index that outlives its process subclasses `PersistentTextIndexConformance`, and gives `reopen` too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, ClassVar, TypeAlias

import numpy as np
import pytest

from memos_core.errors import InvalidInput, MemOSError
from memos_core.protocols import IndexEntry, TextIndex, Vectors
from memos_core.testing.text_index_cases import (
    HERE,
    NASTY,
    NOON,
    THERE,
    TINY,
    at_cosine,
    compare_with_a_dict,
    cube_of,
    random_units,
    summary,
)

Reopen: TypeAlias = Callable[[TextIndex], TextIndex]


class TextIndexConformance:
    """Promises of `memos_core.protocols.TextIndex`. Mark a test xfail with a reason; override none."""

    dimensions: ClassVar[int] = 16
    examples: ClassVar[int] = 25  # of the test against a model; fewer where a call is slow

    @pytest.fixture
    def index(self) -> TextIndex:
        """A fresh, empty index, closed after the test."""
        pytest.fail("the subclass gives the fixture `index`")

    @property
    def question(self) -> Vectors:
        return at_cosine(1.0, dimensions=self.dimensions)

    def entry(self, memory_id: str, *cosines: float, **fields: Any) -> IndexEntry:
        """Return a memory whose keys have these cosines to `question`."""
        vectors = np.stack([at_cosine(c, dimensions=self.dimensions) for c in cosines])
        stated: dict[str, Any] = {
            "version": 1,
            "cube": HERE,
            "text": f"text of {memory_id}",
            "vectors": vectors,
        }
        return IndexEntry(id=memory_id, **(stated | fields))

    def found(self, index: TextIndex, *, limit: int = 10, **bounds: Any) -> list[tuple[str, float]]:
        return summary(index.search(self.question, cubes=[HERE], limit=limit, **bounds))

    # ------------------------------------------------------------------------------ finding

    def test_an_empty_index_finds_nothing(self, index: TextIndex) -> None:
        assert (index.count(), self.found(index)) == (0, [])

    def test_empty_lists_change_nothing(self, index: TextIndex) -> None:
        index.upsert([self.entry("a", 0.5)])
        index.upsert([])
        index.delete([])
        assert index.search(self.question, cubes=[], limit=10) == []
        assert self.found(index) == [("a", 0.5)]

    def test_the_nearest_comes_first_and_the_score_is_the_cosine(self, index: TextIndex) -> None:
        cosines = {"near": 0.9, "same": 1.0, "opposite": -1.0, "right angle": 0.0, "far": -0.4}
        index.upsert([self.entry(name, cosine) for name, cosine in cosines.items()])
        found = index.search(self.question, cubes=[HERE], limit=10)
        assert [c.id for c in found] == ["same", "near", "right angle", "far", "opposite"]
        assert {c.id: c.score for c in found} == pytest.approx(cosines, abs=1e-3)
        assert all(-1.0 <= c.score <= 1.0 for c in found)

    def test_a_memory_is_found_once_by_its_best_key(self, index: TextIndex) -> None:
        index.upsert([self.entry("a", 0.2, 0.8, -0.3), self.entry("b", 0.5)])
        assert self.found(index) == [("a", 0.8), ("b", 0.5)]

    def test_a_memory_of_many_keys_crowds_nobody_out(self, index: TextIndex) -> None:
        others = {f"m{n}": round(0.1 * n, 1) for n in range(5)}
        index.upsert([self.entry("long", *np.linspace(0.8, 0.99, 60).tolist())])
        index.upsert([self.entry(name, cosine) for name, cosine in others.items()])
        assert self.found(index, limit=4) == [("long", 0.99), ("m4", 0.4), ("m3", 0.3), ("m2", 0.2)]

    @pytest.mark.parametrize(("limit", "length"), [(-1, 0), (0, 0), (1, 1), (7, 7), (8, 8), (5000, 8)])
    def test_no_more_than_the_limit(self, index: TextIndex, limit: int, length: int) -> None:
        index.upsert([self.entry(f"m{n}", n / 10) for n in range(8)])
        assert len(self.found(index, limit=limit)) == length

    def test_a_cube_sees_only_its_own(self, index: TextIndex) -> None:
        index.upsert([self.entry("mine", 0.1), self.entry("foreign", 1.0, cube=THERE)])
        assert self.found(index) == [("mine", 0.1)]

    def test_many_cubes_in_one_search(self, index: TextIndex) -> None:
        index.upsert([self.entry(f"m{n}", n / 500, cube=cube_of(f"c{n}")) for n in range(300)])
        cubes = [cube_of(f"c{n}") for n in range(250)] * 2
        found = index.search(self.question, cubes=cubes, limit=300)
        assert {c.id for c in found} == {f"m{n}" for n in range(250)}

    @pytest.mark.parametrize("cube", ["", "here", HERE.upper(), HERE + "0", f'{HERE[:-1]}"', HERE + "\n"])
    def test_a_cube_is_named_by_its_hash_only(self, index: TextIndex, cube: str) -> None:
        with pytest.raises(InvalidInput):
            index.search(self.question, cubes=[HERE, cube], limit=1)

    @pytest.mark.parametrize("shape", [(1,), (15,), (17,), (1, 16), (0,)])
    def test_a_question_of_another_shape_is_refused(self, index: TextIndex, shape: tuple[int, ...]) -> None:
        vector = np.zeros(shape, dtype=np.float32)
        vector[..., :1] = 1.0
        with pytest.raises(InvalidInput):
            index.search(vector, cubes=[HERE], limit=1)

    # -------------------------------------------------------------------------------- times

    @pytest.mark.parametrize(
        ("since", "until", "names"),
        [
            (None, None, {"before", "at", "after", "unknown", "early"}),
            (NOON, None, {"at", "after"}),
            (None, NOON, {"before", "early"}),
            (NOON, NOON + TINY, {"at"}),
            (NOON, NOON, set()),
            (NOON + TINY, NOON - TINY, set()),
            (datetime.min.replace(tzinfo=UTC), None, {"before", "at", "after", "early"}),
            (None, datetime.max.replace(tzinfo=UTC), {"before", "at", "after", "early"}),
            (NOON.astimezone(timezone(timedelta(hours=9))), None, {"at", "after"}),
        ],
    )
    def test_bounds_of_time_are_half_open_and_leave_out_what_has_none(
        self, index: TextIndex, since: datetime | None, until: datetime | None, names: set[str]
    ) -> None:
        early = datetime(1, 1, 2, tzinfo=UTC)
        times = {"before": NOON - TINY, "at": NOON, "after": NOON + TINY, "unknown": None, "early": early}
        index.upsert([self.entry(name, 0.5, at=at) for name, at in times.items()])
        assert {name for name, _ in self.found(index, since=since, until=until)} == names

    def test_a_time_without_a_zone_is_refused(self, index: TextIndex) -> None:
        naive = NOON.replace(tzinfo=None)
        with pytest.raises(InvalidInput):
            self.found(index, since=naive)
        with pytest.raises(InvalidInput):
            self.found(index, until=naive)
        with pytest.raises(InvalidInput):
            index.upsert([self.entry("a", 0.5, at=naive)])

    # ------------------------------------------------------------------------------ writing

    def test_own_writes_are_seen_by_the_next_search(self, index: TextIndex) -> None:
        for n in range(6):
            index.upsert([self.entry(f"m{n}", n / 20)])
            assert self.found(index, limit=1) == [(f"m{n}", round(n / 20, 2))]
        for n in reversed(range(1, 6)):
            index.delete([f"m{n}"])
            assert self.found(index, limit=1) == [(f"m{n - 1}", round((n - 1) / 20, 2))]

    @pytest.mark.parametrize("former", [(0.9,), (0.9, 0.8, 0.7), (0.1, 0.9, 0.2, 0.3, 0.8)])
    @pytest.mark.parametrize("present", [(0.5,), (0.3, 0.5), (0.1, 0.2, 0.5, 0.3)])
    def test_an_upsert_replaces_every_key(
        self, index: TextIndex, former: tuple[float, ...], present: tuple[float, ...]
    ) -> None:
        index.upsert([self.entry("a", *former), self.entry("b", 0.4)])
        index.upsert([self.entry("a", *present, version=2)])
        found = index.search(self.question, cubes=[HERE], limit=10)
        assert [(c.id, c.version) for c in found] == [("a", 2), ("b", 1)]
        assert summary(found) == [("a", 0.5), ("b", 0.4)]
        index.delete(["a"])
        assert (index.count(), self.found(index)) == (1, [("b", 0.4)])

    def test_a_memory_moves_to_another_cube(self, index: TextIndex) -> None:
        index.upsert([self.entry("a", 0.5, 0.6)])
        index.upsert([self.entry("a", 0.7, cube=THERE)])
        assert self.found(index) == []
        assert summary(index.search(self.question, cubes=[THERE], limit=9)) == [("a", 0.7)]

    def test_of_two_entries_of_one_memory_the_last_counts(self, index: TextIndex) -> None:
        index.upsert([self.entry("a", 0.9, 0.8), self.entry("b", 0.1), self.entry("a", 0.3, version=2)])
        assert (index.count(), self.found(index)) == (2, [("a", 0.3), ("b", 0.1)])

    @pytest.mark.parametrize(
        "fault",
        [
            {"vectors": np.ones((1, 15), dtype=np.float32) / np.sqrt(15)},
            {"vectors": np.ones(16, dtype=np.float32) / 4},
            {"vectors": np.zeros((1, 16), dtype=np.float32)},
            {"vectors": np.full((1, 16), np.nan, dtype=np.float32)},
            {"vectors": np.ones((1, 16), dtype=np.float32)},
            {"vectors": np.empty((0, 16), dtype=np.float32)},
            {"cube": "not a hash"},
            {"text": "a lone \ud800 surrogate"},
        ],
    )
    def test_one_bad_row_leaves_all_as_it_was(self, index: TextIndex, fault: Mapping[str, Any]) -> None:
        index.upsert([self.entry("a", 0.9, 0.8)])
        with pytest.raises(InvalidInput):
            index.upsert([self.entry("a", 0.1), self.entry("new", 0.5), self.entry("bad", 0.5, **fault)])
        assert (index.count(), self.found(index)) == (1, [("a", 0.9)])

    def test_unknown_ids_are_deleted_without_complaint(self, index: TextIndex) -> None:
        index.upsert([self.entry("a", 0.5), self.entry("b", 0.4, 0.3)])
        index.delete(["nobody", "b", "b", *NASTY.values()])
        assert (index.count(), self.found(index)) == (1, [("a", 0.5)])

    def test_memories_are_counted_not_keys(self, index: TextIndex) -> None:
        index.upsert([self.entry(f"m{n}", *[0.1] * (1 + n % 3)) for n in range(30)])
        index.upsert([self.entry("m2", 0.1)])
        index.delete(["m0", "m1"])
        assert index.count() == 28

    def test_a_large_batch_is_stored_whole(self, index: TextIndex) -> None:
        vectors = random_units(1, dimensions=self.dimensions, rows=2500)
        index.upsert([self.entry(f"m{n}", 0.0, vectors=vectors[n : n + 1]) for n in range(2500)])
        best = np.argsort(-(vectors @ self.question))[:50]
        found = index.search(self.question, cubes=[HERE], limit=50)
        assert (index.count(), [c.id for c in found]) == (2500, [f"m{n}" for n in best])

    @pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in NASTY.items()])
    def test_any_text_can_be_stored(self, index: TextIndex, text: str) -> None:
        index.upsert([self.entry("a", 0.5, text=text, kind=text[:200], session=text[:200])])
        assert self.found(index) == [("a", 0.5)]

    @pytest.mark.parametrize("name", sorted(NASTY.keys() - {"blank", "long"}))
    def test_any_name_can_be_an_id(self, index: TextIndex, name: str) -> None:
        memory_id = NASTY[name]
        index.upsert([self.entry(memory_id, 0.5, 0.9), self.entry("b", 0.1)])
        index.upsert([self.entry(memory_id, 0.4, version=2)])
        assert self.found(index) == [(memory_id, 0.4), ("b", 0.1)]
        index.delete([memory_id])
        assert self.found(index) == [("b", 0.1)]

    # ----------------------------------------------------------------- threads, life, model

    def test_eight_threads_search_beside_a_writer(self, index: TextIndex) -> None:
        index.upsert([self.entry(f"kept{n}", 0.9 - n / 100, 0.1) for n in range(10)])
        expected = [(f"kept{n}", round(0.9 - n / 100, 2)) for n in range(10)]
        done = threading.Event()

        def write() -> None:
            for n in range(8):
                index.upsert([self.entry(f"new{n}-{i}", 0.2, 0.1) for i in range(20)])
                index.delete([f"new{n}-{i}" for i in range(10)])
            done.set()

        def read() -> list[list[tuple[str, float]]]:
            answers = [self.found(index)]
            while not done.is_set():
                answers.append(self.found(index))
            return answers

        with ThreadPoolExecutor(9) as pool:
            readers = [pool.submit(read) for _ in range(8)]
            try:
                pool.submit(write).result()
            finally:
                done.set()
            wrong = [answer for reader in readers for answer in reader.result() if answer != expected]
        assert wrong == []
        assert index.count() == 10 + 8 * 10

    def test_closing_twice_is_no_error(self, index: TextIndex) -> None:
        index.upsert([self.entry("a", 0.5)])
        index.close()
        index.close()
        with pytest.raises(MemOSError):
            self.found(index)

    def test_it_behaves_like_a_dict_searched_by_brute_force(self, index: TextIndex) -> None:
        compare_with_a_dict(index, dimensions=self.dimensions, examples=self.examples)


class PersistentTextIndexConformance(TextIndexConformance):
    """The same for an index that outlives its process; give the fixture `reopen` as well."""

    @pytest.fixture
    def reopen(self) -> Reopen:
        """A function that closes the index and returns the same one opened anew."""
        pytest.fail("the subclass gives the fixture `reopen`")

    def test_a_persistent_index_keeps_what_it_was_told(self, index: TextIndex, reopen: Reopen) -> None:
        index.upsert([self.entry("a", 0.5, 0.6, at=NOON), self.entry("b", 0.4), self.entry("c", 0.9)])
        index.delete(["c"])
        index = reopen(index)
        assert (index.count(), self.found(index)) == (2, [("a", 0.6), ("b", 0.4)])
        index.upsert([self.entry("a", 0.1, version=2)])
        assert self.found(reopen(index)) == [("b", 0.4), ("a", 0.1)]
