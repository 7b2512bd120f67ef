"""The same person taught by each method; and taught wrong answers, from which nothing true can be learned."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from memos_core import MemCube, Recipe, Runtime, Syllabus, Thresholds
from memos_core.adapter import failures
from memos_core.lora_training import as_said, teacher_of
from memos_core.tiers.lora.curriculum import curriculum, shuffled
from memos_core.tiers.lora.gate import chosen


def by_method(cube: MemCube, runtime: Runtime, recipe: Recipe, *, method: str) -> dict[str, Any]:
    """Return what an adapter by this method knows and cost: the gate's own examination, without a control.

    The questions depend on the memories alone, so every method is asked the same.
    """
    adapter = runtime.train(cube, recipe=replace(recipe, method=method))
    evaluation = replace(adapter.evaluation, control=None)
    return {
        "evaluation": asdict(evaluation),
        "failed": list(failures(evaluation, Thresholds())),
        "steps": adapter.steps,
        "seconds": round(adapter.train_seconds, 1),
        "bytes": adapter.size,
    }


def control(cube: MemCube, runtime: Runtime, recipe: Recipe) -> dict[str, Any]:
    """Return `choice` of who learned wrong answers, in as many steps as the true ones take."""
    memories, teacher = cube.list(), teacher_of(runtime.engine)
    lessons = curriculum(memories, Syllabus())
    steps = recipe.steps_for(len(lessons.train))
    learned = teacher.taught(as_said(shuffled(memories, Syllabus())), replace(recipe, steps=steps))
    return {
        "choice": chosen(lessons, teacher.pupil(learned.weights)),
        "steps": learned.steps,
        "seconds": round(learned.seconds, 1),
    }
