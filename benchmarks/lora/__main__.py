"""What an adapter knows, costs and saves. Prints tables and writes `benchmarks/results/lora.json`.

`python -m benchmarks.lora [--facts 5 20 50] [--people 3] [--seed 2] [--control] [--blend 1 2 4 8]`

People who do not exist are made by a seed; the recipe was chosen on others (seed 101). Each person is a
cube, an adapter is trained on it, and its gate's own examination is the first table. Then the same held-out
questions are answered in four ways: by the base alone, with the adapter, with the text in the prompt, with
both. `--blend` puts adapters of so many people on at once.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.latency.machine import machine
from benchmarks.lora.blended import blended
from benchmarks.lora.table import rendered
from benchmarks.lora.taught import Pupil, taught, told
from memos_core import MemOS, Recipe, Runtime

RESULT = Path(__file__).parents[1] / "results" / "lora.json"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, write."""
    asked = _arguments(arguments)
    recipe = Recipe() if asked.steps is None else Recipe(steps=asked.steps)
    rows, pupils = [], list[Pupil]()
    with tempfile.TemporaryDirectory() as folder, Runtime.open() as runtime:
        for facts in asked.facts:
            for number in range(asked.people):
                with MemOS.open(Path(folder) / f"{facts}-{number}") as memos:
                    cube = told(memos, seed=asked.seed + number, facts=facts)
                    row, pupil = taught(
                        memos, cube, runtime, recipe, control=asked.control, questions=asked.questions
                    )
                rows.append({"facts": facts, "person": number, **row})
                pupils.append(pupil)
                print(json.dumps(rows[-1]), flush=True)
        together = [blended(runtime, pupils, count) for count in asked.blend if count <= len(pupils)]
    record = {
        "benchmark": "lora",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "note": asked.note,
        "model": "SmolLM2-135M-Instruct",
        "seed": asked.seed,
        "recipe": asdict(recipe),
        "rows": rows,
        "blended": together,
    }
    asked.out.write_text(json.dumps(record, indent=1) + "\n")
    print(rendered(record))


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lora", description=__doc__)
    parser.add_argument("--facts", type=int, nargs="+", default=[5, 20, 50])
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--steps", type=int, default=None, help="the recipe's most steps")
    parser.add_argument("--questions", type=int, default=16, help="asked in each of the four ways")
    parser.add_argument("--control", action="store_true", help="train on wrong answers, too")
    parser.add_argument("--blend", type=int, nargs="*", default=[1, 2, 4, 8])
    parser.add_argument("--note", default="", help="what else the machine did")
    parser.add_argument("--out", type=Path, default=RESULT)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
