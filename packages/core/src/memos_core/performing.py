"""The moves of a plan, done: each kind of move by a function of its own, which is a line in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Final, Protocol, runtime_checkable

from memos_core import consolidating, kv, lora
from memos_core.consolidation import Allowance
from memos_core.core import Core
from memos_core.cube import Principal, Right
from memos_core.errors import Conflict, Forbidden, InvalidInput, NotFound, UnderWay
from memos_core.kv import Segment
from memos_core.memcube import MemCube
from memos_core.planning import Order
from memos_core.scheduler.moves import Move, MoveKind
from memos_core.scheduler.stats import Tier
from memos_core.vault import tx_life
from memos_core.vault.tx import Tx


@runtime_checkable
class Trains(Protocol):
    """What trains adapters: a Runtime over transformers."""

    def train(self, cube: MemCube, /) -> object:
        """Teach the model a cube's memories, and keep the adapter."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """Who does a move, with what, to which cube."""

    core: Core
    principal: Principal
    cube: MemCube
    order: Order


Performer = Callable[[Doing, Move], bool]
"""Does a move; returns whether it could be done here."""


def performed(
    core: Core, principal: Principal, cubes: Sequence[MemCube], moves: Sequence[Move], order: Order
) -> list[Move]:
    """Do the moves that can be done here and now, in their order; return those that were.

    What has no line in `PERFORMERS`, or lacks the means, is left to whoever has them.
    """
    by_id = {cube.id: cube for cube in cubes}
    done: list[Move] = []
    for move in moves:
        perform = PERFORMERS.get((move.kind, move.tier))
        with suppress(NotFound, Forbidden):  # erased or closed to them since it was planned
            doing = Doing(core=core, principal=principal, cube=by_id[move.cube], order=order)
            if perform is not None and perform(doing, move):
                core.moved[move.cube, move.tier.value] = core.catalog.clock().timestamp()
                done.append(move)
    return done


def _expire(doing: Doing, _move: Move) -> bool:
    return _in_batches(doing, lambda tx, cube: tx_life.expire_overdue(tx, cube_id=cube))


def _archive(doing: Doing, _move: Move) -> bool:
    idle: timedelta | None = doing.order.idle
    if idle is None:
        return False
    return _in_batches(doing, lambda tx, cube: tx_life.archive_rested(tx, idle=idle, cube_id=cube))


def _in_batches(doing: Doing, batch: Callable[[Tx, str], int]) -> bool:
    """Move memories of a cube in many small transactions, until none is left."""
    moved = 1
    while moved:
        with doing.core.erasing(doing.principal) as tx:
            tx.enter(doing.cube.id, doing.principal, Right.WRITE)
            moved = batch(tx, doing.cube.id)
    return True


def _consolidate(doing: Doing, _move: Move) -> bool:
    settings = doing.order.consolidating
    if settings is None:
        return False
    core, who = doing.core, doing.principal
    found = consolidating.consolidate(core, who, doing.cube.id, settings, Allowance(), dry_run=False)
    return found.run is not None


def _drop_keys(doing: Doing, _move: Move) -> bool:
    doing.core.residents.drop([doing.cube.id])
    return True


def _drop_states(doing: Doing, move: Move) -> bool:
    stored = kv.listed(doing.core, doing.principal, [doing.cube.id])
    kv.evicted(doing.core, doing.principal, leaving(stored, leaves=move.leaves))
    return True


def leaving(stored: Sequence[Segment], *, leaves: int) -> list[Segment]:
    """Return which states go, so that `leaves` bytes at most are left: what is stale, then the last first.

    What is pinned stays; so a chain keeps its beginning.
    """
    going = [each for each in stored if each.stale is not None and not each.pinned]
    present = [each for each in stored if each.stale is None]
    held = sum(each.size for each in present)
    for each in sorted(present, key=lambda one: (one.start + one.tokens, one.key), reverse=True):
        if held <= leaves:
            break
        if not each.pinned:
            going.append(each)
            held -= each.size
    return going


def _drop_adapters(doing: Doing, _move: Move) -> bool:
    lora.dropped(doing.core, doing.principal, lora.listed(doing.core, doing.principal, [doing.cube.id]))
    return True


def _load(doing: Doing, _move: Move) -> bool:
    return loaded(doing.core, doing.principal, doing.cube.id)


def _prefill(doing: Doing, _move: Move) -> bool:
    if doing.order.runtime is None:
        return False
    doing.order.runtime.build(doing.cube, system=doing.order.system)
    return True


def _train(doing: Doing, _move: Move) -> bool:
    """Train an adapter now, which takes minutes; what has nothing to teach or is being trained is left."""
    runtime: object = doing.order.runtime
    if not isinstance(runtime, Trains):
        return False
    try:
        runtime.train(doing.cube)
    except (InvalidInput, UnderWay, Conflict):  # nothing to teach, somebody is at it, it changed meanwhile
        return False
    return True


PERFORMERS: Final[Mapping[tuple[MoveKind, Tier], Performer]] = MappingProxyType(
    {
        (MoveKind.EXPIRE, Tier.TEXT): _expire,
        (MoveKind.ARCHIVE, Tier.TEXT): _archive,
        (MoveKind.CONSOLIDATE, Tier.TEXT): _consolidate,
        (MoveKind.EVICT, Tier.RESIDENT): _drop_keys,
        (MoveKind.EVICT, Tier.KV): _drop_states,
        (MoveKind.EVICT, Tier.LORA): _drop_adapters,
        (MoveKind.LOAD, Tier.RESIDENT): _load,
        (MoveKind.PREFILL, Tier.KV): _prefill,
        (MoveKind.DISTIL, Tier.LORA): _train,
        (MoveKind.RETRAIN, Tier.LORA): _train,
    }
)
"""What this house can do: which function does which move in which tier."""


def loaded(core: Core, principal: Principal, cube_id: str) -> bool:
    """Make a cube resident, as its first recall would; return whether it is."""
    embedder = core.embedder()
    with core.reading(principal, cube_id) as (view, cube):
        if not view.is_embedded_by(embedder.identity):
            return False
        model, dimensions = embedder.identity, embedder.dimensions
        with core.residents.using(view, cube, model=model, dimensions=dimensions) as keys:
            return keys is not None
