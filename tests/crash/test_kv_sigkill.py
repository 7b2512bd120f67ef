"""A process is killed while it builds segments: what is left is right, and nothing is left over."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memos_core import Origin, Runtime
from memos_core.testing import ScriptedEngine
from memos_core.tiers.kv import container
from tests.crash import kv_worker

KILLS = 8


@pytest.mark.crash
@pytest.mark.slow
def test_a_killed_builder_leaves_nothing_wrong_and_nothing_over(tmp_path: Path) -> None:
    store, draw, attached = tmp_path / "store", random.Random(7), 0
    for seed in range(KILLS):
        killed_at_work(store, seed, after=draw.uniform(0.05, 1.5))
        with kv_worker.opened(store) as memos, Runtime(ScriptedEngine()) as runtime:
            cube = memos.cube("crash")
            files = {path.name: path for path in (store / "blobs").glob("??/*")}
            alive = {Origin(memory.id, memory.version) for memory in cube.list()}
            for path in files.values():
                assert set(container.header_of(path).sources) <= alive, "a file outlived its memory"
            assert len(files) == len(memos.segments(cube)), "a file has no row, or a row no file"
            assert not memos.verify_segments(memos.segments(cube)).damaged
            reply = runtime.chat("What?", cube, budget=kv_worker.BUDGET)
            plain = runtime.chat("What?", cube, budget=kv_worker.BUDGET, reuse=False)
            assert reply.text == plain.text
            attached += reply.reuse.segments
    assert attached > KILLS, "the workers were killed before they built anything"


def killed_at_work(store: Path, seed: int, *, after: float) -> None:
    """Let a worker work for so many seconds, then kill it."""
    command = [sys.executable, "-m", "tests.crash.kv_worker", str(store), str(seed)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "at work\n"
        time.sleep(after)
        worker.kill()
