"""Training a cube's adapter: lessons of what is stable, taught, examined, kept with what it came from."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Never

from memos_core.activation.choose import unsuperseded
from memos_core.activation.plan import PREFACE, SYSTEM_TEXT
from memos_core.adapter import (
    KIND,
    AdapterHeader,
    Base,
    Evaluation,
    Recipe,
    Thresholds,
    adapter_key,
    base_of,
    failures,
    to_json,
)
from memos_core.core import Core
from memos_core.cube import CubeHeader, Principal, Right
from memos_core.errors import BackendError, Conflict, FormatError, InvalidInput, NotFound, UnderWay
from memos_core.governance import NEEDS
from memos_core.inference import AnyEngine
from memos_core.lesson import Curriculum, Pair
from memos_core.lora import STANDING, Adapter, adapter_of
from memos_core.memcube import MemCube
from memos_core.memory import Memory, Trust
from memos_core.query import Where, checked_where
from memos_core.tiers.lora.curriculum import Syllabus, curriculum, shuffled
from memos_core.training import Learned, Teacher, TrainingProgress
from memos_core.vault import artifacts

log = logging.getLogger(__name__)

_MOST_READ = 100_000  # memories
_under_way: set[tuple[str, str]] = set()  # folder and cube of each training of this process
_marking = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be trained: how lessons are made, which memories, how, and what it has to reach."""

    syllabus: Syllabus
    recipe: Recipe
    thresholds: Thresholds
    stable: Where | None
    control: bool


def teacher_of(engine: AnyEngine) -> Teacher:
    """Return what teaches the model of an engine; InvalidInput where nothing does."""
    if isinstance(engine, Teacher):
        return engine
    if engine.identity.engine != "transformers":
        raise InvalidInput(f"a model on {engine.identity.engine} cannot be taught: open it by Runtime.open()")
    try:
        from memos_core.tiers.lora.teacher import HfTeacher  # noqa: PLC0415 - torch and PEFT
    except ImportError as exc:
        raise BackendError(
            f"teaching a model needs a package that is missing ({exc.name}): "
            f"pip install 'memos-suite-core[local-llm,lora]'"
        ) from exc
    teacher: Teacher = HfTeacher(engine)  # type: ignore[arg-type] # it said that it is on transformers
    return teacher


def trained(
    cube: MemCube,
    teacher: Teacher,
    engine: AnyEngine,
    order: Order,
    progress: Callable[[TrainingProgress], None] | None,
) -> Adapter:
    """Return the cube's adapter by this order: the one that is there, or one trained now.

    Interrupted, it goes on where it stopped when it is ordered again. See `Runtime.train`.
    """
    core, who = cube._core, cube._principal
    header, memories = read_for(core, who, cube.id, order.stable, NEEDS["train"])
    lessons = curriculum(memories, order.syllabus)
    if not lessons.train:
        raise InvalidInput(
            f"there is nothing to teach in the cube {header.name!r}: remember() something first"
        )
    if engine.identity.adapter:
        raise InvalidInput("the model has an adapter on already: take it off, and train on the base alone")
    job = _Job(core, who, header, lessons, order, base_of(engine.identity))
    with _alone(core, header):
        known = job.known()
        return known or job.done(teacher, memories, progress)


class _Job:
    """One training of one cube, whose states and end are kept in the store with their lineage."""

    def __init__(
        self, core: Core, who: Principal, cube: CubeHeader, lessons: Curriculum, order: Order, base: Base
    ) -> None:
        self._core, self._who, self._cube, self._base = core, who, cube, base
        self._lessons, self._order = lessons, order
        self._syllabus = asdict(order.syllabus)
        self.key = adapter_key(
            base=base,
            cube=cube.id,
            sources=lessons.sources,
            syllabus=self._syllabus,
            recipe=order.recipe,
        )

    def known(self) -> Adapter | None:
        """Return the adapter if it was trained before."""
        with self._core.reading(self._who, self._cube.id) as (view, cube):
            found = artifacts.known(view.connection, cube, [self.key])
        return adapter_of(found[self.key], self._cube) if found else None

    def done(
        self, teacher: Teacher, memories: list[Memory], progress: Callable[[TrainingProgress], None] | None
    ) -> Adapter:
        """Teach, examine and keep; return what came of it."""
        learned = teacher.taught(
            as_said(self._lessons),
            self._order.recipe,
            saved=self._standing(),
            save=self._save,
            progress=progress,
        )
        evaluation = self._examined(teacher, learned, memories)
        self._keep(learned, evaluation)
        self._clear()
        found = self.known()
        if found is None:
            self._changed()
        return found

    def _examined(self, teacher: Teacher, learned: Learned, memories: list[Memory]) -> Evaluation:
        from memos_core.tiers.lora.gate import examined  # noqa: PLC0415 - only after a training

        control = None
        if self._order.control:
            wrong = shuffled(memories, self._order.syllabus)
            control = teacher.pupil(teacher.taught(as_said(wrong), self._order.recipe).weights)
        return examined(self._lessons, teacher.pupil(learned.weights), teacher.pupil(None), control=control)

    def _keep(self, learned: Learned, evaluation: Evaluation) -> None:
        from memos_core.tiers.lora import layout  # noqa: PLC0415 - an extra

        header = AdapterHeader(
            key=self.key,
            base=self._base,
            cube=self._cube.id,
            sources=self._lessons.sources,
            syllabus=self._syllabus,
            recipe=self._order.recipe,
            steps=learned.steps,
            tensors=layout.digest_of(learned.weights.tensors),
            evaluation=evaluation,
            failed=failures(evaluation, self._order.thresholds),
        )
        kept = self._core.derived.store(
            self._cube.id,
            key=self.key,
            kind=KIND,
            engine=self._base.weights,
            data=layout.pack(learned.weights, header),
            facts={"header": json.loads(to_json(header))},
            build_seconds=learned.seconds,
            sources=self._lessons.sources,
        )
        if not kept:
            self._changed()

    # --- states of the training ----------------------------------------------------------------

    def _standing(self) -> bytes | None:
        """Return the state to go on from; one that is damaged is deleted."""
        for artifact in reversed(self._standings()):
            if artifact.facts["job"] != self.key:
                continue
            try:
                return self._core.blobs.get(artifact.blob)
            except (FormatError, NotFound) as exc:
                log.warning("a state of a training is damaged", extra={"cause": str(exc)})
                self._core.derived.refuse([artifact.key], reason="damaged")
        return None

    def _standings(self) -> list[artifacts.Artifact]:
        with self._core.catalog.read() as view:
            rows = artifacts.of_kind(view.connection, STANDING)
        return [row for row in rows if row.cube_id == self._cube.id]

    def _save(self, state: bytes) -> None:
        """Keep a state in the place of the ones before, this training's or another's of the cube."""
        before = [row.key for row in self._standings()]
        digest = hashlib.sha256(state).hexdigest()
        try:
            kept = self._core.derived.store(
                self._cube.id,
                key=hashlib.sha256(f"{self.key}{digest}".encode()).hexdigest(),
                kind=STANDING,
                engine=self._base.weights,
                data=state,
                facts={"job": self.key},
                build_seconds=0.0,
                sources=self._lessons.sources,
            )
        except BackendError as exc:  # a full disk costs only that it could not go on from here
            log.warning("the state of a training was not kept", extra={"cause": str(exc)})
            return
        if not kept:
            self._changed()
        self._core.derived.refuse(before, reason="replaced")

    def _clear(self) -> None:
        self._core.derived.refuse([row.key for row in self._standings()], reason="finished")

    def _changed(self) -> Never:
        """Raise Conflict or NotFound for the memory that was changed while it was learned."""
        with self._core.reading(self._who, self._cube.id) as (view, cube):
            for origin in self._lessons.sources:
                found = view.memory(cube, origin.memory_id)
                if found.version != origin.version:
                    raise Conflict(origin.memory_id, expected=origin.version, found=found.version)
        raise BackendError("the adapter was dropped while it was trained: train it again")


def read_for(
    core: Core, who: Principal, cube_id: str, stable: Where | None, right: Right
) -> tuple[CubeHeader, list[Memory]]:
    """Return a cube and what of it may be taught: settled, trusted, superseded by nothing in sight."""
    where = Where() if stable is None else checked_where(stable)
    with core.reading(who, cube_id, right) as (view, header):
        found = unsuperseded(view, header, view.settled(header, where, limit=_MOST_READ))
    return header, [memory for memory in found if memory.trust is Trust.TRUSTED]


def as_said(lessons: Curriculum) -> Curriculum:
    """Return the lessons with their passages as a prompt quotes memories."""

    def quoted(pair: Pair) -> Pair:
        if not pair.context:
            return pair
        return replace(pair, context=f"{SYSTEM_TEXT}\n\n{PREFACE}\n{pair.context}\n")

    return replace(lessons, train=tuple(map(quoted, lessons.train)))


@contextmanager
def _alone(core: Core, cube: CubeHeader) -> Generator[None]:
    """Hold a cube's training; UnderWay where it is held."""
    mine = (str(core.folder.resolve()), cube.id)
    with _marking:
        if mine in _under_way:
            raise UnderWay(cube.name)
        _under_way.add(mine)
    try:
        yield
    finally:
        with _marking:
            _under_way.discard(mine)
