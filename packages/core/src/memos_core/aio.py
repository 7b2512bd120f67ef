"""The awaited skin: every verb of MemOS and MemCube, run in a thread.

Nothing is written twice: each method is made from its blocking twin and keeps its signature and
its docstring. A hop to a thread costs about 0.1 ms against milliseconds of work. A cancelled await
stops waiting; the verb itself is one transaction, done or not done.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

from memos_core.aio_jobs import AsyncWorker
from memos_core.aio_views import AsyncComposedCubes, AsyncRecords
from memos_core.cube import Principal
from memos_core.embed import EmbedderSpec
from memos_core.job import TIMEOUT, Job, JobState, Payload, Schedule
from memos_core.jobs import Jobs
from memos_core.kv import Segment
from memos_core.lora import Adapter
from memos_core.memcube import MemCube
from memos_core.memos import LOCAL, MemOS
from memos_core.opened import RESIDENT_BYTES, Settings
from memos_core.protocols import Extractor, TextIndex
from memos_core.redaction import Redaction
from memos_core.scheduler.work import Handler
from memos_core.timeline import Merge, MergeConflict, Resolution
from memos_core.vault.catalog import utc_now
from memos_core.working import Builder

P = ParamSpec("P")
R = TypeVar("R")


def _awaited_verb(
    verb: Callable[Concatenate[MemCube, P], R],
) -> Callable[Concatenate[AsyncMemCube, P], Awaitable[R]]:
    @functools.wraps(verb)
    async def run(self: AsyncMemCube, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(verb, self.blocking, *args, **kwargs)

    return run


def _awaited_care(
    verb: Callable[Concatenate[MemOS, P], R],
) -> Callable[Concatenate[AsyncMemOS, P], Awaitable[R]]:
    @functools.wraps(verb)
    async def run(self: AsyncMemOS, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(verb, self.blocking, *args, **kwargs)

    return run


class AsyncMemCube:
    """A cube whose verbs are awaited. `blocking` is the cube itself."""

    def __init__(self, blocking: MemCube) -> None:
        self.blocking = blocking

    def __repr__(self) -> str:
        return f"Async{self.blocking!r}"

    @property
    def id(self) -> str:
        return self.blocking.id

    @property
    def name(self) -> str:
        return self.blocking.name

    @property
    def owner(self) -> str:
        return self.blocking.owner

    @property
    def stamp(self) -> str:
        return self.blocking.stamp

    @property
    def records(self) -> AsyncRecords:
        """JSON values under keys; see `MemCube.records`."""
        return AsyncRecords(self.blocking.records)

    remember = _awaited_verb(MemCube.remember)
    ingest = _awaited_verb(MemCube.ingest)
    revise = _awaited_verb(MemCube.revise)
    forget = _awaited_verb(MemCube.forget)
    copy = _awaited_verb(MemCube.copy)
    link = _awaited_verb(MemCube.link)
    activate = _awaited_verb(MemCube.activate)
    archive = _awaited_verb(MemCube.archive)
    restore = _awaited_verb(MemCube.restore)
    freeze = _awaited_verb(MemCube.freeze)
    unfreeze = _awaited_verb(MemCube.unfreeze)
    classify = _awaited_verb(MemCube.classify)
    grant = _awaited_verb(MemCube.grant)
    revoke = _awaited_verb(MemCube.revoke)
    grants = _awaited_verb(MemCube.grants)
    limit = _awaited_verb(MemCube.limit)
    limits = _awaited_verb(MemCube.limits)
    snapshot = _awaited_verb(MemCube.snapshot)
    snapshots = _awaited_verb(MemCube.snapshots)
    drop_snapshot = _awaited_verb(MemCube.drop_snapshot)
    diff = _awaited_verb(MemCube.diff)
    revert = _awaited_verb(MemCube.revert)
    rollback = _awaited_verb(MemCube.rollback)
    consolidate = _awaited_verb(MemCube.consolidate)
    undo = _awaited_verb(MemCube.undo)

    async def fork(self, name: str) -> AsyncMemCube:
        """Return a new cube of yours that begins as this one is now; see `MemCube.fork`."""
        return AsyncMemCube(await asyncio.to_thread(self.blocking.fork, name))

    async def merge(
        self,
        other: AsyncMemCube,
        *,
        on_conflict: Resolution | str | Callable[[MergeConflict], Resolution | str],
    ) -> Merge:
        """Take over what a fork of this cube changed, or what it is a fork of; see `MemCube.merge`."""
        return await asyncio.to_thread(self.blocking.merge, other.blocking, on_conflict=on_conflict)

    recall = _awaited_verb(MemCube.recall)
    get = _awaited_verb(MemCube.get)
    list = _awaited_verb(MemCube.list)
    changes = _awaited_verb(MemCube.changes)
    history = _awaited_verb(MemCube.history)
    sources = _awaited_verb(MemCube.sources)
    lineage = _awaited_verb(MemCube.lineage)
    find = _awaited_verb(MemCube.find)
    count = _awaited_verb(MemCube.count)
    lag = _awaited_verb(MemCube.lag)
    credit = _awaited_verb(MemCube.credit)
    working = _awaited_verb(MemCube.working)
    dump = _awaited_verb(MemCube.dump)
    imports = _awaited_verb(MemCube.imports)


def _awaited_job(
    verb: Callable[Concatenate[Jobs, P], R],
) -> Callable[Concatenate[AsyncJobs, P], Awaitable[R]]:
    @functools.wraps(verb)
    async def run(self: AsyncJobs, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(verb, self.blocking, *args, **kwargs)

    return run


class AsyncJobs:
    """The jobs of a store, awaited. `blocking` are the jobs themselves."""

    def __init__(self, blocking: Jobs) -> None:
        self.blocking = blocking

    get = _awaited_job(Jobs.get)
    retry = _awaited_job(Jobs.retry)
    cancel = _awaited_job(Jobs.cancel)

    async def submit(
        self,
        kind: str,
        *,
        cube: AsyncMemCube | None = None,
        payload: Payload | None = None,
        key: str | None = None,
        priority: int = 0,
        at: datetime | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> Job:
        """Order a job, now or `at` a moment; see `Jobs.submit`."""
        return await asyncio.to_thread(
            self.blocking.submit,
            kind,
            cube=_bare(cube),
            payload=payload,
            key=key,
            priority=priority,
            at=at,
            timeout=timeout,
        )

    async def schedule(
        self,
        name: str,
        cron: str,
        kind: str,
        *,
        cube: AsyncMemCube | None = None,
        payload: Payload | None = None,
    ) -> Schedule:
        """Order a job again and again; see `Jobs.schedule`."""
        return await asyncio.to_thread(
            self.blocking.schedule, name, cron, kind, cube=_bare(cube), payload=payload
        )

    async def schedules(self, *, cube: AsyncMemCube | None = None) -> Sequence[Schedule]:
        """Return the schedules of a cube, or of all that you govern and of the store."""
        return await asyncio.to_thread(self.blocking.schedules, cube=_bare(cube))

    async def unschedule(self, name: str, *, cube: AsyncMemCube | None = None) -> None:
        """Delete a schedule of a cube, or of the store."""
        await asyncio.to_thread(self.blocking.unschedule, name, cube=_bare(cube))

    async def list(
        self,
        *,
        cube: AsyncMemCube | None = None,
        state: JobState | str | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        """Return the newest jobs, the newest first; see `Jobs.list`."""
        return await asyncio.to_thread(self.blocking.list, cube=_bare(cube), state=state, limit=limit)


def _bare(cube: AsyncMemCube | None) -> MemCube | None:
    return None if cube is None else cube.blocking


class AsyncMemOS:
    """A store whose verbs are awaited. `blocking` is the store itself."""

    def __init__(self, blocking: MemOS) -> None:
        self.blocking = blocking

    @property
    def principal(self) -> Principal:
        return self.blocking.principal

    @classmethod
    async def open(
        cls,
        folder: str | Path,
        *,
        principal: Principal | str = LOCAL,
        catalog: str | None = None,
        embedder: EmbedderSpec = None,
        index: str | TextIndex | None = None,
        jobs: str | None = None,
        resident_bytes: int = RESIDENT_BYTES,
        redaction: Redaction | str | None = None,
        extractor: Extractor | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> AsyncMemOS:
        """Open a store; see `MemOS.open`."""
        return cls(
            await asyncio.to_thread(
                MemOS.open,
                folder,
                principal=principal,
                catalog=catalog,
                embedder=embedder,
                index=index,
                jobs=jobs,
                resident_bytes=resident_bytes,
                redaction=redaction,
                extractor=extractor,
                clock=clock,
            )
        )

    @classmethod
    async def connect(cls, settings: Settings, *, principal: Principal | str = LOCAL) -> AsyncMemOS:
        """Return the store with these settings; see `MemOS.connect`."""
        return cls(await asyncio.to_thread(MemOS.connect, settings, principal=principal))

    @property
    def settings(self) -> Settings:
        """How the store was opened; see `MemOS.settings`."""
        return self.blocking.settings

    @classmethod
    def opened(cls, folder: str | Path, *, principal: Principal | str = LOCAL) -> AsyncMemOS:
        """Return the store that this process has open in `folder`; see `MemOS.opened`."""
        return cls(MemOS.opened(folder, principal=principal))

    @property
    def folder(self) -> Path:
        return self.blocking.folder

    def as_principal(self, principal: Principal | str, *, purpose: str | None = None) -> AsyncMemOS:
        """Return the same open store as somebody else sees it; see `MemOS.as_principal`."""
        return AsyncMemOS(self.blocking.as_principal(principal, purpose=purpose))

    async def cube(
        self, name: str, *, owner: Principal | str | None = None, create: bool = True
    ) -> AsyncMemCube:
        """Return the cube of this name; see `MemOS.cube`."""
        found = await asyncio.to_thread(self.blocking.cube, name, owner=owner, create=create)
        return AsyncMemCube(found)

    async def cubes(self, *, prefix: str = "", with_records: bool = False) -> Sequence[AsyncMemCube]:
        """Return the cubes that you may read, oldest first; see `MemOS.cubes`."""
        found = await asyncio.to_thread(self.blocking.cubes, prefix=prefix, with_records=with_records)
        return [AsyncMemCube(cube) for cube in found]

    async def compose(self, *cubes: AsyncMemCube) -> AsyncComposedCubes:
        """Return a view over several cubes that is read as one; see `MemOS.compose`."""
        found = await asyncio.to_thread(self.blocking.compose, *(cube.blocking for cube in cubes))
        return AsyncComposedCubes(found)

    async def segments(self, cube: AsyncMemCube | None = None) -> Sequence[Segment]:
        """Return the stored KV segments of a cube, or of all; see `MemOS.segments`."""
        return await asyncio.to_thread(self.blocking.segments, cube.blocking if cube else None)

    @property
    def jobs(self) -> AsyncJobs:
        """What waits, runs and failed, and what comes again; see `MemOS.jobs`."""
        return AsyncJobs(self.blocking.jobs)

    def worker(
        self,
        *,
        threads: int = 1,
        kinds: Iterable[str] | None = None,
        runtime: Builder | None = None,
        system: str | None = None,
        handlers: Mapping[str, Handler] | None = None,
    ) -> AsyncWorker:
        """Return a worker that does the store's jobs, for `async with`; see `MemOS.worker`."""
        return AsyncWorker(
            self.blocking.worker(
                threads=threads, kinds=kinds, runtime=runtime, system=system, handlers=handlers
            )
        )

    extract_with = _awaited_care(MemOS.extract_with)

    async def adapters(self, cube: AsyncMemCube | None = None) -> Sequence[Adapter]:
        """Return the adapters of a cube, or of all; see `MemOS.adapters`."""
        return await asyncio.to_thread(self.blocking.adapters, cube.blocking if cube else None)

    drop_adapters = _awaited_care(MemOS.drop_adapters)
    activate_adapter = _awaited_care(MemOS.activate_adapter)
    deactivate_adapter = _awaited_care(MemOS.deactivate_adapter)
    export_adapter = _awaited_care(MemOS.export_adapter)
    evict = _awaited_care(MemOS.evict)
    pin = _awaited_care(MemOS.pin)
    verify_segments = _awaited_care(MemOS.verify_segments)
    load = _awaited_care(MemOS.load)
    group = _awaited_care(MemOS.group)
    groups = _awaited_care(MemOS.groups)
    lag = _awaited_care(MemOS.lag)
    drain = _awaited_care(MemOS.drain)
    reindex = _awaited_care(MemOS.reindex)
    audit = _awaited_care(MemOS.audit)
    verify_audit = _awaited_care(MemOS.verify_audit)
    forget_cube = _awaited_care(MemOS.forget_cube)
    forget_principal = _awaited_care(MemOS.forget_principal)
    erasures = _awaited_care(MemOS.erasures)
    verify_erasure = _awaited_care(MemOS.verify_erasure)
    upkeep = _awaited_care(MemOS.upkeep)
    plan = _awaited_care(MemOS.plan)
    calibrate = _awaited_care(MemOS.calibrate)
    predictor = _awaited_care(MemOS.predictor)
    stats = _awaited_care(MemOS.stats)
    overview = _awaited_care(MemOS.overview)
    doctor = _awaited_care(MemOS.doctor)
    close = _awaited_care(MemOS.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
