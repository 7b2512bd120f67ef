"""A process is killed while it writes a file, or loads one: no half of either is ever to be seen."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from memos_core import FormatError, MemOS, Message, inspected
from memos_core.testing import HashEmbedder, InMemoryIndex

KILLS = 6
TURNS = 3000

WORK = """
    import sys
    from memos_core import MemOS
    from memos_core.testing import HashEmbedder, InMemoryIndex
    verb, folder, file = sys.argv[1:]
    twins = {"embedder": HashEmbedder(dimensions=16), "index": InMemoryIndex(dimensions=16)}
    with MemOS.open(folder, **twins) as memos:
        print("at work", flush=True)
        while True:
            if verb == "dump":
                memos.cube("notes").dump(file, overwrite=True)
            else:
                memos.load(file, name="loaded", on_conflict="replace")
            print("done", flush=True)
            if verb == "load":
                break
"""


def opened(folder):
    return MemOS.open(folder, embedder=HashEmbedder(dimensions=16), index=InMemoryIndex(dimensions=16))


def killed(verb, folder, file, *, after):
    command = [sys.executable, "-c", textwrap.dedent(WORK), verb, str(folder), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "at work\n"
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
    return process.returncode


@pytest.fixture
def store(tmp_path):
    with opened(tmp_path / "store") as memos:
        memos.cube("notes").ingest([Message("Ana", f"turn {n} of the harbour") for n in range(TURNS)])
    return tmp_path / "store"


@pytest.mark.crash
@pytest.mark.slow
def test_a_file_is_whole_whenever_the_writer_dies(store, tmp_path):
    draw, file = random.Random(7), tmp_path / "out" / "notes.memcube"
    file.parent.mkdir()
    for _ in range(KILLS):
        assert killed("dump", store, file, after=draw.uniform(0.0, 1.5)) == -signal.SIGKILL
        if file.exists():
            assert inspected(file).counts["memories"] == TURNS
    with opened(store) as memos:
        memos.cube("notes").dump(file, overwrite=True)
    assert [path.name for path in file.parent.iterdir()] == ["notes.memcube"]  # what the dead left is swept


@pytest.mark.crash
@pytest.mark.slow
def test_a_cube_is_whole_or_absent_whenever_the_loader_dies(store, tmp_path):
    draw, file = random.Random(9), tmp_path / "notes.memcube"
    with opened(store) as memos:
        memos.cube("notes").dump(file)
    ended = 0
    other = tmp_path / "other"
    with opened(other) as memos:
        before = sorted(path.name for path in other.iterdir())
    for _ in range(KILLS):
        ended += killed("load", other, file, after=draw.uniform(0.0, 2.5)) == 0
        with opened(other) as memos:
            counts = [cube.count() for cube in memos.cubes()]
            assert counts in ([], [TURNS])
            assert memos.doctor().ok
    with opened(other) as memos:
        load = memos.load(file, name="loaded")
        assert load.added + load.same == TURNS
        left = {path.name for path in other.iterdir()} - set(before)
    assert left <= {"catalog.db-wal", "catalog.db-shm", "lock", "lock.pid"}
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(FormatError):
        inspected(file)
