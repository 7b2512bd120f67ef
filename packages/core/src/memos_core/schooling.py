"""The jobs that teach: a cube's adapter is trained, or examined again, by whoever has a model for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from memos_core import lora
from memos_core.adapter import Recipe, Thresholds
from memos_core.core import Core
from memos_core.cube import Right
from memos_core.errors import BackendUnavailable, Conflict, InvalidInput, NotFound, NothingToTeach, UnderWay
from memos_core.governance import NEEDS
from memos_core.lora_orders import ADAPTER, order_of, thresholds_of
from memos_core.memcube import MemCube
from memos_core.scheduler.work import Work
from memos_core.tiers.lora.curriculum import Syllabus
from memos_core.training import TrainingProgress


@runtime_checkable
class School(Protocol):
    """What can teach a model: a `Runtime` that says so."""

    @property
    def teaches(self) -> bool: ...

    def train(
        self,
        cube: MemCube,
        *,
        syllabus: Syllabus,
        recipe: Recipe,
        thresholds: Thresholds | None,
        control: bool,
        renew: bool | None,
        progress: Callable[[TrainingProgress], None],
        heed: Callable[[], None],
    ) -> Any: ...

    def examine(
        self,
        cube: MemCube,
        adapter: lora.Adapter | None,
        *,
        thresholds: Thresholds,
        progress: Callable[[int, int], None],
    ) -> Any: ...


def school_of(runtime: object) -> School | None:
    """Return the runtime if its model can be taught here."""
    return runtime if isinstance(runtime, School) and runtime.teaches else None


def train(core: Core, work: Work, school: School) -> None:
    """Train a cube's adapter as the job says; killed and begun anew it goes on from the last look.

    Its progress counts seconds: those of this attempt, of these and those to go. What is changed while it
    is learned, or trained by somebody else, is tried again. A renewal of what is empty by now is done.
    """
    order = order_of(work.job.payload)
    cube = _cube(core, work, NEEDS["train"])
    begin = time.monotonic()

    def tell(left: float = 0.0) -> None:
        gone = time.monotonic() - begin
        work.progress(round(gone), round(gone + left))

    try:
        school.train(
            cube,
            syllabus=order.syllabus,
            recipe=order.recipe,
            thresholds=order.thresholds,
            control=order.control,
            renew=order.renew or None,
            progress=lambda seen: tell(seen.left),
            heed=tell,
        )
    except NothingToTeach:
        if not order.renew:
            raise
    except (UnderWay, Conflict) as exc:
        raise BackendUnavailable(f"{exc} (the training begins again)") from exc
    except NotFound as exc:
        if exc.what != "memory":
            raise
        raise BackendUnavailable(
            "a memory was forgotten while it was learned: the training begins again"
        ) from exc


def evaluate(core: Core, work: Work, school: School) -> None:
    """Examine an adapter of a cube again, that which the job names or the one that answers.

    Its progress counts questions. Cancelled or overdue it stops before the next one.
    """
    told = dict(work.job.payload)
    key = told.pop(ADAPTER, None)
    if unknown := [name for name in told if not name.startswith("gate.")]:
        raise InvalidInput(f"an examination is told nothing by the name of {', '.join(map(repr, unknown))}")
    thresholds = thresholds_of(told)
    cube = _cube(core, work, NEEDS["examine"])
    adapter = None
    if key is not None:
        adapter = lora.starting(lora.listed(core, work.principal, [cube.id]), str(key))
    school.examine(cube, adapter, thresholds=thresholds, progress=work.progress)


def _cube(core: Core, work: Work, right: Right) -> MemCube:
    if work.job.cube is None:
        raise InvalidInput(f"{work.job.kind} is about a cube")
    with core.reading(work.principal, work.job.cube, right) as (_view, header):
        return MemCube(core, header, work.principal)
