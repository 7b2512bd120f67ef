"""What prediction is worth: `python -m benchmarks.scheduler.predict`.

Somebody goes round cubes of which only some fit into RAM: mostly the same way, now and then another.
The same questions are put to the same store without a predictor and with one; between two questions
there is a pause. Writes `benchmarks/results/scheduler_predict.json`.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.latency.machine import machine
from benchmarks.report import plain
from memos_core import MemCube, MemOS, Message, Predictor
from memos_core.testing import HashEmbedder, InMemoryIndex

RESULT = Path(__file__).parents[1] / "results" / "scheduler_predict.json"
CUBES, MEMORIES, DIMENSIONS = 8, 600, 128
FIT = 3.5  # cubes that fit into RAM
KEPT = 0.85  # of the steps go the usual way
PAUSE = 0.25  # seconds between two questions


def way(*, seed: int, steps: int) -> list[int]:
    """Return the cubes that are asked, one after the other."""
    draw = random.Random(seed)
    here, found = 0, []
    for _ in range(steps):
        found.append(here)
        here = (here + 3) % CUBES if draw.random() < KEPT else draw.randrange(CUBES)
    return found


class Asked(NamedTuple):
    """A question: seconds by the clock, seconds of the asking thread's own work, what was in RAM before."""

    took: float
    worked: float
    resident: bool


def timed(cube: MemCube, number: int) -> Asked:
    """Ask a cube, and return what it took."""
    there = cube.id in cube._core.residents.held()
    begin, work = time.perf_counter(), time.thread_time()
    cube.recall(f"topic {number % 40}")
    return Asked(time.perf_counter() - begin, time.thread_time() - work, there)


def asked(cubes: Sequence[MemCube], steps: Sequence[int]) -> list[Asked]:
    """Ask one after the other, with pauses."""
    found = []
    for number, step in enumerate(steps):
        found.append(timed(cubes[step], number))
        time.sleep(PAUSE)
    return found


def measured(folder: Path, *, steps: int, seed: int, foreseen: bool) -> tuple[list[Asked], Any]:
    """Return the questions of one run over a store that is opened anew, and what was foreseen."""
    embedder, index = HashEmbedder(dimensions=DIMENSIONS), InMemoryIndex(dimensions=DIMENSIONS)
    budget = int(FIT * MEMORIES * 2100)
    with MemOS.open(folder, embedder=embedder, index=index, resident_bytes=budget) as memos:
        cubes = [memos.cube(f"cube {number}") for number in range(CUBES)]
        for cube in cubes:
            if not cube.count():
                cube.ingest([Message("user", f"Turn {n} is of topic {n % 40}.") for n in range(MEMORIES)])
        memos.drain()
        predictor: Predictor | None = memos.predictor() if foreseen else None
        with predictor or nullcontext():
            asked(cubes, way(seed=seed + 1, steps=steps))  # it learns
            found = asked(cubes, way(seed=seed, steps=steps))
            ready = predictor.foreseen if predictor else None
    return found, ready


def figures(runs: Sequence[tuple[list[Asked], Any]]) -> dict[str, Any]:
    """Return the figures of all runs of one kind."""
    found = [each for run, _ in runs for each in run]
    ready = [each for _, each in runs if each is not None]
    there = [each for each in found if each.resident]
    guessed = sum(each.guessed for each in ready), sum(each.questions for each in ready)
    return {
        "predictor": "yes" if ready else "no",
        "questions": len(found),
        "resident": round(len(there) / len(found), 3),
        "guessed": round(guessed[0] / guessed[1], 3) if ready else None,
        "p50 ms": _percentile([each.took for each in found], 0.5),
        "p95 ms": _percentile([each.took for each in found], 0.95),
        "p50 ms of work": _percentile([each.worked for each in found], 0.5),
        "p95 ms of work": _percentile([each.worked for each in found], 0.95),
        "p50 ms of work, resident": _percentile([each.worked for each in there], 0.5) if there else None,
    }


def _percentile(seconds: Sequence[float], share: float) -> float:
    return round(1000 * sorted(seconds)[int(share * len(seconds))], 2)


def first_recalls(folder: Path, *, times: int) -> dict[str, list[Asked]]:
    """Return the questions to a cube that was made ready, that was resident, that was neither, in turn."""
    embedder, index = HashEmbedder(dimensions=DIMENSIONS), InMemoryIndex(dimensions=DIMENSIONS)
    found: dict[str, list[Asked]] = {"predicted": [], "resident": [], "cold": []}
    with MemOS.open(folder, embedder=embedder, index=index) as memos, memos.predictor(most=1) as predictor:
        inn, guild, far = memos.cube("cube 0"), memos.cube("cube 1"), memos.cube("cube 2")
        for _ in range(4):
            for cube in (inn, guild):
                cube.recall("topic 1")
                predictor.wait(10)
        for number in range(times):
            memos._core.residents.drop([guild.id])
            inn.recall("topic 2")
            predictor.wait(10)
            if guild.id not in memos._core.residents.held():
                continue
            found["predicted"].append(timed(guild, number))
            predictor.wait(10)
            found["resident"].append(timed(guild, number + 1))
            predictor.wait(10)
            memos._core.residents.drop([far.id])  # it may have been guessed by now
            found["cold"].append(timed(far, number))
            predictor.wait(10)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scheduler.predict", description=__doc__)
    parser.add_argument(
        "--steps", type=int, default=60, help="questions of a round, as many before to learn from"
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--result", type=Path, default=RESULT)
    arguments = parser.parse_args()
    runs: dict[bool, list[tuple[list[Asked], Any]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "store"
        for seed in range(arguments.rounds):
            for foreseen, done in runs.items():  # in turn: the machine's load is the same for both
                done.append(measured(folder, steps=arguments.steps, seed=5 + 2 * seed, foreseen=foreseen))
        firsts = first_recalls(folder, times=30)
    work = {name: _percentile([each.worked for each in found], 0.5) for name, found in firsts.items()}
    record = {
        "command": "python -m benchmarks.scheduler.predict",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "setting": (
            f"{CUBES} cubes of {MEMORIES} memories, {FIT} of which fit into RAM; {KEPT:.0%} of the questions "
            f"follow the usual way, {PAUSE} s apart; cheap vectors of {DIMENSIONS} dimensions. `resident` is "
            "the share of questions whose cube was in RAM when they came, `guessed` the share whose cube "
            "was among the guesses. `of work` is the processor time of the asking thread, which does not "
            "depend on who else uses the machine. The first questions are asked in turn."
        ),
        "first question, ms": {
            name: _percentile([each.took for each in found], 0.5) for name, found in firsts.items()
        },
        "first question, ms of work": work,
        "predicted to resident, of work": round(work["predicted"] / work["resident"], 3),
        "runs": [figures(done) for done in runs.values()],
    }
    arguments.result.parent.mkdir(parents=True, exist_ok=True)
    arguments.result.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(plain(record))


if __name__ == "__main__":
    main()
