"""Training a cube's adapter: lessons of what is stable, taught, examined, kept with what it came from."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
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
    FormatError,
    InvalidInput,
    NothingToTeach,
    UnderWay,
)
from memos_core.governance import NEEDS
from memos_core.inference import AnyEngine
from memos_core.lesson import Curriculum, Pair
from memos_core.lora import Adapter, Examination, adapter_of, examined_again
from memos_core.lora_orders import Order, renewal_of
from memos_core.lora_phrases import NO_PHRASES, Phrases, Phrasings
from memos_core.lora_states import States
from memos_core.memcube import MemCube
from memos_core.memory import Memory, Trust
from memos_core.query import Where, checked_where
from memos_core.tiers.lora.curriculum import curriculum, shuffled
from memos_core.tiers.lora.gate import chosen, examined
from memos_core.training import Learned, Pupil, Teacher, TrainingProgress
from memos_core.vault import artifacts
from memos_core.vault.renewal import RENEWAL

log = logging.getLogger(__name__)

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
            adapter = job.held(known, teacher, memories, heed or _unheard)
        else:
            adapter = job.done(teacher, memories, progress, heed or _unheard)
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
            found = artifacts.known(view.connection, cube, [self.key], now=view.now)
        return adapter_of(found[self.key], self._cube) if found else None

    def tell_renewal(self, known: Adapter) -> None:
        """Keep beside an adapter that is there whether it is to be renewed, where that was said."""
        if self._order.renew is None:
            return
        with self._core.catalog.write(self._who) as tx:
            cube = tx.enter(self._cube.id, self._who, NEEDS["train"])
            if artifacts.known(tx.connection, cube, [known.key], now=tx.now):
                artifacts.tell(tx.connection, known.key, {RENEWAL: self._renewal()})

    def _renewal(self) -> Mapping[str, Any] | None:
        return renewal_of(self._order, by=self._who.name, purpose=self._who.purpose)

    def held(
        self, known: Adapter, teacher: Teacher, memories: list[Memory], heed: Callable[[], None]
    ) -> Adapter:
        """Return an adapter that is there, held to what this order asks of it beyond its last examination."""
        last = known.last
        evaluation = last.evaluation
        if self._order.control and evaluation.control is None:
            found = chosen(self._lessons, self._control(teacher, memories, heed))
            evaluation = replace(evaluation, control=found)
        elif self._order.thresholds is None:
            return known
        failed = tuple(failures(evaluation, self._order.gate))
        if (evaluation, failed) == (last.evaluation, tuple(last.failed)):
            return known
        again = Examination(evaluation=evaluation, failed=failed)
        return examined_again(self._core, self._who, self._cube.id, known.key, again, right=NEEDS["train"])

    def done(
        self,
        teacher: Teacher,
        memories: list[Memory],
        progress: Callable[[TrainingProgress], None] | None,
        heed: Callable[[], None],
    ) -> Adapter:
        """Teach, examine and keep; return what came of it."""
        learned = self._learned(teacher, progress)
        evaluation = self._examined(teacher, learned, memories, heed)
        self._keep(learned, evaluation)
        self._states.clear()
        found = self.known()
        if found is None:
            self._changed()
        return found

    def _learned(self, teacher: Teacher, progress: Callable[[TrainingProgress], None] | None) -> Learned:
        """Teach, from where it stopped; from the beginning where another version of this made that state."""
        taught = partial(
            teacher.taught, as_said(self._lessons), self._recipe, save=self._save, progress=progress
        )
        saved = self._states.last()
        if saved is not None:
            try:
                return taught(saved=saved)
            except FormatError as exc:
                log.warning("a training begins anew", extra={"cause": str(exc)})
                self._states.clear()
        return taught()

    def _control(self, teacher: Teacher, memories: list[Memory], heed: Callable[[], None]) -> Pupil:
        """Return who learned wrong answers instead."""
        wrong = as_said(self._phrases.among(shuffled(memories, self._order.syllabus)))
        return teacher.pupil(teacher.taught(wrong, self._recipe, progress=lambda _: heed()).weights)

    def _examined(
        self, teacher: Teacher, learned: Learned, memories: list[Memory], heed: Callable[[], None]
    ) -> Evaluation:
        control = self._control(teacher, memories, heed) if self._order.control else None
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
            failed=failures(evaluation, self._order.gate),
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
        if not kept and self.known() is None:  # another process may have come to the same
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
