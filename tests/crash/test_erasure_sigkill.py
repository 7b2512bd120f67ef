"""A process is killed while it erases a cube: it is there whole or not at all; the rest is resumed."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from memos_core import NotFound
from tests.crash import erasure_worker
from tests.crash.erasure_worker import MEMORIES, WORD

KILLS = 10


@pytest.mark.crash
@pytest.mark.slow
def test_a_killed_erasure_is_done_or_not_done_and_is_finished_later(tmp_path: Path) -> None:
    store, draw, seen = tmp_path / "store", random.Random(3), Counter[str]()
    with erasure_worker.opened(store) as memos:
        memos.as_principal("ana").cube("kept").remember("What is of others stays.")
    for seed in range(KILLS):
        killed_at_work(store, seed, after=draw.uniform(0.02, 0.6))
        with erasure_worker.opened(store) as memos:
            seen[state_of(memos, store)] += 1
            assert memos.as_principal("ana").cube("kept").count() == 1
            receipts = memos.erasures()
            assert all(len(each.memories) == MEMORIES for each in receipts), "a part was erased"
            assert not [each for each in receipts[-1:] if not memos.verify_erasure(each).ok]
            assert memos.verify_audit().ok
    assert seen["whole"], "the workers were killed before they wrote anything"
    assert seen["gone"] + seen["empty"], "the workers were killed before they erased anything"


def state_of(memos, store: Path) -> str:
    """Return what became of the cube; what was erased has no bytes left, once debts are paid."""
    memos.drain()
    try:
        count = memos.cube("doomed", create=False).count()
    except NotFound:
        count = -1
    assert count in (-1, 0, MEMORIES), "half of a cube is there"
    if count == MEMORIES:
        return "whole"
    files = [path for path in store.rglob("*") if path.is_file()]
    assert not [path for path in files if WORD.encode() in path.read_bytes()], "words outlived their cube"
    return "empty" if count == 0 else "gone"


def killed_at_work(store: Path, seed: int, *, after: float) -> None:
    """Let a worker work for so many seconds, then kill it."""
    command = [sys.executable, "-m", "tests.crash.erasure_worker", str(store), str(seed)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "at work\n"
        time.sleep(after)
        worker.kill()
