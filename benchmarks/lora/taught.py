"""One person, taught: what the gate says, and how the same is answered in five ways, at which cost."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.lora.costs import Way, break_even
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
    """What somebody's cube taught, what it is asked, and the seconds that its training took."""

    weights: Weights
    lessons: Curriculum
    seconds: float


def told(memos: MemOS, *, seed: int, facts: int) -> MemCube:
    """Return a cube with a person's facts."""
    who, sentences = person(seed, facts)
    cube = memos.cube(who)
    known = {memory.text for memory in cube.list()}
    for sentence in sentences:
        if sentence not in known:
            cube.remember(sentence)
    return cube


def pupil_of(memos: MemOS, cube: MemCube, runtime: Runtime, recipe: Recipe) -> Pupil:
    """Return what a cube's adapter was taught; it is trained where it is not there."""
    adapter = runtime.train(cube, recipe=recipe)
    with tempfile.TemporaryDirectory() as folder:
        memos.export_adapter(adapter, Path(folder) / "adapter")
        weights = layout.unpack((Path(folder) / "adapter" / layout.MODEL).read_bytes()).weights
    return Pupil(weights, curriculum(cube.list(), Syllabus()), adapter.train_seconds)


def taught(
    memos: MemOS, cube: MemCube, runtime: Runtime, recipe: Recipe, *, control: bool, questions: int
) -> tuple[dict[str, Any], Pupil]:
    """Train a cube's adapter; return the figures, and the adapter with its examination."""
    adapter = runtime.train(cube, recipe=recipe, control=control)
    pupil = pupil_of(memos, cube, runtime, recipe)
    facts = [pair for pair in pupil.lessons.held_out if pair.kind == "fact"]
    asked = drawn(pupil.lessons.seed, "four ways", facts)[:questions]
    memos.evict(memos.segments(cube))  # of an earlier run: making them is part of what they cost
    ways = _in_every_way(runtime, cube, pupil.weights, asked)
    costs = {
        "text": Way(once=0.0, each=ways["text"]["seconds"]),
        "KV": Way(once=ways["kv"]["build_seconds"], each=ways["kv"]["seconds"]),
        "LoRA": Way(once=adapter.train_seconds, each=ways["adapter"]["seconds"]),
    }
    row = {
        "evaluation": asdict(adapter.evaluation),
        "failed": list(adapter.failed),
        "steps": adapter.steps,
        "seconds": round(adapter.train_seconds, 1),
        "bytes": adapter.size,
        "ways": ways,
        "tokens_saved": ways["text"]["prompt_tokens"] - ways["adapter"]["prompt_tokens"],
        "costs": {name: asdict(way) for name, way in costs.items()},
        "break_even": break_even(costs),
    }
    return row, pupil


def _in_every_way(
    runtime: Runtime, cube: MemCube, weights: Weights, asked: Sequence[Pair]
) -> dict[str, dict[str, float]]:
    tuned = Runtime(teacher_of(runtime.engine).engine_with(weights, digest="b" * 64))
    return {
        "base": _answers(runtime, None, asked),
        "adapter": _answers(tuned, None, asked),
        "text": _answers(runtime, cube, asked),
        "kv": _attached(runtime, cube, asked),
        "both": _answers(tuned, cube, asked),
    }


def _attached(runtime: Runtime, cube: MemCube, asked: Sequence[Pair]) -> dict[str, float]:
    """Return the figures with the text's states attached, and the seconds that it took to make them."""
    begin = time.perf_counter()
    runtime.build(cube)
    build = time.perf_counter() - begin
    return {**_answers(runtime, cube, asked, reuse=True), "build_seconds": round(build, 4)}


def _answers(
    runtime: Runtime, cube: MemCube | None, asked: Sequence[Pair], *, reuse: bool = False
) -> dict[str, float]:
    """Return the share of right answers, and the medians of prompt tokens and seconds to the first token."""
    right, tokens, seconds = [], list[int](), list[float]()
    for pair in asked:
        begin = time.perf_counter()
        reply = runtime.chat(pair.prompt, cube, sampling=_ANSWER, reuse=reuse)
        right.append(holds(reply.text, pair.value))
        tokens.append(reply.prompt_tokens)
        seconds.append(reply.first_token or time.perf_counter() - begin)
    return {
        "contains": round(statistics.mean(right), 3),
        "prompt_tokens": statistics.median(tokens),
        "seconds": round(statistics.median(seconds), 4),
    }
