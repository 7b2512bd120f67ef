"""One person, taught: what the gate says, and how the same questions are answered in four ways."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.lora.people import person
from memos_core import MemCube, MemOS, Recipe, Runtime, Sampling, Syllabus
from memos_core.lesson import Curriculum, Pair
from memos_core.lora_training import teacher_of
from memos_core.tiers.lora import layout
from memos_core.tiers.lora.curriculum import curriculum
from memos_core.tiers.lora.gate import holds
from memos_core.tiers.lora.order import drawn
from memos_core.training import Weights

_ANSWER = Sampling(max_tokens=32)


class Pupil(NamedTuple):
    """What somebody's cube taught, and what it is asked."""

    weights: Weights
    lessons: Curriculum


def told(memos: MemOS, *, seed: int, facts: int) -> MemCube:
    """Return a cube with a person's facts."""
    who, sentences = person(seed, facts)
    cube = memos.cube(who)
    for sentence in sentences:
        cube.remember(sentence)
    return cube


def taught(
    memos: MemOS, cube: MemCube, runtime: Runtime, recipe: Recipe, *, control: bool, questions: int
) -> tuple[dict[str, Any], Pupil]:
    """Train a cube's adapter; return the figures, and the adapter with its examination."""
    adapter = runtime.train(cube, recipe=recipe, control=control)
    with tempfile.TemporaryDirectory() as folder:
        memos.export_adapter(adapter, Path(folder) / "adapter")
        weights = layout.unpack((Path(folder) / "adapter" / layout.MODEL).read_bytes()).weights
    lessons = curriculum(cube.list(), Syllabus())
    facts = [pair for pair in lessons.held_out if pair.kind == "fact"]
    asked = drawn(lessons.seed, "four ways", facts)[:questions]
    ways = _in_four_ways(runtime, cube, weights, asked)
    saved = ways["text"]["seconds"] - ways["adapter"]["seconds"]
    row = {
        "evaluation": asdict(adapter.evaluation),
        "failed": list(adapter.failed),
        "steps": adapter.steps,
        "seconds": round(adapter.train_seconds, 1),
        "bytes": adapter.size,
        "ways": ways,
        "uses_to_break_even": round(adapter.train_seconds / saved) if saved > 0 else None,
    }
    return row, Pupil(weights, lessons)


def _in_four_ways(
    runtime: Runtime, cube: MemCube, weights: Weights, asked: Sequence[Pair]
) -> dict[str, dict[str, float]]:
    tuned = Runtime(teacher_of(runtime.engine).engine_with(weights, digest="b" * 64))
    return {
        "base": _answers(runtime, None, asked),
        "adapter": _answers(tuned, None, asked),
        "text": _answers(runtime, cube, asked),
        "both": _answers(tuned, cube, asked),
    }


def _answers(runtime: Runtime, cube: MemCube | None, asked: Sequence[Pair]) -> dict[str, float]:
    """Return the share of right answers, and the medians of prompt tokens and seconds to the first token."""
    right, tokens, seconds = [], list[int](), list[float]()
    for pair in asked:
        begin = time.perf_counter()
        reply = runtime.chat(pair.prompt, cube, sampling=_ANSWER, reuse=False)
        right.append(holds(reply.text, pair.value))
        tokens.append(reply.prompt_tokens)
        seconds.append(reply.first_token or time.perf_counter() - begin)
    return {
        "contains": round(statistics.mean(right), 3),
        "prompt_tokens": statistics.median(tokens),
        "seconds": round(statistics.median(seconds), 4),
    }
