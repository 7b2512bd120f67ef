"""Durable work as people look at it: what waits, runs, failed; what is to be done again and again."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from memos_core.core import Core
from memos_core.cube import CubeHeader, Principal
from memos_core.errors import Forbidden, InvalidInput, NotFound
from memos_core.governance import NEEDS
from memos_core.job import (
    OF_A_CUBE,
    TIMEOUT,
    Job,
    JobState,
    Order,
    Payload,
    Schedule,
    checked_kind,
    checked_payload,
)
from memos_core.memcube import MemCube
from memos_core.memory import checked_choice, checked_name, checked_span, checked_time, checked_within
from memos_core.vault import jobs, queue, schedules
from memos_core.vault.tx import Tx
from memos_core.vault.view import View

_OF_THE_STORE: Final = frozenset({"reindex", "archive", "expire"})


class Jobs:
    """The jobs of a store, as one principal may see them: about cubes that they govern, and the store's own.

    Jobs that a change causes (reading what was ingested, say) commit with it. `submit` and `schedule` are
    for what people want done. A job is done by a worker of this process, or of one that has the store open
    later; it names cubes and memories by id and holds none of their words.
    """

    def __init__(self, core: Core, principal: Principal) -> None:
        self._core, self._principal = core, principal

    def submit(
        self,
        kind: str,
        *,
        cube: MemCube | None = None,
        payload: Payload | None = None,
        key: str | None = None,
        priority: int = 0,
        at: datetime | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> Job:
        """Order a job, now or `at` a moment; return it, or yours with its key that waits.

        Without a `key`, your jobs of one kind and cube are alike and wait as one; those of others are
        theirs. `payload` holds words and
        numbers: for "archive" `{"after_days": 30}`, for "reindex" `{"embedder": "static"}`, for "prefill"
        `{"budget": 2048}`, for "consolidate" `{"rest_days": 180, "quiet_days": 7, "seconds": 60,
        "changes": 500}`; `timeout` bounds each attempt. A kind that no worker here knows waits for one.
        """
        self._core.check_open()
        _check_place(checked_kind(kind), cube)
        order = Order(
            kind=kind,
            by=self._principal.name,
            purpose=self._principal.purpose,
            cube=None if cube is None else cube.id,
            key="-" if key is None else checked_name(key, what="key"),
            payload=checked_payload({} if payload is None else payload),
            priority=checked_within(priority, -9, 9, what="priority"),
            run_at=checked_time(at, what="at"),
            timeout=checked_span(timeout, what="timeout") or TIMEOUT,
        )
        with self._core.catalog.write(self._principal) as tx:
            self._noted(tx, order.cube, "submit", detail=order.kind)
            job = jobs.to_job(jobs.found(tx.connection, tx.enqueue(order)))
        self._core.bell.set()
        return job

    def list(
        self, *, cube: MemCube | None = None, state: JobState | str | None = None, limit: int = 100
    ) -> Sequence[Job]:
        """Return the newest jobs, the newest first: of a cube, or of all that you govern and of the store."""
        wanted = None if state is None else checked_choice(JobState, state, what="state")
        checked_within(limit, 1, 100_000, what="limit")
        self._core.check_open()
        with self._core.catalog.read() as view:
            which = self._governed(view, cube, "jobs.list")
            return jobs.listed(view.connection, which, state=wanted, limit=limit)

    def get(self, job_id: str) -> Job:
        """Return a job; NotFound where there is none, or none for you."""
        checked_name(job_id, what="job id")
        self._core.check_open()
        with self._core.catalog.read() as view:
            return self._found(view, job_id, "jobs.get")

    def retry(self, job_id: str) -> Job:
        """Let a job that is dead or cancelled begin anew, with all its attempts; return it."""
        return self._moved(job_id, "retry")

    def cancel(self, job_id: str) -> Job:
        """Cancel a job; return it. One that runs is told; what it has not committed by then is dropped."""
        return self._moved(job_id, "cancel")

    def schedule(
        self,
        name: str,
        cron: str,
        kind: str,
        *,
        cube: MemCube | None = None,
        payload: Payload | None = None,
    ) -> Schedule:
        """Order a job again and again, as a cron expression (five fields, UTC) says; return the schedule.

        It takes the place of the one of this name. What was missed while no worker ran is done once.
        """
        self._core.check_open()
        checked_name(name, what="schedule name")
        if not isinstance(cron, str):
            raise InvalidInput(f"cron must be a str such as '30 3 * * *', not {cron!r}")
        _check_place(checked_kind(kind), cube)
        order = Order(
            kind=kind,
            by=self._principal.name,
            purpose=self._principal.purpose,
            cube=None if cube is None else cube.id,
            payload=checked_payload({} if payload is None else payload),
        )
        with self._core.catalog.write(self._principal) as tx:
            self._noted(tx, order.cube, "schedule", detail=order.kind)
            return schedules.write(tx.connection, order, name=name, cron=cron, now=tx.now)

    def schedules(self, *, cube: MemCube | None = None) -> Sequence[Schedule]:
        """Return the schedules of a cube, or of all that you govern and of the store, by name."""
        self._core.check_open()
        with self._core.catalog.read() as view:
            return schedules.listed(view.connection, self._governed(view, cube, "jobs.schedules"))

    def unschedule(self, name: str, *, cube: MemCube | None = None) -> None:
        """Delete a schedule of a cube, or of the store; a job that it has put already stays."""
        self._core.check_open()
        checked_name(name, what="schedule name")
        with self._core.catalog.write(self._principal) as tx:
            self._noted(tx, None if cube is None else cube.id, "unschedule")
            schedules.remove(tx.connection, None if cube is None else cube.id, name)

    # --- who may -----------------------------------------------------------------------------

    def _noted(self, tx: Tx, cube_id: str | None, verb: str, *, detail: str | None = None) -> None:
        """Enter the cube that something is ordered about, and note it in the audit."""
        if cube_id is not None:
            tx.note(tx.enter(cube_id, self._principal, NEEDS[f"jobs.{verb}"]), verb, detail=detail)

    def _found(self, view: View, job_id: str, verb: str) -> Job:
        job = jobs.to_job(jobs.found(view.connection, job_id))
        if job.cube is not None:
            try:
                view.enter(job.cube, self._principal, NEEDS[verb])
            except NotFound as exc:
                raise NotFound("job", job_id) from exc
        return job

    def _moved(self, job_id: str, verb: str) -> Job:
        checked_name(job_id, what="job id")
        self._core.check_open()
        with self._core.catalog.write(self._principal) as tx:
            job = self._found(tx, job_id, f"jobs.{verb}")
            self._noted(tx, job.cube, verb, detail=job.kind)
            job = queue.move(tx.connection, job_id, verb, now=tx.now)
        self._core.bell.set()
        return job

    def _governed(self, view: View, cube: MemCube | None, verb: str) -> builtins.list[str | None]:
        """Return the cubes (None: the store) whose jobs may be seen."""
        if cube is not None:
            return [view.enter(cube.id, self._principal, NEEDS[verb]).id]
        headers = [each for each in view.cubes_of(self._principal) if self._governs(view, each, verb)]
        return [None, *(each.id for each in headers)]

    def _governs(self, view: View, header: CubeHeader, verb: str) -> bool:
        try:
            view.enter(header.id, self._principal, NEEDS[verb])
        except (Forbidden, NotFound):
            return False
        return True


def _check_place(kind: str, cube: MemCube | None) -> None:
    """Raise InvalidInput for a kind that is about a cube without one, or about the store with one."""
    if cube is not None and not isinstance(cube, MemCube):
        raise InvalidInput(f"cube must be a MemCube, not {type(cube).__name__}: write memos.cube(name)")
    if cube is None and kind in OF_A_CUBE:
        raise InvalidInput(f"{kind!r} is about a cube: say which, with cube=...")
    if cube is not None and kind in _OF_THE_STORE:
        raise InvalidInput(f"{kind!r} is about the whole store: leave cube out")
