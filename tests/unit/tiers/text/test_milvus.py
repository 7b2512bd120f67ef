"""What is special about Milvus Lite: folders, locks, flushes, limits."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memos_core.errors import BackendError, BackendUnavailable, Closed, InvalidInput
from memos_core.protocols import IndexEntry
from memos_core.testing.text_index_cases import HERE, at_cosine
from memos_core.tiers.text._milvus_lite import THREADS
from memos_core.tiers.text._milvus_rows import LENGTHS, condition_of, rows_of
from memos_core.tiers.text.milvus import MilvusIndex

Open = Callable[..., MilvusIndex]
QUESTION = at_cosine(1.0, dimensions=8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "milvus.db"


@pytest.fixture
def opened(folder: Path) -> Iterator[Open]:
    with ExitStack() as handles:

        def open_(**options: Any) -> MilvusIndex:
            stated: dict[str, Any] = {"embedder_identity": "model@1", "dimensions": 8} | options
            return handles.enter_context(closing(MilvusIndex(str(folder), **stated)))

        yield open_


def entry(memory_id: str, *cosines: float, **fields: Any) -> IndexEntry:
    vectors = np.stack([at_cosine(c, dimensions=8) for c in cosines or (0.5,)])
    stated: dict[str, Any] = {"version": 1, "cube": HERE, "text": "a text", "vectors": vectors}
    return IndexEntry(id=memory_id, **(stated | fields))


def ids(index: MilvusIndex) -> list[str]:
    return [c.id for c in index.search(QUESTION, cubes=[HERE], limit=100)]


def test_importing_it_does_not_import_pymilvus() -> None:
    code = "import sys, memos_core.tiers.text.milvus; sys.exit('pymilvus' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_close_lets_go_of_folder_threads_and_socket(opened: Open) -> None:
    before = set(threading.enumerate())
    for n in range(3):
        index = opened()
        index.upsert([entry(f"m{n}")])
        assert index.count() == n + 1
        index.close()
    left = [t.name for t in threading.enumerate() if t not in before and t.is_alive()]
    assert [name for name in left if name.startswith((THREADS, "milvus_lite"))] == []


def test_two_handles_of_one_folder_share_it_and_outlive_each_other(opened: Open) -> None:
    first, second = opened(), opened()
    first.upsert([entry("a")])
    first.close()
    second.upsert([entry("b")])
    assert sorted(ids(second)) == ["a", "b"]


def test_vectors_of_two_embedders_never_meet(opened: Open) -> None:
    first, other, longer = opened(), opened(embedder_identity="model@2"), opened(dimensions=9)
    first.upsert([entry("a")])
    assert (first.count(), other.count(), longer.count()) == (1, 0, 0)


def test_a_second_process_is_told_what_to_do(opened: Open, folder: Path) -> None:
    code = (
        "import sys; from memos_core.tiers.text.milvus import MilvusIndex\n"
        f"index = MilvusIndex({str(folder)!r}, embedder_identity='model@1', dimensions=8)\n"
        "print('held', flush=True); sys.stdin.read(); index.close()"
    )
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BackendUnavailable, match="in use by another process"):
            opened()
        holder.stdin.close()
        holder.wait(20)
    assert opened().count() == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda index: index.upsert([entry("b")]),
        lambda index: index.delete(["a"]),
        lambda index: index.count(),
        ids,
    ],
)
def test_a_folder_removed_behind_our_back_is_noticed(
    opened: Open, folder: Path, call: Callable[[MilvusIndex], object]
) -> None:
    index = opened()
    index.upsert([entry("a")])
    shutil.rmtree(folder)
    with pytest.raises(BackendUnavailable, match="was removed"):
        call(index)
    index.close()
    assert not folder.exists()


def test_a_removed_folder_can_be_opened_anew_beside_the_old_handle(opened: Open, folder: Path) -> None:
    old = opened()
    old.upsert([entry("a")])
    shutil.rmtree(folder)
    new = opened()
    new.upsert([entry("b")])
    old.close()
    assert (ids(new), ids(opened())) == (["b"], ["b"])


def test_a_dropped_collection_is_an_error_not_an_empty_answer(opened: Open) -> None:
    index, other = opened(), opened()
    index.upsert([entry("a")])
    other._client.drop_collection(other._collection)
    with pytest.raises(BackendError):
        ids(index)


def test_a_missing_parent_folder_is_made(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "milvus.db"
    with closing(MilvusIndex(str(deep), embedder_identity="model@1", dimensions=8)) as index:
        assert index.count() == 0


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BackendUnavailable, match="cannot be opened"):
        MilvusIndex(str(tmp_path / "file" / "milvus.db"), embedder_identity="model@1", dimensions=8)


@pytest.mark.slow
def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(BackendUnavailable):
        MilvusIndex("http://127.0.0.1:9", embedder_identity="model@1", dimensions=8)


def test_rows_are_flushed_by_number_and_at_the_end(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    index = opened(flush_rows=10)
    flushed: list[int] = []
    monkeypatch.setattr(index._client, "flush", lambda *_, **__: flushed.append(index._unflushed))
    index.upsert([entry(f"m{n}") for n in range(9)])
    index.upsert([entry("a", 0.1, 0.2)])
    index.delete(["a", "m1"])
    assert flushed == [11]
    index.close()
    assert flushed == [11, 3]


def test_after_a_crash_the_acknowledged_is_there(opened: Open, folder: Path) -> None:
    code = (
        "import os, numpy as np; from memos_core.tiers.text.milvus import MilvusIndex\n"
        "from tests.unit.tiers.text.test_milvus import entry\n"
        f"index = MilvusIndex({str(folder)!r}, embedder_identity='model@1', dimensions=8)\n"
        "index.upsert([entry('a', 0.5, 0.6), entry('b', 0.1)]); index.delete(['b']); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    index = opened()
    assert (index.count(), ids(index)) == (1, ["a"])


def test_two_versions_by_accident_report_the_newest(opened: Open) -> None:
    index = opened()
    old = [row | {"pk": "stray:7"} for row in rows_of(entry("a", 0.9, version=1))]
    index._client.upsert(index._collection, data=old)
    index.upsert([entry("a", 0.4, version=2), entry("b", 0.6)])
    found = index.search(QUESTION, cubes=[HERE], limit=10)
    assert [(c.id, c.version, round(c.score, 2)) for c in found] == [("b", 1, 0.6), ("a", 2, 0.4)]


@pytest.mark.parametrize(
    "text", ["a" * 70_000, "ü" * 40_000, "a" + "ü" * 40_000, "界" * 30_000, "👩" * 20_000]
)
def test_text_is_cut_between_characters(text: str) -> None:
    (row,) = rows_of(entry("a", text=text))
    assert text.startswith(row["text"])
    assert LENGTHS["text"] - 4 < len(row["text"].encode()) <= LENGTHS["text"]


def test_only_hashes_and_integers_enter_a_filter() -> None:
    since, until = datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC)
    assert condition_of([HERE], since, until) == (
        f'cube in ["{HERE}"] and at >= -1000000 and at > -4611686018427387904 and at < 1714521600000000'
    )


@pytest.mark.parametrize("options", [{"dimensions": 0}, {"flush_rows": 0}])
def test_settings_are_checked(opened: Open, options: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        opened(**options)


def test_a_closed_index_says_so(opened: Open) -> None:
    index = opened()
    index.close()
    for call in (index.count, lambda: ids(index), lambda: index.delete(["a"])):
        with pytest.raises(Closed):
            call()


def test_what_is_raised_is_not_logged_as_well(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    index = opened()
    index._collection = "no_such_collection"
    with caplog.at_level(logging.WARNING), pytest.raises(BackendError, match="no_such_collection"):
        index.count()
    assert caplog.records == []
