"""A store at a glance, as one principal may see it: cubes, what each tier holds, what waits to be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TierSize:
    """How many things a tier holds, and their bytes."""

    count: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CubeView:
    """A cube at a glance. `text` are memories in sight, `kv` and `lora` files that may be served.

    `changes` and `hits` count from the cube's beginning. `jobs` are jobs by state, None where you do not
    govern the cube; `owed` are changes of which the index has not been told.
    """

    id: str
    name: str
    owner: str
    text: TierSize
    kv: TierSize
    lora: TierSize
    changes: int
    hits: int
    owed: int
    jobs: Mapping[str, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A job that is being done: what, about which of the cubes, since when, and how far."""

    kind: str
    cube: str | None
    since: datetime | None
    done: int | None
    of: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveView:
    """A move of the planner: what, with which cube, in which tier, and why; see `MemOS.plan`.

    `saves` are the seconds that it was expected to spare, `frees` the bytes, negative where it takes some.
    `at` is when it was done, or first planned.
    """

    kind: str
    cube: str
    tier: str
    reason: str
    saves: float
    frees: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What one principal sees of a store at a moment. `jobs` are those of these cubes and the store's own.

    `moved` are the last moves of a plan that were done, the newest first, and `planned` those that the
    last plan left to be done, both in cubes that you govern.
    """

    at: datetime
    principal: str
    cubes: tuple[CubeView, ...]
    jobs: Mapping[str, int]
    running: tuple[Running, ...]
    moved: tuple[MoveView, ...] = ()
    planned: tuple[MoveView, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Changes, hits and finished jobs a second, between two looks."""

    changes: float
    hits: float
    jobs: float


def rates(before: Overview | None, now: Overview) -> Rates | None:
    """Return what went on between two looks; None where there is no time between them."""
    seconds = 0.0 if before is None else (now.at - before.at).total_seconds()
    if before is None or seconds <= 0:
        return None
    then = {each.id: each for each in before.cubes}
    both = [(then[each.id], each) for each in now.cubes if each.id in then]
    ended = now.jobs.get("done", 0) - before.jobs.get("done", 0)
    return Rates(
        changes=sum(new.changes - old.changes for old, new in both) / seconds,
        hits=max(0, sum(new.hits - old.hits for old, new in both)) / seconds,
        jobs=max(0, ended) / seconds,
    )
