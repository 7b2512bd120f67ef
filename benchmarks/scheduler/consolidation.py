"""What consolidation finds, what it gets wrong, and whether recall is as good after it.

`python -m benchmarks.scheduler.consolidation [--data FOLDER] [--pairs 50] [--seed 2026]` prints its figures
and writes `benchmarks/results/scheduler_consolidation.json`. Pairs of statements are labelled by how they
were made (`statements.py`); each pair is a cube of its own. R@5 is taken on the development part of LoCoMo
before and after one whole run, with the same questions and weights.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.latency.machine import machine
from benchmarks.retrieval.corpora import LOCOMO, Talk, load
from benchmarks.retrieval.recalled import Clock
from benchmarks.scheduler.statements import Labelled, labelled
from memos_core import Act, Consolidating, MemCube, MemOS
from memos_core.testing import HashEmbedder, InMemoryIndex

RESULT = Path(__file__).parents[1] / "results" / "scheduler_consolidation.json"
LATER = timedelta(days=30)  # after the last session: every session is over, and nothing has rested yet
K = 5


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scheduler.consolidation", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("shared/data"), help="where locomo-dev.json is")
    parser.add_argument("--embedder", default="minilm-int8")
    parser.add_argument("--pairs", type=int, default=50, help="of each kind")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    if not (arguments.data / "locomo-dev.json").is_file():
        print(f"skipped: locomo-dev.json not found in {arguments.data}; name the folder with --data")
        return
    record: dict[str, Any] = {
        "seed": arguments.seed,
        **judged(labelled(arguments.pairs, seed=arguments.seed)),
        **recalled(load(arguments.data, LOCOMO), embedder=arguments.embedder),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: each for name, each in record.items() if name != "machine"}, indent=1))


# --- pairs -----------------------------------------------------------------------------------


def judged(pairs: Sequence[Labelled]) -> dict[str, Any]:
    """Return precision and recall of merges and of successions, and how much of each kind was found."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    clock = Clock(datetime(2026, 1, 1, tzinfo=UTC))
    with tempfile.TemporaryDirectory() as folder:
        given = {"embedder": HashEmbedder(dimensions=64), "index": InMemoryIndex(dimensions=64)}
        with MemOS.open(folder, clock=clock, **given) as memos:
            for number, pair in enumerate(pairs):
                found[pair.label, pair.why][_told(memos.cube(f"{number}"), pair, clock)] += 1
    kinds = [
        {
            "label": label,
            "kind": why,
            "pairs": counts.total(),
            "merged": counts["merge"],
            "superseded": counts["supersede"],
        }
        for (label, why), counts in found.items()
    ]
    return {
        "merges": _quality(kinds, "merged", "same"),
        "successions": _quality(kinds, "superseded", "contradicts"),
        "kinds": kinds,
    }


def _told(cube: MemCube, pair: Labelled, clock: Clock) -> str:
    for text in (pair.one, pair.other):
        cube.remember(text)
        clock.now += timedelta(hours=1)
    acts = [each.act.value for each in cube.consolidate(Consolidating(rest=None, quiet=None)).actions]
    return acts[0] if acts else "nothing"


def _quality(kinds: Sequence[dict[str, Any]], done: str, label: str) -> dict[str, Any]:
    right = sum(each[done] for each in kinds if each["label"] == label)
    wrong = sum(each[done] for each in kinds if each["label"] != label)
    wanted = sum(each["pairs"] for each in kinds if each["label"] == label)
    return {
        "precision": right / max(1, right + wrong),
        "recall": right / wanted,
        "wrong": wrong,
        "pairs": wanted,
    }


# --- recall ----------------------------------------------------------------------------------


def recalled(talks: Sequence[Talk], *, embedder: str) -> dict[str, Any]:
    """Return R@5 before and after a run, paired, with the standard error of the difference over questions."""
    clock = Clock(max(question.now for talk in talks for question in talk.questions))
    acts: Counter[str] = Counter()
    before: list[float] = []
    after: list[float] = []
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder, MemOS.open(folder, embedder=embedder, clock=clock) as memos:
        for talk in talks:
            cube = memos.cube(talk.name)
            for each in talk.sessions:
                cube.ingest(each.messages, session=each.name)
        memos.drain()
        for talk in talks:
            cube, asked_at = memos.cube(talk.name), clock.now
            before += _recalls(cube, talk)
            clock.now = asked_at + LATER
            begin = time.perf_counter()
            run = cube.consolidate()
            seconds += time.perf_counter() - begin
            acts.update(each.act.value for each in run.actions)
            _check_idle(cube)
            clock.now = asked_at
            after += _recalls(cube, talk)
    changes = [new - old for old, new in zip(before, after, strict=True)]
    return {
        "corpus": LOCOMO,
        "embedder": embedder,
        "questions": len(before),
        "R@5 before": mean(before),
        "R@5 after": mean(after),
        "difference": mean(changes),
        "standard error": stdev(changes) / len(changes) ** 0.5,
        "better": sum(each > 0 for each in changes),
        "worse": sum(each < 0 for each in changes),
        "actions": {act.value: acts[act.value] for act in Act},
        "seconds": seconds,
    }


def _recalls(cube: MemCube, talk: Talk) -> list[float]:
    """Return for each question the share of its evidence among the best five."""
    number = {each.name: place for place, each in enumerate(talk.sessions)}
    place = {turn: at for at, turn in enumerate(talk.turns)}
    found: list[float] = []
    for question in talk.questions:
        headers = [each.header.descriptive for each in cube.recall(question.text, k=K).memories]
        turns = {
            place[number[str(each.session)], each.position] for each in headers if each.position is not None
        }
        found.append(len(turns & set(question.gold)) / len(question.gold))
    return found


def _check_idle(cube: MemCube) -> None:
    """Raise where a second run finds something to do."""
    again = cube.consolidate(dry_run=True)
    if again:
        raise AssertionError(f"a second run would do {len(again.actions)} things more")


if __name__ == "__main__":
    main()
