"""Before a training and after one: what it would teach and take, and what an adapter says it knows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from memos_core import lora
from memos_core.adapter import AdapterHeader, Base, Recipe, Thresholds, base_of, failures, foreign
from memos_core.core import Core
from memos_core.errors import InvalidInput, NotFound, NothingToTeach
from memos_core.governance import NEEDS
from memos_core.inference import AnyEngine
from memos_core.lesson import Curriculum
from memos_core.lora import Adapter, Examination
from memos_core.lora_orders import Order
from memos_core.lora_phrases import without_phrases
from memos_core.lora_training import as_said, read_for
from memos_core.memcube import MemCube
from memos_core.memory import Memory
from memos_core.segment import Origin
from memos_core.tiers.lora.curriculum import Syllabus, curriculum
from memos_core.training import Teacher, Weights
from memos_core.vault import artifacts
from memos_core.vault.artifacts import Artifact
from memos_core.wearing import Blend, checked


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

    `is_right` says whether that has in it what the memory says, or what another one says of the same;
    `surety` how likely the memory's own words are to it: the mean log-probability of a token (nats, at
    most 0).
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
        raise NothingToTeach(header.name)
    steps = order.recipe.steps_for(len(lessons.train))
    begin = time.perf_counter()
    teacher.taught(as_said(replace(lessons, watched=())), _one_step(order.recipe))
    return Rehearsal(
        memories=len({pair.origin for pair in lessons.train}),
        lessons=len(lessons.train),
        questions=sum(pair.kind == "fact" for pair in lessons.held_out),
        left_out=MappingProxyType(Counter(each.reason for each in lessons.left_out)),
        steps=steps,
        seconds=(time.perf_counter() - begin) * steps,
    )


def _one_step(recipe: Recipe) -> Recipe:
    return replace(recipe, steps=1, look=1)


def recited(cube: MemCube, teacher: Teacher, engine: AnyEngine, *, blend: Blend | None = None) -> list[Claim]:
    """Return what the adapter that answers for a cube says of each of its memories; see `Runtime.recite`."""
    from memos_core.tiers.lora.blend import cat  # noqa: PLC0415 - only for this
    from memos_core.tiers.lora.gate import is_right  # noqa: PLC0415 - only for this

    core, who, base = cube._core, cube._principal, base_of(engine.identity)
    _, memories = read_for(core, who, cube.id, None, NEEDS["recite"])
    active = lora.active(core, who, cube.id, base)
    if active.artifact is None:
        raise NotFound("adapter", f"that answers for {cube.name!r} ({active.why_not})")
    beside = [] if blend is None else _beside(cube, blend, base)
    weights = [_weights(core, each) for each in (active.artifact, *beside)]
    pupil = teacher.pupil(cat(weights) if len(weights) > 1 else weights[0])
    claims = []
    for pair in _lessons(lora.header_of(active.artifact), memories).watched:
        said = pupil.said(pair.prompt, pair.answer).strip()
        (surety,) = pupil.likelihoods(pair.prompt, [pair.answer])
        claims.append(
            Claim(
                origin=pair.origin,
                asked=pair.prompt,
                said=said,
                is_right=is_right(said, pair),
                surety=surety,
            )
        )
    return claims


def examined(
    cube: MemCube,
    adapter: Adapter | None,
    teacher: Teacher,
    engine: AnyEngine,
    thresholds: Thresholds,
    progress: Callable[[int, int], None] | None,
) -> Adapter:
    """Examine an adapter of a cube anew, keep what it came to, return it; see `Runtime.examine`."""
    from memos_core.tiers.lora import gate  # noqa: PLC0415 - only for this

    core, who, base = cube._core, cube._principal, base_of(engine.identity)
    entered, memories = read_for(core, who, cube.id, None, NEEDS["examine"])
    row = _row(cube, adapter, base)
    header, before = lora.header_of(row), lora.adapter_of(row, entered)
    if why_not := foreign(header, base):
        raise InvalidInput(f"the adapter {row.key[:8]} cannot be examined on this model: {why_not}")
    pupil = teacher.pupil(_weights(core, row))
    found = gate.examined(_lessons(header, memories), pupil, teacher.pupil(None), progress=progress)
    found = replace(found, control=before.last.evaluation.control)
    again = Examination(evaluation=found, failed=failures(found, thresholds))
    return lora.examined_again(core, who, cube.id, row.key, again, right=NEEDS["examine"])


def _row(cube: MemCube, adapter: Adapter | None, base: Base) -> Artifact:
    """Return the row of an adapter, or of the one that answers for the cube."""
    core, who = cube._core, cube._principal
    if adapter is None:
        active = lora.active(core, who, cube.id, base)
        if active.artifact is None:
            raise NotFound("adapter", f"that answers for {cube.name!r} ({active.why_not})")
        return active.artifact
    if adapter.cube != cube.id:
        raise InvalidInput(
            f"the adapter {adapter.key[:8]} is of the cube {adapter.cube_name!r}, not {cube.name!r}"
        )
    with core.reading(who, cube.id) as (view, header):
        found = artifacts.known(view.connection, header, [adapter.key], now=view.now)
    if not found:
        raise NotFound("adapter", adapter.key)
    return found[adapter.key]


def _beside(cube: MemCube, blend: Blend, base: Base) -> list[Artifact]:
    """Return the adapters that are on beside a cube's own, in the order in which the cubes are named."""
    others = {each.id: each for each in checked(cube, blend) if each.id != cube.id}
    found = (lora.active(each._core, each._principal, each.id, base) for each in others.values())
    return [each.artifact for each in found if each.artifact is not None][: blend.most - 1]


def _lessons(header: AdapterHeader, memories: Sequence[Memory]) -> Curriculum:
    taught = [memory for memory in memories if Origin(memory.id, memory.version) in header.sources]
    return curriculum(taught, Syllabus(**without_phrases(header.syllabus)))


def _weights(core: Core, artifact: Artifact) -> Weights:
    from memos_core.tiers.lora import layout  # noqa: PLC0415 - an extra

    return layout.unpack(core.blobs.get(artifact.blob)).weights
