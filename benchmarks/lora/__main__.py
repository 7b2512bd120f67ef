"""What an adapter knows, costs and saves. Prints tables and writes `benchmarks/results/lora.json`.

`python -m benchmarks.lora [--facts 5 20 50] [--people 3] [--seed 2] [--control 1] [--blend 1 2 4 8]
[--stages 3] [--methods pairs distil]`

People who do not exist are made by a seed; the recipe was chosen on others (seed 101). Each person is a
cube, an adapter is trained on it, and its gate's own examination is the first table. Then the same held-out
questions are answered in five ways: by the base alone, with the adapter, with the text in the prompt, with
its states attached, with text and adapter; and from how many uses on which of these is the cheapest.
`--control` trains so many people of each size on wrong answers as well. `--blend` puts adapters of so many
people on at once, `--stages` tells one person more and more. `--methods` teaches the first person of the
first size by each of these methods: same questions, same gate.

Every row is written as soon as it is done, and one that is there is not made again: a run that is killed
goes on where it was, also inside a training, as long as the `--work` folder is there.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.latency.machine import machine
from benchmarks.lora.blended import blended
from benchmarks.lora.compared import by_method, control
from benchmarks.lora.kept import Kept
from benchmarks.lora.sequential import stage
from benchmarks.lora.table import rendered
from benchmarks.lora.taught import Pupil, pupil_of, taught, told
from memos_core import MemCube, MemOS, Recipe, Runtime
from memos_core.adapter import METHODS

RESULT = Path(__file__).parents[1] / "results" / "lora.json"
SECTIONS = ("rows", "controls", "methods", "blended", "stages")
WORK = Path(tempfile.gettempdir()) / "memos-bench-lora"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not there yet, print, write."""
    asked = _arguments(arguments)
    recipe = Recipe() if asked.steps is None else Recipe(steps=asked.steps)
    settings = {
        "benchmark": "lora",
        "model": "SmolLM2-135M-Instruct",
        "seed": asked.seed,
        "questions": asked.questions,
        "recipe": asdict(recipe),
    }
    kept = Kept(asked.out, settings, SECTIONS, note=asked.note)
    kept.record["machine"] = machine()
    with Runtime.open() as runtime:
        run(kept, runtime, recipe, asked)
    kept.write()
    print(rendered(kept.record))


def run(kept: Kept, runtime: Runtime, recipe: Recipe, asked: argparse.Namespace) -> None:
    """Make every row that is not there yet."""
    work = asked.work / f"{asked.seed}"
    people = [(facts, number) for facts in asked.facts for number in range(asked.people)]

    for facts, number in people:
        _person(kept, runtime, recipe, asked, facts=facts, number=number)
    for method in asked.methods:
        key = {"facts": asked.facts[0], "method": method}
        kept.row("methods", key, partial(_by_method, work, runtime, recipe, asked, method))
    for stage_number in range(1, asked.stages + 1):
        key = {"facts": asked.facts[0], "stage": stage_number}
        kept.row("stages", key, partial(_stage, work, runtime, recipe, asked, stage_number))
    pupils: list[Pupil] = []
    for count in (each for each in asked.blend if each <= len(people)):
        kept.row(
            "blended",
            {"adapters": count, "people": [f"{facts} facts, {number}" for facts, number in people[:count]]},
            partial(_blended, work, runtime, recipe, asked, people[:count], pupils),
        )


def _person(
    kept: Kept, runtime: Runtime, recipe: Recipe, asked: argparse.Namespace, *, facts: int, number: int
) -> None:
    """Make the row of a person, and one of their control where that row has none but should."""
    work, controlled = asked.work / f"{asked.seed}", number < asked.control

    def row() -> dict[str, Any]:
        with _told(work, asked, facts, number) as (memos, cube):
            made, _ = taught(memos, cube, runtime, recipe, control=controlled, questions=asked.questions)
        return made

    def beside() -> dict[str, Any]:
        with _told(work, asked, facts, number) as (_memos, cube):
            return control(cube, runtime, recipe)

    key = {"facts": facts, "person": number}
    made = kept.row("rows", key, row)
    if controlled and made["evaluation"]["control"] is None:
        kept.row("controls", key, beside)


@contextmanager
def _told(work: Path, asked: argparse.Namespace, facts: int, number: int) -> Generator[tuple[MemOS, MemCube]]:
    """Open the store of a person, told all their facts."""
    with MemOS.open(work / f"{facts}-{number}") as memos:
        yield memos, told(memos, seed=asked.seed + number, facts=facts)


def _by_method(
    work: Path, runtime: Runtime, recipe: Recipe, asked: argparse.Namespace, method: str
) -> dict[str, Any]:
    with _told(work, asked, asked.facts[0], 0) as (_memos, cube):
        return by_method(cube, runtime, recipe, method=method)


def _stage(
    work: Path, runtime: Runtime, recipe: Recipe, asked: argparse.Namespace, number: int
) -> dict[str, Any]:
    with MemOS.open(work / "stages") as memos:
        return stage(memos, runtime, recipe, seed=asked.seed, facts=asked.facts[0], number=number)


def _blended(
    work: Path,
    runtime: Runtime,
    recipe: Recipe,
    asked: argparse.Namespace,
    people: Sequence[tuple[int, int]],
    pupils: list[Pupil],
) -> dict[str, Any]:
    """Return what these people's adapters know on at once; those not loaded yet are added to `pupils`."""
    for facts, number in people[len(pupils) :]:
        with _told(work, asked, facts, number) as (memos, cube):
            pupils.append(pupil_of(memos, cube, runtime, recipe))
    return blended(runtime, pupils, len(people))


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lora", description=__doc__)
    parser.add_argument("--facts", type=int, nargs="+", default=[5, 20, 50])
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--steps", type=int, default=None, help="the recipe's most steps")
    parser.add_argument("--questions", type=int, default=16, help="asked in each of the ways")
    parser.add_argument(
        "--control", type=int, nargs="?", const=1, default=1, help="people of each size who get a control"
    )
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=[], help="compared on one person")
    parser.add_argument("--blend", type=int, nargs="*", default=[1, 2, 4, 8])
    parser.add_argument("--stages", type=int, default=3, help="so often one person is told more")
    parser.add_argument("--work", type=Path, default=WORK, help="stores of a run that may go on")
    parser.add_argument("--note", default="", help="what else the machine did, kept with each new row")
    parser.add_argument("--out", type=Path, default=RESULT)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
