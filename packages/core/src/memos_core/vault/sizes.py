"""Reads a store at a glance: counts and sizes only, and no word of any memory."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import func, select

from memos_core.cube import CubeHeader, Principal, Right
from memos_core.errors import Forbidden, NotFound
from memos_core.job import JobState
from memos_core.overview import CubeView, MoveView, Overview, Running, TierSize
from memos_core.vault import artifacts, moved, outbox, statements
from memos_core.vault.dialect import byte_length
from memos_core.vault.schema import memories, parts
from memos_core.vault.schema_jobs import jobs
from memos_core.vault.view import View

_SHOWN: Final = 20  # running jobs


def overview(view: View, principal: Principal) -> Overview:
    """Return what the principal may see: their cubes and those that they were granted a right on."""
    looked = [_entered(view, cube, principal) for cube in view.cubes_of(principal)]
    entered = [each for each in looked if each is not None]
    governed = [each for each in entered if Right.ADMIN in each.access.rights]
    counted = _jobs(view, [each.id for each in governed])
    totals: Counter[str] = Counter()
    for each in counted.values():
        totals += each
    known = {each.id for each in governed}
    names = {each.id: each.name for each in governed}
    noted = moved.moves(view)
    return Overview(
        at=view.now,
        principal=principal.name,
        cubes=tuple(
            _cube(view, each, dict(counted[each.id]) if each.id in known else None) for each in entered
        ),
        jobs=dict(totals),
        running=tuple(_running(view, names)),
        moved=_named(noted.done, names),
        planned=_named(noted.next, names),
    )


def _named(moves: Iterable[MoveView], names: Mapping[str, str]) -> tuple[MoveView, ...]:
    """Return the moves in cubes that have a name here, under it."""
    return tuple(replace(each, cube=names[each.cube]) for each in moves if each.cube in names)


def _entered(view: View, cube: CubeHeader, principal: Principal) -> CubeHeader | None:
    try:
        return view.enter(cube.id, principal, Right.READ)
    except (Forbidden, NotFound):
        return None


def _cube(view: View, cube: CubeHeader, counted: dict[str, int] | None) -> CubeView:
    sizes = select(
        func.count(),
        func.coalesce(func.sum(byte_length(memories.c.text)), 0),
        func.coalesce(func.sum(memories.c.hits), 0),
    )
    there = (memories.c.cube_id == cube.id, statements.in_sight(view.now), statements.visible_to(cube.access))
    count, size, hits = view.ask(cube, sizes.select_from(memories).where(*there)).one()
    return CubeView(
        id=cube.id,
        name=cube.name,
        owner=cube.owner,
        text=TierSize(count=count, size=int(size)),
        kv=_files(view, cube, "kv"),
        lora=_files(view, cube, "lora"),
        changes=cube.change,
        hits=int(hits),
        owed=outbox.owed_of(view, cube),
        jobs=counted,
    )


def _files(view: View, cube: CubeHeader, kind: str) -> TierSize:
    listed = artifacts.listed(view.connection, cube, kind=kind, now=view.now)
    found = [each for each in listed if each.stale is None]
    return TierSize(count=len(found), size=sum(each.size for each in found))


def _jobs(view: View, cubes: Collection[str]) -> defaultdict[str | None, Counter[str]]:
    """Return how many jobs are in which state, by cube; those about the store under None."""
    found: defaultdict[str | None, Counter[str]] = defaultdict(Counter)
    states = select(jobs.c.cube_id, jobs.c.state, func.count()).group_by(jobs.c.cube_id, jobs.c.state)
    rows: list[Any] = list(view.connection.execute(states.where(jobs.c.cube_id.is_(None))))
    for part in parts(sorted(cubes)):
        rows += view.connection.execute(states.where(jobs.c.cube_id.in_(part)))
    for cube_id, state, count in rows:
        found[cube_id][state] += count
    return found


def _running(view: View, names: dict[str, str]) -> list[Running]:
    query = select(jobs).where(jobs.c.state == JobState.RUNNING.value).order_by(jobs.c.seq)
    rows = [row for row in view.connection.execute(query) if row.cube_id is None or row.cube_id in names]
    return [
        Running(
            kind=row.kind,
            cube=None if row.cube_id is None else names[row.cube_id],
            since=row.started_at,
            done=row.progress_done,
            of=row.progress_of,
        )
        for row in rows[:_SHOWN]
    ]
