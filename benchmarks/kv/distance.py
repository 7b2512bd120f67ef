"""How far from a full prefill: states put together, and states stored smaller.

Writes `benchmarks/results/kv_distance.json`.

`python -m benchmarks.kv.distance [--model smollm2-135m] [--data ../shared/data] [--quick]`

Each case is a question about some memories. The full prefill answers greedily; every other way has to
tell that answer's tokens, the same ones before each (KL, top-1), the gold answer's tokens
(log-probability), and answers by itself (whether it contains the gold answer).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from benchmarks.kv.distance_bench import FORMS, FULL, MODES, NAIVE, Bench
from benchmarks.kv.distance_table import rendered
from benchmarks.kv.questions import Case, locomo, missing, people
from benchmarks.latency.machine import machine

RESULT = Path(__file__).parents[1] / "results" / "kv_distance.json"
DATA = Path(__file__).parents[3] / "shared" / "data"
CASES = {2: 8, 4: 8, 8: 5, 16: 3}  # of each corpus, by the number of memories
FORMS_AT = 8  # memories


def _averaged(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per mode, in the order they came."""
    names = list(dict.fromkeys([FULL, NAIVE, *MODES, *FORMS]))
    figures = ("kl", "top1", "gold", "contains", "seconds", "bytes", "tokens")
    averaged = []
    for name in names:
        mine = [row for row in rows if row["mode"] == name]
        if mine:
            averaged.append(
                {"mode": name} | {each: float(f"{fmean(row[each] for row in mine):.4g}") for each in figures}
            )
    return averaged


def _cases(arguments: argparse.Namespace, memories: int) -> list[Case]:
    count = 2 if arguments.quick else max(2, round(CASES[memories] * arguments.share))
    cases = list(people(count, memories=memories, seed=arguments.seed))
    if not missing(arguments.data):
        cases += locomo(arguments.data, count, memories=memories, seed=arguments.seed)
    return cases


def main() -> None:
    """Measure, print the tables and write the record."""
    arguments = _arguments()
    if word := missing(arguments.data):
        print(word, file=sys.stderr)
    bench, begin = Bench(arguments.model), time.perf_counter()
    record: dict[str, Any] = {
        "command": _command(arguments),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine() | {"versions": {name: version(name) for name in ("torch", "transformers")}},
        "model": arguments.model,
        "threads": torch.get_num_threads(),
        "seed": arguments.seed,
        "quick": arguments.quick,
        "composed": [],
        "forms": {},
    }
    for memories in (2, 4) if arguments.quick else arguments.memories:
        cases = _cases(arguments, memories)
        rows: list[dict[str, Any]] = []
        forms_here = memories == (2 if arguments.quick else FORMS_AT)
        for case in cases:
            rows += bench.measured(case, forms=forms_here)
        record["composed"].append(
            {
                "memories": memories,
                "cases": len(cases),
                "rows": _averaged([row for row in rows if row["mode"] not in FORMS]),
            }
        )
        if forms_here:
            forms = _averaged([row for row in rows if row["mode"] in (FULL, *FORMS)])
            record["forms"] = {"memories": memories, "cases": len(cases), "rows": forms}
        print(f"{time.perf_counter() - begin:6.0f} s  {memories} memories", file=sys.stderr, flush=True)
    record["seconds"] = round(time.perf_counter() - begin)
    arguments.result.parent.mkdir(parents=True, exist_ok=True)
    arguments.result.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(rendered(record))


def _command(arguments: argparse.Namespace) -> str:
    told = ["--quick"] if arguments.quick else []
    told += [f"--share {arguments.share}"] if arguments.share != 1 else []
    told += (
        [f"--memories {' '.join(map(str, arguments.memories))}"] if arguments.memories != list(CASES) else []
    )
    return " ".join(["python -m benchmarks.kv.distance", *told])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kv.distance", description=__doc__)
    parser.add_argument("--model", default="smollm2-135m", help="a name or a folder that HfEngine opens")
    parser.add_argument("--data", type=Path, default=DATA, help="where LoCoMo's development part is")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--memories", type=int, nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--share", type=float, default=1.0, help="of the questions, where time is short")
    parser.add_argument("--quick", action="store_true", help="two cases each: does it run?")
    parser.add_argument("--result", type=Path, default=RESULT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
