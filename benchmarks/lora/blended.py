"""Adapters of several people on at once: what each of them still knows."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.lora.taught import Pupil
from memos_core import Runtime
from memos_core.lora_training import teacher_of
from memos_core.tiers.lora import blend
from memos_core.tiers.lora.gate import examined


def blended(runtime: Runtime, pupils: Sequence[Pupil], count: int) -> dict[str, Any]:
    """Return the means of the examinations of the first `count` people, with all their adapters on."""
    teacher = teacher_of(runtime.engine)
    on = teacher.pupil(blend.cat([pupil.weights for pupil in pupils[:count]]))
    base = teacher.pupil(None)
    found = [examined(pupil.lessons, on, base) for pupil in pupils[:count]]
    figures = ("choice", "contains", "unknown", "neutral")
    means = {name: round(statistics.mean(getattr(each, name) for each in found), 3) for name in figures}
    return {"adapters": count, **means}
