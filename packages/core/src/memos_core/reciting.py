"""Before a training and after one: what it would teach and take, and what an adapter says it knows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from memos_core import lora
from memos_core.adapter import Recipe, base_of
from memos_core.errors import InvalidInput, NotFound
from memos_core.governance import NEEDS
from memos_core.inference import AnyEngine
from memos_core.lora_training import Order, as_said, read_for
from memos_core.memcube import MemCube
from memos_core.segment import Origin
from memos_core.tiers.lora.curriculum import Syllabus, curriculum
from memos_core.training import Teacher


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What a training would teach, and take at most on this machine.

    `memories` and `lessons` are what is taught, `questions` what the examination has about facts.
    `left_out` counts memories by the reason why they are not taught. `seconds` is the time of one step,
    taken now, times the steps; the examination comes on top.
    """

    memories: int
    lessons: int
    questions: int
    left_out: Mapping[str, int]
    steps: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an adapter says when it is asked about a memory of its own, with nothing in the prompt.

    `is_right` says whether that has in it what the memory says, `surety` how likely the memory's own
    words are to it: the mean log-probability of a token (nats, at most 0).
    """

    origin: Origin
    asked: str
    said: str
    is_right: bool
    surety: float


def rehearsed(cube: MemCube, teacher: Teacher, order: Order) -> Rehearsal:
    """Return what a training would teach and take; InvalidInput where there is nothing to teach."""
    header, memories = read_for(cube._core, cube._principal, cube.id, order.stable, NEEDS["rehearse"])
    lessons = curriculum(memories, order.syllabus)
    if not lessons.train:
        raise InvalidInput(
            f"there is nothing to teach in the cube {header.name!r}: remember() something first"
        )
    begin = time.perf_counter()
    teacher.taught(as_said(replace(lessons, watched=())), _one_step(order.recipe))
    return Rehearsal(
        memories=len({pair.origin for pair in lessons.train}),
        lessons=len(lessons.train),
        questions=sum(pair.kind == "fact" for pair in lessons.held_out),
        left_out=MappingProxyType(Counter(each.reason for each in lessons.left_out)),
        steps=order.recipe.steps,
        seconds=(time.perf_counter() - begin) * order.recipe.steps,
    )


def _one_step(recipe: Recipe) -> Recipe:
    return replace(recipe, steps=1, look=1)


def recited(cube: MemCube, teacher: Teacher, engine: AnyEngine) -> list[Claim]:
    """Return what the adapter that answers for a cube says of each of its memories; see `Runtime.recite`."""
    from memos_core.tiers.lora import layout  # noqa: PLC0415 - an extra
    from memos_core.tiers.lora.gate import holds  # noqa: PLC0415 - only for this

    core, who = cube._core, cube._principal
    _, memories = read_for(core, who, cube.id, None, NEEDS["recite"])
    active = lora.active(core, who, cube.id, base_of(engine.identity))
    if active.artifact is None:
        raise NotFound("adapter", f"that answers for {cube.name!r} ({active.why_not})")
    header = lora.header_of(active.artifact)
    taught = [memory for memory in memories if Origin(memory.id, memory.version) in header.sources]
    lessons = curriculum(taught, Syllabus(**header.syllabus))
    pupil = teacher.pupil(layout.unpack(core.blobs.get(active.artifact.blob)).weights)
    claims = []
    for pair in lessons.watched:
        said = pupil.said(pair.prompt).strip()
        (surety,) = pupil.likelihoods(pair.prompt, [pair.answer])
        claims.append(
            Claim(
                origin=pair.origin,
                asked=pair.prompt,
                said=said,
                is_right=holds(said, pair.value),
                surety=surety,
            )
        )
    return claims
