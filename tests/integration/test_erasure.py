"""What was erased is in no byte under the folder, with the real index and the files of a runtime.

Each test first finds the words where they are kept, so that finding nothing afterwards means something.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from memos_core import Consolidating, Entry, MemOS, Message, Runtime, Where
from memos_core.index import strings_in
from memos_core.testing import HashEmbedder, ScriptedEngine
from memos_core.tiers.kv import container

WORDS = ("xylotomous", "zugzwang", "quixotry", "jabberwockian", "vexillologist", "ύφασμα")
SECRET = "Mira said the xylotomous zugzwang of ύφασμα was mere quixotry."
REVISED = "A jabberwockian ύφασμα, said the vexillologist."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def opened(folder: Path) -> MemOS:
    return MemOS.open(folder, embedder=HashEmbedder(dimensions=64))


def held(folder: Path, words=WORDS) -> set[tuple[str, str]]:
    """Return in which files which of the words are, in every encoding, and inside compressed files."""
    found = set()
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes().lower()
        inside = "\n".join(strings_in(path)).lower()
        for word in words:
            ways = (word.encode(), word.encode("utf-16-le"), word.encode("utf-16-be"))
            escaped = json.dumps(word)[1:-1].encode()
            if any(way in data for way in (*ways, escaped)) or word in inside:
                found.add((path.suffix, word))
    return found


def sources_of_segments(folder: Path) -> set[str]:
    """Return the ids of the memories that the KV segments' files were made from."""
    paths = (folder / "blobs").glob("??/*")
    return {origin.memory_id for path in paths for origin in container.header_of(path).sources}


def flushed(memos: MemOS) -> None:
    """Tell the index everything, and let it write a file of it, as it does every thousand rows."""
    memos.drain()
    index = memos._core.index()
    index._call(index._client.flush, timeout=60)


def filled(memos: MemOS, runtime: Runtime) -> str:
    """Write the secret in every way there is, among other memories; return its id."""
    cube = memos.cube("notes")
    for number in range(30):
        cube.remember(f"Other thing number {number} is on the shelf in the hall.")
    memory = cube.remember(SECRET, tags=["zugzwang"])
    flushed(memos)
    cube.revise(memory.id, REVISED)
    cube.revise(memory.id, SECRET)
    cube.copy(memory.id, f"A copy: {REVISED}")
    cube.ingest([Message("Mira", SECRET, id="m1")], session="quixotry")
    cube.records.put([Entry(key="bare", data={"note": SECRET}), Entry(key="k", data={}, texts=(REVISED,))])
    for number in range(30):
        cube.remember(f"More things, number {number}, are in the cellar below.")
    memos.drain()
    runtime.build(cube)
    cube.recall("zugzwang")
    return memory.id


def erased_by_id(memos: MemOS) -> list:
    cube = memos.cube("notes")
    ids = [memory.id for memory in cube.list() if any(word in memory.text.lower() for word in WORDS)]
    receipts = [cube.forget(each) for each in ids]
    cube.records.put([], drop=["bare"])
    return receipts


def erased_where(memos: MemOS) -> list:
    cube = memos.cube("notes")
    wheres = (Where(tags=("zugzwang",)), Where(kinds=("message", "record")))
    receipts = [cube.forget(where=where) for where in wheres]
    receipts += [cube.forget(memory.id) for memory in cube.list() if "copy" in memory.text]
    cube.records.put([], drop=["bare"])
    return receipts


def erased_cube(memos: MemOS) -> list:
    return [memos.forget_cube("notes")]


def erased_principal(memos: MemOS) -> list:
    return [memos.forget_principal("local")]


@pytest.mark.slow
@pytest.mark.parametrize("erase", [erased_by_id, erased_where, erased_cube, erased_principal])
def test_nothing_of_the_erased_is_in_any_byte(folder: Path, erase) -> None:
    with opened(folder) as memos, Runtime(ScriptedEngine()) as runtime:
        memos.as_principal("ana").cube("other").remember("What else there is stays, with all its words.")
        memory_id = filled(memos, runtime)
        before = held(folder)
        assert {suffix for suffix, _ in before} >= {".db", ".db-wal", ".parquet"}
        assert {word for _, word in before} == set(WORDS)
        assert memory_id in sources_of_segments(folder)
        receipts = erase(memos)
        assert memory_id not in sources_of_segments(folder)
        memos.drain()
        assert held(folder) == set(), "a drain leaves words"
        checks = [memos.verify_erasure(receipt) for receipt in receipts]
        assert [check.residues for check in checks if not check.ok] == []
        assert all(check.looked_for for check in checks)
        assert held(folder) == set()
        assert memos.doctor().ok
        assert memos.as_principal("ana").cube("other").count() == 1
    assert held(folder) == set(), "closing leaves words"


@pytest.mark.slow
def test_a_check_finds_the_words_wherever_they_are_put(folder: Path) -> None:
    with opened(folder) as memos:
        cube = memos.cube("notes")
        receipt = cube.forget(cube.remember(SECRET).id)
        assert memos.verify_erasure(receipt).ok
        places = {
            "a": SECRET.encode(),
            "b": SECRET.encode("utf-16-le"),
            "c": SECRET.encode("utf-16-be"),
            "d": json.dumps({"x": SECRET}).encode(),
            "e": b"\0" * (9 << 20) + " ".join(SECRET.split()[2:8]).encode(),
            "f": receipt.memory_id.encode(),
        }
        for name, data in places.items():
            (folder / name).write_bytes(data)
        found = memos.verify_erasure(receipt)
        assert not found.ok
        assert {residue.place for residue in found.residues} == set(places)
        assert {each.form for each in found.residues} == {"utf-8", "utf-16-le", "utf-16-be", "json", "id"}
        by_words = memos.verify_erasure(receipt.id, words=[SECRET])
        by_id = memos.verify_erasure(receipt.id)
        assert {residue.place for residue in by_words.residues} == set(places)
        assert ([residue.place for residue in by_id.residues], by_id.looked_for) == (["f"], 0)


def test_nothing_of_a_source_is_left_in_what_was_consolidated_from_it(folder: Path) -> None:
    words = ("xylothermic", "quagmirrored", "zephyrmoss")
    secret = "My brother hid the xylothermic lamp, quagmirrored and zephyrmoss, in the mill"
    others = [f"The lamp in the mill number {n} was hid by my brother in the night" for n in range(12)]
    with opened(folder) as memos:
        cube = memos.cube("notes")
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        turns = cube.ingest([Message("Ana", text, at=long_ago) for text in (secret, *others)], session="s")
        first = cube.remember(f"{secret}.", visibility="shared")
        cube.remember(f"{secret}!", visibility="shared")
        run = cube.consolidate(Consolidating(turns=13, least=13))
        assert [str(action.act) for action in run.actions] == ["merge", "gist"]
        merged = run.actions[0].into
        flushed(memos)
        before = held(folder, words)
        erased = [cube.forget(turns[0].id), cube.forget(merged)]
        memos.drain()
        after = held(folder, words)
        clean = [memos.verify_erasure(each).ok for each in erased]
    assert (bool(before), after, clean) == (True, set(), [True, True])
    assert first.id in erased[1].memories
