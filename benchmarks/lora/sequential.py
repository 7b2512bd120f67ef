"""One person who is told more and more: what an adapter still knows of the first, trained anew each time."""

from __future__ import annotations

from typing import Any

from benchmarks.lora.people import person
from benchmarks.lora.taught import pupil_of
from memos_core import MemOS, Recipe, Runtime, Syllabus
from memos_core.lora_training import teacher_of
from memos_core.tiers.lora.curriculum import curriculum
from memos_core.tiers.lora.gate import examined

_FIGURES = ("choice", "contains", "unknown", "neutral")


def stage(
    memos: MemOS, runtime: Runtime, recipe: Recipe, *, seed: int, facts: int, number: int
) -> dict[str, Any]:
    """Return what the adapter of a stage, counted from 1, knows of the first `facts` and of all so far."""
    who, sentences = person(seed, facts * number)
    cube = memos.cube(f"{who} {number}")
    known = {memory.text for memory in cube.list()}
    for sentence in sentences:
        if sentence not in known:
            cube.remember(sentence)
    pupil = pupil_of(memos, cube, runtime, recipe)
    first = [memory for memory in cube.list() if memory.text in set(sentences[:facts])]
    teacher = teacher_of(runtime.engine)
    on, base = teacher.pupil(pupil.weights), teacher.pupil(None)
    parts = {"first": curriculum(first, Syllabus()), "all": pupil.lessons}
    found = {name: examined(lessons, on, base) for name, lessons in parts.items()}
    shares = {name: {each: getattr(one, each) for each in _FIGURES} for name, one in found.items()}
    return {"told": len(sentences), **shares, "seconds": round(pupil.seconds, 1)}
