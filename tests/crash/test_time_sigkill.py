"""A process is killed in the middle of a rollback or a merge: it is done whole, or not at all."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.crash.time_worker import CUBE, FORK, MANY, opened, prepared

ROOT = Path(__file__).parents[2]
KILLS = 4


def killed(folder: Path, what: str, moment: float) -> None:
    """Let a worker work for so many seconds, then kill it."""
    find = f"import sys; sys.path.insert(0, {str(ROOT)!r})"
    code = f"{find}; from tests.crash.time_worker import main; main(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(folder), what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        time.sleep(moment)
        worker.kill()
        assert worker.wait() == -signal.SIGKILL, "the worker ended by itself"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepared(str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.mark.crash
@pytest.mark.slow
def test_a_rollback_is_done_whole_or_not_at_all(folder: Path) -> None:
    moments = random.Random(1)
    first = {f"first words, number {number}" for number in range(MANY)}
    other = {text.replace("first", "other") for text in first} | {"something new"}
    for _ in range(KILLS):
        killed(folder, "roll", moments.uniform(0.2, 1.5))
        with opened(str(folder)) as memos:
            assert {memory.text for memory in memos.cube(CUBE).list()} in (first, other)
            assert memos.doctor().findings[0].ok


@pytest.mark.crash
@pytest.mark.slow
def test_a_merge_is_done_whole_or_not_at_all(folder: Path) -> None:
    moments = random.Random(2)
    for number in range(KILLS):
        killed(folder, "merge", moments.uniform(0.2, 2.5))
        with opened(str(folder)) as memos:
            cube, fork = memos.cube(CUBE), memos.cube(FORK)
            texts = {memory.text for memory in cube.list()[:MANY]}
            assert len(texts) == 1 or texts == _first(), "half a merge"
            for memory in fork.list()[:MANY]:  # the fork was left in the middle of a round
                fork.revise(memory.id, f"words after kill {number}")
            cube.merge(fork, on_conflict="theirs")
            assert [m.text for m in cube.list()] == [m.text for m in fork.list()]


def _first() -> set[str]:
    return {f"other words, number {number}" for number in range(MANY)}
