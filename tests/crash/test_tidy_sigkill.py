"""A process is killed while it consolidates or takes that back: each is done whole, or not at all."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from memos_core import Act, MemCube, MemOS
from tests.crash import tidy_worker
from tests.crash.tidy_worker import PAIRS, SETTINGS, TURNS, filled

KILLS = 8
POINTS = ("consolidating", "undoing")
WHOLE = 2 * PAIRS + 2 + TURNS


@pytest.mark.crash
@pytest.mark.slow
def test_a_killed_run_is_done_or_not_done_and_going_on_ends_in_the_same_cube(tmp_path: Path) -> None:
    store, draw, seen = tmp_path / "store", random.Random(5), Counter[str]()
    with tidy_worker.opened(tmp_path / "calm") as memos:
        cube = memos.cube("notes")
        filled(cube)
        raw = contents(cube)
        done = cube.consolidate(SETTINGS)
        assert Counter(each.act for each in done.actions) == {Act.MERGE: PAIRS, Act.SUPERSEDE: 1, Act.GIST: 1}
        tidy = contents(cube)
        cube.undo(done)
        assert contents(cube)[:-1] == raw[:-1]
        back = contents(cube)
    for seed in range(KILLS):
        killed_at_work(store, at=POINTS[seed % len(POINTS)], after=draw.uniform(0, 0.1))
        with tidy_worker.opened(store) as memos:
            seen.update(states_of(memos, raw=raw, tidy=tidy, back=back))
            assert memos.verify_audit().ok
    assert seen["raw"], "no worker was killed before its run was done"
    assert seen["tidy"], "no worker was killed between a run and its end"
    assert seen["back"], "no worker came to take a run back"


def states_of(memos: MemOS, **known: list[object]) -> list[str]:
    """Return as what each cube stands there; then what was begun is gone on with, and ends as in peace."""
    found = []
    memos.drain()
    for header in memos.cubes():
        cube = memos.cube(header.name)
        if not runs_of(memos, cube):
            filled(cube)  # which may have been cut off; what is there is not said twice
        there = [name for name, stands in known.items() if contents(cube) == stands]
        assert there, "half of a run is there"
        found += there
        if there == ["raw"]:
            cube.consolidate(SETTINGS)
            assert contents(cube) == known["tidy"]
        if there != ["back"]:
            cube.undo(runs_of(memos, cube)[-1])
            assert contents(cube) == known["back"]
            assert len(cube.recall("Mira owns 3 drums", k=WHOLE)) == WHOLE, "not all that came back is found"
    return found


def runs_of(memos: MemOS, cube: MemCube) -> list[int]:
    lines = [line for line in memos.audit() if line.cube == cube.id and line.verb == "consolidate"]
    return [line.change for line in lines if line.change is not None]


def contents(cube: MemCube) -> list[object]:
    """Return what a cube holds in sight and in its archive, without ids, times and uses."""
    every = [*cube.list(), *cube.list(state="archived")]
    texts = {each.id: each.text for each in every}
    return [
        sorted(
            (each.text, each.kind, sorted((link.relation, texts[link.target]) for link in lineage))
            for each in shown
            for lineage in [each.header.behaviour.lineage]
        )
        for shown in (cube.list(), cube.list(state="archived"))
    ]


def killed_at_work(store: Path, *, at: str, after: float) -> None:
    """Kill a worker so many seconds after it says that it has come to a point of its work."""
    command = [sys.executable, "-m", "tests.crash.tidy_worker", str(store)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as worker:
        assert worker.stdout is not None
        assert f"{at}\n" in worker.stdout, "the worker ended by itself"
        time.sleep(after)
        worker.kill()
