"""The plan of an open store: what its cubes could be moved to, and the moves that are done here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from memos_core import consolidating, kv, lora, metering
from memos_core.consolidation import Act, Allowance, Consolidating
from memos_core.core import Core
from memos_core.cube import CubeHeader, Principal, Right
from memos_core.errors import Forbidden, NotFound
from memos_core.heat import NEVER, warmed
from memos_core.inference import AnyEngine
from memos_core.kv import Segment
from memos_core.lora import Adapter
from memos_core.memcube import MemCube
from memos_core.operator.residents import KEY_OVERHEAD
from memos_core.overview import MoveView
from memos_core.reply import Prefix, Reuse
from memos_core.scheduler.moves import Move
from memos_core.scheduler.plan import plan
from memos_core.scheduler.policies import Policy
from memos_core.scheduler.stats import Budget, Chores, Cost, Form, Pool, Standings, Tier
from memos_core.vault import meters, moved
from memos_core.vault.meters import CubeMeter, Due
from memos_core.vault.view import View

_A_LOOK = 5.0  # seconds at most to count what consolidation would do in a cube

KEY_SECONDS = 1.5e-4
"""Seconds a memory to make a cube resident, until it was measured: benchmarks/scheduler/replay.py."""


class Prefills(Protocol):
    """What computes states ahead: a Runtime."""

    engine: AnyEngine

    def prefix(self, cube: MemCube, *, system: str | None = None) -> Prefix:
        """Return what of the cube's prefix is stored."""
        ...

    def build(
        self,
        cube: MemCube,
        *,
        system: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Reuse:
        """Compute and store the prefix."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The moves of a plan in their order, and those of them that were done."""

    moves: Sequence[Move]
    done: Sequence[Move]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a plan is made for, its arguments checked. `system` is the text that prompts begin with."""

    budget: Budget
    policy: Policy
    runtime: Prefills | None
    system: str | None
    idle: timedelta | None
    consolidating: Consolidating | None = None


def noted(core: Core, principal: Principal, cubes: Sequence[MemCube], plan: Planned) -> None:
    """Write down what a plan did and what it left, for `memos top`; nothing where that is known already."""

    def seen(each: Move) -> MoveView:
        return MoveView(
            kind=each.kind.value,
            cube=each.cube,
            tier=each.tier.value,
            reason=each.reason,
            saves=each.saves,
            frees=each.frees,
            at=core.catalog.clock(),
        )

    looked_at = {cube.id for cube in cubes}
    done = [seen(each) for each in plan.done]
    left = [seen(each) for each in plan.moves if each not in plan.done]
    with core.catalog.read() as view:
        known = moved.moves(view)
    if moved.following(known, looked_at, done, left) == known:
        return
    with core.catalog.write(principal) as tx:
        there = moved.present(tx, {each.cube for each in (*done, *left)})
        done, left = ([each for each in found if each.cube in there] for found in (done, left))
        moved.write(tx, moved.following(moved.moves(tx), looked_at, done, left))


def planned(core: Core, principal: Principal, cubes: Sequence[MemCube], order: Order) -> list[Move]:
    """Return the moves that pay now, for these cubes, as far as the principal may do them."""
    stats = _standings(core, principal, cubes, order)
    return plan(stats, order.budget, core.catalog.clock().timestamp(), policy=order.policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A cube as one snapshot shows it; `due` is None where the principal may move no memory."""

    header: CubeHeader
    meter: CubeMeter | None
    memories: int
    due: tuple[Due, Due] | None
    scattered: Due


def _standings(core: Core, principal: Principal, cubes: Sequence[MemCube], order: Order) -> Standings:
    """Return what is known of these cubes; one that is erased, or closed to them, meanwhile is left out."""
    core.catalog.uses.write()
    known = {(cost.tier, cost.model): cost for cost in metering.costs(core)}
    now, soon = core.catalog.clock().timestamp(), core.derived.soon()
    forms: list[Form] = []
    chores: list[Chores] = []
    for cube, seen in _seen(core, principal, cubes, order):
        with suppress(NotFound, Forbidden):
            segments = kv.listed(core, principal, [cube.id])
            adapters = lora.listed(core, principal, [cube.id])
            meter = _present(seen.meter, seen.header, now)
            keys = _keys(core, seen.header, meter, seen.memories, known)
            states = _states(cube, seen.header, meter, segments, order, known)
            adapter = None if states is None else _adapter(states, adapters, known)
            expected = None if soon is None else soon.get(cube.id, 0.0)
            forms += [
                replace(form, soon=expected if form.on_demand else None, since=core.moved.get(form.key))
                for form in (keys, states, adapter)
                if form is not None
            ]
            if seen.due is not None:
                chores.append(_chores(seen.header, *seen.due, seen.scattered))
    with core.catalog.read() as view:
        trained = meters.trained(view.connection, now=view.now)
    return Standings(forms=forms, chores=chores, trained=trained)


def _seen(
    core: Core, principal: Principal, cubes: Sequence[MemCube], order: Order
) -> list[tuple[MemCube, _Seen]]:
    """Return what one snapshot of the catalog shows of those cubes that it lets the principal enter."""
    found: list[tuple[MemCube, _Seen]] = []
    with core.catalog.read() as view:
        warm = meters.of_cubes(view.connection, [cube.id for cube in cubes])
        for cube in cubes:
            with suppress(NotFound, Forbidden):
                header = view.enter(cube.id, principal, Right.READ)
                found.append((cube, _seen_in(view, header, warm.get(cube.id), order)))
    return found


def _seen_in(view: View, header: CubeHeader, meter: CubeMeter | None, order: Order) -> _Seen:
    may_write = Right.WRITE in header.access.rights
    due = meters.due(view.connection, header.id, now=view.now, idle=order.idle) if may_write else None
    settings = order.consolidating if may_write else None
    return _Seen(
        header=header,
        meter=meter,
        memories=view.count(cube=header),
        due=due,
        scattered=Due(0, 0) if settings is None else _scattered(view, header, settings),
    )


def _scattered(view: View, cube: CubeHeader, settings: Consolidating) -> Due:
    """Return how much consolidation would do, and the characters of statements that merges put away."""
    found = consolidating.planned_for(view, cube, settings, Allowance(seconds=_A_LOOK))
    merges = [each.sources for each in found.planned if each.act is Act.MERGE]
    sizes = [sum(len(memory.text) for memory in sources[1:]) for sources in merges]
    return Due(len(found.planned) + found.left, sum(sizes))


def _chores(header: CubeHeader, overdue: Due, rested: Due, scattered: Due) -> Chores:
    return Chores(
        cube=header.id,
        name=header.name,
        overdue=overdue.memories,
        overdue_size=overdue.size,
        rested=rested.memories,
        rested_size=rested.size,
        scattered=scattered.memories,
        scattered_size=scattered.size,
    )


def _present(meter: CubeMeter | None, header: CubeHeader, now: float) -> CubeMeter:
    """Return how warm a cube is, the changes since the last look among it."""
    meter = meter or CubeMeter(cube=header.id, change=header.change)
    fresh = max(header.change - meter.change, 0)
    if not fresh:
        return meter
    changes = warmed(meter.changes, fresh, now=now)
    return CubeMeter(cube=meter.cube, asks=meter.asks, uses=meter.uses, changes=changes, change=header.change)


def _keys(
    core: Core, header: CubeHeader, meter: CubeMeter, memories: int, known: Mapping[tuple[Tier, str], Cost]
) -> Form:
    """Return a cube's keys in RAM as a form."""
    record = core.recorded_embedder()
    cost = known.get((Tier.RESIDENT, record.identity)) if record else None
    dimensions = record.dimensions if record else 0
    each = cost.size if cost else 4.0 * dimensions + KEY_OVERHEAD
    seconds = memories * (cost.write if cost else KEY_SECONDS)
    held = core.residents.held().get(header.id)
    return Form(
        cube=header.id,
        name=header.name,
        tier=Tier.RESIDENT,
        pool=Pool.RAM,
        size=int(memories * each) if held is None else held,
        make=seconds,
        saves=seconds,
        uses=meter.uses,
        changes=NEVER,  # keys follow a change at little cost
        held=held is not None,
        pinned=Right.WRITE not in header.access.rights,  # what others use is not a reader's to take
        hits=meter.asks,
        labels=frozenset({header.name}),
    )


def _states(
    cube: MemCube,
    header: CubeHeader,
    meter: CubeMeter,
    segments: Sequence[Segment],
    order: Order,
    known: Mapping[tuple[Tier, str], Cost],
) -> Form | None:
    """Return a cube's states as a form: what is stored, and what lacks of the prefix; None if it has none."""
    stored = [segment for segment in segments if segment.stale is None]
    size, tokens = sum(segment.size for segment in stored), sum(segment.tokens for segment in stored)
    model = stored[0].identity.digest if stored else ""
    rest = 0
    if order.runtime is not None:
        prefix = order.runtime.prefix(cube, system=order.system)
        model = order.runtime.engine.identity.digest
        rest = prefix.tokens - prefix.stored if (Tier.KV, model) in known else 0
    if not tokens and not rest:
        return None
    cost = known.get((Tier.KV, model))
    lacking = int(rest * cost.size) if cost else 0
    build = sum(segment.build_seconds for segment in stored)
    ahead = rest * cost.write if cost else 0.0
    read = cost.read if cost else 0.0
    return Form(
        cube=header.id,
        name=header.name,
        tier=Tier.KV,
        pool=Pool.DISK,
        size=size if stored else lacking,
        make=ahead if rest else build,
        saves=max(build - tokens * read if stored else ahead - rest * read, 0.0),
        uses=meter.uses,
        changes=meter.changes,
        held=bool(stored),
        granule=max(segment.size for segment in stored) if len(stored) > 1 else 0,
        rest=lacking if stored else 0,
        pinned=Right.WRITE not in header.access.rights
        or (all(each.pinned for each in stored) and bool(stored)),
        hits=meter.asks,
        labels=frozenset({header.name}),
    )


def _adapter(
    states: Form, adapters: Sequence[Adapter], known: Mapping[tuple[Tier, str], Cost]
) -> Form | None:
    """Return a cube's adapter as a form, there or not, where a trainer's costs are known."""
    trainer = next((cost for (tier, _), cost in known.items() if tier is Tier.LORA), None)
    law = next((cost for (tier, _), cost in known.items() if tier is Tier.KV), None)
    if trainer is None or law is None or law.size <= 0:
        return None
    tokens = (states.size + states.rest) / law.size
    size = sum(adapter.size for adapter in adapters)
    return Form(
        cube=states.cube,
        name=states.name,
        tier=Tier.LORA,
        pool=Pool.DISK,
        size=size or int(tokens * trainer.size),
        make=tokens * trainer.write,
        saves=max(tokens * (law.read - trainer.read), 0.0),
        uses=states.uses,
        changes=states.changes,
        on_demand=False,
        held=bool(adapters),
        stale=bool(adapters) and all(adapter.stale for adapter in adapters),
        pinned=states.pinned,
        hits=states.hits,
        labels=states.labels,
    )
