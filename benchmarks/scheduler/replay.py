"""What each policy of the planner saves. Prints tables and writes `benchmarks/results/scheduler_replay.json`.

`python -m benchmarks.scheduler.replay [--data ../shared/data] [--tune] [--quick]`

Traces of questions and writings are replayed under `plan()` in a house of which only the seconds and the
bytes are real. Writing a state and loading keys are measured here and now; computing states follows
the cost law of the benchmark of eviction. The oracle knows when each cube is asked next: it keeps what
saves most seconds a byte until then, and makes what lacks right before it is asked.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.latency.machine import machine
from benchmarks.retrieval.corpora import LOCOMO, LONGMEMEVAL, missing
from benchmarks.scheduler.house import Books, Constants, House, foreseen, untouched
from benchmarks.scheduler.replay_table import rendered
from benchmarks.scheduler.traces import MEMORY, Trace, drifting, recorded
from memos_core import MemOS, Message
from memos_core.scheduler.policies import COST, LFU, LRU, Policy, Prices, by_cost, by_likeness
from memos_core.scheduler.stats import Budget
from memos_core.testing import HashEmbedder, InMemoryIndex
from memos_core.vault.blobs import Blobs

RESULT = Path(__file__).parents[1] / "results" / "scheduler_replay.json"
DATA = Path(__file__).parents[3] / "shared" / "data"
SHARES = (0.05, 0.1, 0.25, 0.5)  # budgets, as shares of what all cubes take in the end
TUNING_SHARES = (0.1, 0.5)
TUNING_SEEDS, FRESH_SEEDS = (1, 2), (201, 202, 203)
KNOWN, FRESH = "not tuned on, but looked at while rules were made", "never looked at before"
BASELINES: tuple[Policy, ...] = (LRU, LFU, by_likeness())
GRID = [
    {"ahead": ahead, "reserve": reserve, "grip": grip}
    for ahead in (3600.0, 86_400.0)
    for reserve in (0.25, 0.5)
    for grip in (0.25,)
]


def measured() -> Constants:
    """Return what writing a state and loading keys cost on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        put = _put(Blobs(Path(folder) / "blobs"))
        key_load, key_size = _keys(Path(folder) / "store")
    return Constants(put=put, key_load=key_load, key_size=key_size)


def _put(blobs: Blobs, *, size: int = 8_000_000, times: int = 9) -> float:
    """Return the seconds a byte, as the least of several: others may be at the disk."""
    found = []
    for _ in range(times):
        data = os.urandom(size)
        begin = time.perf_counter()
        blobs.put(data)
        found.append((time.perf_counter() - begin) / size)
    return min(found)


def _keys(folder: Path, *, memories: int = 2000, dimensions: int = 384) -> tuple[float, float]:
    """Return the seconds and the bytes a memory, where a cube becomes resident."""
    embedder, index = HashEmbedder(dimensions=dimensions), InMemoryIndex(dimensions=dimensions)
    with MemOS.open(folder, embedder=embedder, index=index) as memos:
        cube = memos.cube("measured")
        cube.ingest(
            [Message("user", f"Turn {n} says a thing or two of topic {n % 50}.") for n in range(memories)]
        )
        begin = time.perf_counter()
        cube.recall("topic 7")
        took = time.perf_counter() - begin
        warm = time.perf_counter()
        cube.recall("topic 8")
        took -= time.perf_counter() - warm
        return max(took, 0.0) / memories, memos.stats().resident_size / memories


def budget_of(trace: Trace, constants: Constants, share: float) -> Budget:
    """Return this share of what all cubes take at the end, and half an hour of training a day."""
    tokens = sum(trace.start.values()) + sum(event.writes for event in trace.events)
    return Budget(
        ram=int(share * tokens / MEMORY * constants.key_size),
        disk=int(share * tokens * constants.engine.token),
        training=1800,
    )


def compared(
    trace: Trace,
    constants: Constants,
    policies: Sequence[Policy],
    say: Callable[[str], None],
    shares: Sequence[float] = SHARES,
) -> list[dict[str, Any]]:
    """Return a row for each budget: what each policy spends, and saves of what the oracle saves."""
    nothing = untouched(trace, constants).cost(constants.idle)
    rows = []
    for share in shares:
        say(f"{trace.name}: {share:.0%}")
        budget = budget_of(trace, constants, share)
        books = {"oracle": foreseen(trace, constants, budget)}
        books |= {each.name: House(trace, constants, budget, each).replayed() for each in policies}
        books["predicting"] = House(trace, constants, budget, COST, predicts=True).replayed()
        saved = {name: nothing - each.cost(constants.idle) for name, each in books.items()}
        rows.append(
            {
                "share": share,
                "disk": budget.disk,
                "ram": budget.ram,
                "saved": {name: round(each, 1) for name, each in saved.items()},
                "of_oracle": {name: round(each / saved["oracle"], 4) for name, each in saved.items()},
                "books": {name: _rounded(each) for name, each in books.items()},
            }
        )
    return rows


def _rounded(books: Books) -> dict[str, float]:
    return {name: round(value, 1) for name, value in asdict(books).items()}


def tuned(traces: Sequence[Trace], constants: Constants, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the grid that the settings were chosen from: the mean share of the oracle's saving."""
    cases = [(trace, budget_of(trace, constants, share)) for trace in traces for share in TUNING_SHARES]
    without = [untouched(trace, constants).cost(constants.idle) for trace, _ in cases]
    best = [
        nothing - foreseen(trace, constants, budget).cost(constants.idle)
        for (trace, budget), nothing in zip(cases, without, strict=True)
    ]
    found = []
    for each in GRID:
        prices = Prices(idle=constants.idle, ahead=each["ahead"])
        policy = by_cost(prices, grip=each["grip"], reserve=each["reserve"])
        shares = [
            (nothing - House(trace, constants, budget, policy).replayed().cost(constants.idle)) / saved
            for (trace, budget), nothing, saved in zip(cases, without, best, strict=True)
        ]
        mean = round(sum(shares) / len(shares), 4)
        found.append({**each, "mean": mean, "worst": round(min(shares), 4)})
        say(str(found[-1]))
    return found


def described(trace: Trace, split: str, rows: list[dict[str, Any]], constants: Constants) -> dict[str, Any]:
    """Return a trace's part of the record."""
    return {
        "trace": trace.name,
        "split": split,
        "cubes": len(trace.start),
        "asked": trace.asked,
        "written": len(trace.events) - trace.asked,
        "without": round(untouched(trace, constants).waited, 1),
        "rows": rows,
    }


def main() -> None:
    arguments = _arguments()
    begin = time.perf_counter()

    def say(what: str) -> None:
        print(f"{time.perf_counter() - begin:6.0f} s  {what}", file=sys.stderr, flush=True)

    constants = measured()
    say(
        f"put {constants.put:.3g} s a byte, key {constants.key_load:.3g} s and {constants.key_size:.0f} bytes"
    )
    days = 1 if arguments.quick else 2
    tuning = [drifting(seed=seed, days=days) for seed in TUNING_SEEDS]
    fresh = [drifting(seed=seed, days=days) for seed in FRESH_SEEDS]
    known: list[Trace] = []  # nothing was tuned on them, but rules were made with a look at them
    if lacking := missing(arguments.data):
        print(f"without the recorded traces: {arguments.data} lacks {', '.join(lacking)}", file=sys.stderr)
    elif not arguments.quick:
        tuning.append(recorded(arguments.data, corpus=LONGMEMEVAL, half=0))
        known.append(recorded(arguments.data, corpus=LONGMEMEVAL, half=1))
        known.append(recorded(arguments.data, corpus=LOCOMO))
    record = _record(arguments, constants)
    if arguments.tune:
        record["grid"] = tuned(tuning, constants, say)
    elif arguments.result.exists():
        record["grid"] = json.loads(arguments.result.read_text(encoding="utf-8")).get("grid", [])
    policies = [replace(COST), *BASELINES]
    record["traces"] = [
        described(trace, split, compared(trace, constants, policies, say), constants)
        for split, traces in (("tuned on", tuning), (KNOWN, known), (FRESH, fresh))
        for trace in traces
    ]
    record["seconds"] = round(time.perf_counter() - begin)
    arguments.result.parent.mkdir(parents=True, exist_ok=True)
    arguments.result.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(rendered(record))


def _record(arguments: argparse.Namespace, constants: Constants) -> dict[str, Any]:
    given = [f"--{name}" for name in ("tune", "quick") if getattr(arguments, name)]
    return {
        "command": " ".join(["python -m benchmarks.scheduler.replay", *given]),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "constants": {
            "put_seconds_per_mb": constants.put * 1e6,
            "key_load_seconds": constants.key_load,
            "key_size": round(constants.key_size),
            "engine": constants.engine.name,
            "train_seconds_per_token": constants.train,
            "idle_price": constants.idle,
        },
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scheduler.replay", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the development data")
    parser.add_argument("--tune", action="store_true", help="try the grid of settings on the tuning traces")
    parser.add_argument("--quick", action="store_true", help="short made-up traces only: does it run?")
    parser.add_argument("--result", type=Path, default=RESULT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
