"""What this process does with each kind of job, and the worker that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, Protocol

from memos_core import consolidating, schooling
from memos_core.care import reindexed
from memos_core.consolidation import QUIET, Allowance, Consolidating
from memos_core.consolidation import REST as LONG_REST
from memos_core.core import Core
from memos_core.cube import SYSTEM, Right
from memos_core.errors import Forbidden, InvalidInput, NotFound
from memos_core.job import Kind, Payload, checked_kind
from memos_core.memcube import MemCube
from memos_core.memory import checked_tags
from memos_core.records import Records
from memos_core.scheduler.work import Handler, Work
from memos_core.scheduler.worker import Worker
from memos_core.vault import tx_life
from memos_core.vault.tx import Tx

REST: Final = 30.0  # days after which "archive" puts away what nobody used, unless it is told otherwise
_MAX_REST: Final = 365_000.0
PREFILL_BUDGET: Final = 2048


class Builder(Protocol):
    """What computes states ahead of a question: a `Runtime`."""

    def build(
        self, cube: MemCube, *, system: str | None, budget: int, progress: Callable[[int, int], None]
    ) -> Any: ...


def worker_of(
    core: Core,
    *,
    threads: int,
    kinds: Iterable[str] | None,
    runtime: Builder | None,
    system: str | None,
    handlers: Mapping[str, Handler],
) -> Worker:
    """Return a worker that does these kinds, or all that it can; the store closes it with itself."""
    able = {**own_handlers(core, runtime=runtime, system=system)}
    able |= {checked_kind(kind): _checked(handler) for kind, handler in handlers.items()}
    if kinds is not None:
        wanted = [checked_kind(kind) for kind in checked_tags(kinds, what="kind")]
        if unable := [kind for kind in wanted if kind not in able]:
            raise InvalidInput(
                f"no handler for {', '.join(map(repr, unable))} here: prefill needs runtime=..., train and "
                f"evaluate one whose model can be taught, extract a store that was opened with an extractor, "
                f"and any other kind handlers={{...}}"
            )
        able = {kind: able[kind] for kind in wanted}
    worker = Worker(core.queue, able, threads=threads, bell=core.bell)
    core.workers.add(worker)
    return worker


def own_handlers(core: Core, *, runtime: Builder | None, system: str | None) -> dict[str, Handler]:
    """Return what the store can do by itself, and with the runtime and the extractor that it has."""
    found: dict[str, Handler] = {
        Kind.EXPIRE.value: lambda work: _in_batches(core, work, tx_life.expire_overdue),
        Kind.ARCHIVE.value: lambda work: _archive(core, work),
        Kind.SWEEP.value: lambda work: _sweep(core, work),
        Kind.REINDEX.value: lambda work: _reindex(core, work),
        Kind.CONSOLIDATE.value: lambda work: _consolidate(core, work),
    }
    if core.extraction.extractor is not None:
        found[Kind.EXTRACT.value] = lambda work: _extract(core, work)
    if runtime is not None:
        found[Kind.PREFILL.value] = lambda work: _prefill(core, work, runtime, system)
    if (school := schooling.school_of(runtime)) is not None:
        found[Kind.TRAIN.value] = lambda work: schooling.train(core, work, school)
        found[Kind.EVALUATE.value] = lambda work: schooling.evaluate(core, work, school)
    return found


def _in_batches(core: Core, work: Work, batch: Callable[[Tx], int]) -> None:
    """Move memories in many small transactions, until none is left; each of them may be the last."""
    core.recaller.write_uses()
    done = 0
    while True:
        work.progress(done, done)
        with core.erasing(SYSTEM) as tx:
            moved = batch(tx)
        if not moved:
            return
        done += moved


def _archive(core: Core, work: Work) -> None:
    days = work.job.payload.get("after_days", REST)
    if isinstance(days, bool) or not isinstance(days, int | float) or not 0 < days <= _MAX_REST:
        raise InvalidInput(f"after_days must be a number of days from 0 to {_MAX_REST:,.0f}, not {days!r}")
    idle = timedelta(days=days)
    _in_batches(core, work, lambda tx: tx_life.archive_rested(tx, idle=idle))


def _sweep(core: Core, work: Work) -> None:
    """Erase the records whose time is over, where whoever ordered it may; overwrite what is owed to files."""
    with core.catalog.read() as view:
        headers = view.cubes_of(work.principal)
    ids = [header.id for header in headers] if work.job.cube is None else [work.job.cube]
    for number, cube_id in enumerate(ids):
        work.progress(number, len(ids))
        try:
            Records(core, cube_id, work.principal).sweep()
        except (Forbidden, NotFound):
            if work.job.cube is not None:
                raise
    core.settle()


def _reindex(core: Core, work: Work) -> None:
    embedder = work.job.payload.get("embedder")
    if embedder is not None and not isinstance(embedder, str):
        raise InvalidInput(f"embedder must be a name, not {embedder!r}")
    reindexed(core, embedder=embedder, progress=work.progress)


def _consolidate(core: Core, work: Work) -> None:
    """Consolidate a cube once, within the budget that the job names; the job ends with the run's change."""
    if work.job.cube is None:
        raise InvalidInput("consolidate is about a cube")
    told = work.job.payload
    settings = Consolidating(rest=_days(told, "rest_days", LONG_REST), quiet=_days(told, "quiet_days", QUIET))
    usual = Allowance()
    allowance = Allowance(
        seconds=_number(told, "seconds", usual.seconds), changes=int(_number(told, "changes", usual.changes))
    )
    consolidating.consolidate(
        core, work.principal, work.job.cube, settings, allowance, dry_run=False, finish=work.finish
    )


def _days(payload: Payload, name: str, usual: timedelta) -> timedelta | None:
    """Return so many days; 0 leaves that part out."""
    days = _number(payload, name, usual / timedelta(days=1))
    if days > _MAX_REST:
        raise InvalidInput(f"{name} must be a number of days from 0 to {_MAX_REST:,.0f}, not {days!r}")
    return timedelta(days=days) if days else None


def _number(payload: Payload, name: str, usual: float) -> float:
    value = payload.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise InvalidInput(f"{name} must be a number from 0, not {value!r}")
    return value


def _extract(core: Core, work: Work) -> None:
    with core.indexer.writing():
        core.extraction.run(work)


def _prefill(core: Core, work: Work, runtime: Builder, system: str | None) -> None:
    cube_id = work.job.cube
    if cube_id is None:
        raise InvalidInput("prefill is about a cube")
    budget = work.job.payload.get("budget", PREFILL_BUDGET)
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
        raise InvalidInput(f"budget must be a whole number of tokens from 1, not {budget!r}")
    with core.reading(work.principal, cube_id, Right.READ) as (_view, header):
        cube = MemCube(core, header, work.principal)
    runtime.build(cube, system=system, budget=budget, progress=work.progress)


def _checked(handler: object) -> Handler:
    if not callable(handler):
        raise InvalidInput(f"a handler is a function that takes the Work in hand, not {handler!r}")
    return handler
