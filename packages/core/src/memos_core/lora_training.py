"""Training a cube's adapter: lessons of what is stable, taught, examined, kept with what it came from."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.util import find_spec
from typing import Any, Never

from memos_core.activation.choose import unsuperseded
from memos_core.activation.plan import PREFACE, SYSTEM_TEXT
from memos_core.adapter import (
    KIND,
    AdapterHeader,
    Base,
    Evaluation,
    adapter_key,
    base_of,
    failures,
    to_json,
)
from memos_core.core import Core
from memos_core.cube import CubeHeader, Principal, Right
from memos_core.errors import (
    BackendError,
    Conflict,
    InvalidInput,
    NothingToTeach,
    UnderWay,
)
from memos_core.governance import NEEDS
from memos_core.inference import AnyEngine
from memos_core.lesson import Curriculum, Pair
from memos_core.lora import Adapter, adapter_of
from memos_core.lora_orders import Order, renewal_of
from memos_core.lora_phrases import NO_PHRASES, Phrases, Phrasings
from memos_core.lora_states import States
from memos_core.memcube import MemCube
from memos_core.memory import Memory, Trust
from memos_core.query import Where, checked_where
from memos_core.tiers.lora.curriculum import curriculum, shuffled
from memos_core.training import Learned, Teacher, TrainingProgress
from memos_core.vault import artifacts
from memos_core.vault.renewal import RENEWAL

_MOST_READ = 100_000  # memories
_under_way: set[tuple[str, str]] = set()  # folder and cube of each training of this process
_marking = threading.Lock()


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


def can_teach(engine: AnyEngine) -> bool:
    """Return whether the model of an engine can be taught on this machine, as it is."""
    if engine.identity.adapter:
        return False
    if isinstance(engine, Teacher):
        return True
    return engine.identity.engine == "transformers" and find_spec("peft") is not None


def trained(
    cube: MemCube,
    teacher: Teacher,
    engine: AnyEngine,
    order: Order,
    progress: Callable[[TrainingProgress], None] | None,
    heed: Callable[[], None] | None,
) -> Adapter:
    """Return the cube's adapter by this order: the one that is there, or one trained now.

    Interrupted, it goes on where it stopped when it is ordered again. See `Runtime.train`.
    """
    core, who = cube._core, cube._principal
    header, memories = read_for(core, who, cube.id, order.stable, NEEDS["train"])
    lessons = curriculum(memories, order.syllabus)
    if not lessons.train:
        raise NothingToTeach(header.name)
    if engine.identity.adapter:
        raise InvalidInput("the model has an adapter on already: take it off, and train on the base alone")
    with _alone(core, header):
        phrasings = None if order.phraser is None else Phrasings(core, header, order.phraser)
        phrases = NO_PHRASES if phrasings is None else phrasings.of(memories, lessons, order.syllabus)
        job = _Job(core, who, header, lessons, order, base_of(engine.identity), phrases)
        known = job.known()
        if known is not None:
            job.tell_renewal(known)
        adapter = known or job.done(teacher, memories, progress, heed or _unheard)
        if phrasings is not None:
            phrasings.clear()
        return adapter


class _Job:
    """One training of one cube, whose states and end are kept in the store with their lineage."""

    def __init__(
        self,
        core: Core,
        who: Principal,
        cube: CubeHeader,
        lessons: Curriculum,
        order: Order,
        base: Base,
        phrases: Phrases,
    ) -> None:
        self._core, self._who, self._cube, self._base = core, who, cube, base
        self._lessons, self._order, self._phrases = phrases.among(lessons), order, phrases
        lessons = self._lessons
        self._syllabus = {**asdict(order.syllabus), **phrases.told}
        self._recipe = replace(order.recipe, steps=order.recipe.steps_for(len(lessons.train)))
        self.key = adapter_key(
            base=base,
            cube=cube.id,
            sources=lessons.sources,
            syllabus=self._syllabus,
            recipe=self._recipe,
        )
        self._states = States(core, cube.id, job=self.key, engine=base.weights, sources=lessons.sources)

    def known(self) -> Adapter | None:
        """Return the adapter if it was trained before."""
        with self._core.reading(self._who, self._cube.id) as (view, cube):
            found = artifacts.known(view.connection, cube, [self.key])
        return adapter_of(found[self.key], self._cube) if found else None

    def tell_renewal(self, known: Adapter) -> None:
        """Keep beside an adapter that is there whether it is to be renewed, where that was said."""
        if self._order.renew is None:
            return
        with self._core.catalog.write(self._who) as tx:
            cube = tx.enter(self._cube.id, self._who, NEEDS["train"])
            if artifacts.known(tx.connection, cube, [known.key]):
                artifacts.tell(tx.connection, known.key, {RENEWAL: self._renewal()})

    def _renewal(self) -> Mapping[str, Any] | None:
        return renewal_of(self._order, by=self._who.name, purpose=self._who.purpose)

    def done(
        self,
        teacher: Teacher,
        memories: list[Memory],
        progress: Callable[[TrainingProgress], None] | None,
        heed: Callable[[], None],
    ) -> Adapter:
        """Teach, examine and keep; return what came of it."""
        learned = teacher.taught(
            as_said(self._lessons),
            self._recipe,
            saved=self._states.last(),
            save=self._save,
            progress=progress,
        )
        evaluation = self._examined(teacher, learned, memories, heed)
        self._keep(learned, evaluation)
        self._states.clear()
        found = self.known()
        if found is None:
            self._changed()
        return found

    def _examined(
        self, teacher: Teacher, learned: Learned, memories: list[Memory], heed: Callable[[], None]
    ) -> Evaluation:
        from memos_core.tiers.lora.gate import examined  # noqa: PLC0415 - only after a training

        control = None
        if self._order.control:
            wrong = self._phrases.among(shuffled(memories, self._order.syllabus))
            control = teacher.pupil(
                teacher.taught(as_said(wrong), self._recipe, progress=lambda _: heed()).weights
            )
        return examined(
            self._lessons,
            teacher.pupil(learned.weights),
            teacher.pupil(None),
            control=control,
            progress=lambda _asked, _of: heed(),
        )

    def _keep(self, learned: Learned, evaluation: Evaluation) -> None:
        from memos_core.tiers.lora import layout  # noqa: PLC0415 - an extra

        header = AdapterHeader(
            key=self.key,
            base=self._base,
            cube=self._cube.id,
            sources=self._lessons.sources,
            syllabus=self._syllabus,
            recipe=self._recipe,
            steps=learned.steps,
            tensors=layout.digest_of(learned.weights.tensors),
            evaluation=evaluation,
            failed=failures(evaluation, self._order.thresholds),
        )
        renewal = self._renewal()
        kept = self._core.derived.store(
            self._cube.id,
            key=self.key,
            kind=KIND,
            engine=self._base.weights,
            data=layout.pack(learned.weights, header),
            facts={"header": json.loads(to_json(header)), **({RENEWAL: renewal} if renewal else {})},
            build_seconds=learned.seconds,
            sources=self._lessons.sources,
        )
        if not kept:
            self._changed()

    def _save(self, state: bytes) -> None:
        if not self._states.keep(state):
            self._changed()

    def _changed(self) -> Never:
        """Raise Conflict or NotFound for the memory that was changed while it was learned."""
        with self._core.reading(self._who, self._cube.id) as (view, cube):
            for origin in self._lessons.sources:
                found = view.memory(cube, origin.memory_id)
                if found.version != origin.version:
                    raise Conflict(origin.memory_id, expected=origin.version, found=found.version)
        raise BackendError("the adapter was dropped while it was trained: train it again")


def _unheard() -> None:
    """Nobody wants to be asked whether to go on."""


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
