"""The plan: which moves pay now. Pure: equal arguments give equal moves.

In each pool the forms are ranked by worth, those that are there a little higher, and taken from the
best down as far as the bytes go. What is taken and lacks is made; what is there and is not taken goes.
Where a form of pieces does not fit, its beginning stays as far as there is room (the greedy filling of
a knapsack whose things may be cut, the best one: Dantzig 1957).
A form on demand comes by itself with its first use: made ahead of that, it takes only room to spare.
Applied, a plan leaves nothing to do: whatever was passed over is passed over again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from memos_core.scheduler.moves import Move, MoveKind, in_order
from memos_core.scheduler.policies import COST, PARAMETRIC, Policy, Worth
from memos_core.scheduler.stats import Budget, Chores, Form, Pool, Standings, Tier

_MAKING = {
    Tier.RESIDENT: MoveKind.LOAD,
    Tier.KV: MoveKind.PREFILL,
    Tier.LORA: MoveKind.DISTIL,
}


@dataclass(slots=True)
class _Room:
    """What is left of the budgets while a plan is made."""

    seconds: float  # of training
    whole: dict[Pool, float]  # bytes
    left: dict[Pool, float]


def plan(stats: Standings, budget: Budget, now: float, *, policy: Policy = COST) -> list[Move]:
    """Return the moves that pay at `now` (seconds since 1970), in the order in which to do them.

    No pool holds more than its budget afterwards, save for what is pinned, and no more is trained in
    a day than the budget has seconds.
    """
    training = float("inf") if budget.training is None else budget.training
    whole = {pool: budget.room(pool) for pool in Pool}
    room = _Room(seconds=training - stats.trained, whole=whole, left=dict(whole))
    moves = [move for chores in stats.chores for move in _chores(chores)]
    ranked = sorted(
        ((form, policy.judge(form, now)) for form in stats.forms),
        key=lambda each: _rank(each[0], each[1], policy, now),
    )
    for form, worth in ranked:
        moves += _decided(form, worth, room, policy, now)
    moved = {(move.cube, move.tier) for move in moves}
    for form, worth in ranked:
        if form.rest and form.held and not form.stale and (form.cube, form.tier) not in moved:
            moves += _completed(form, worth, room, policy, now)
    return in_order(moves)


def _rank(form: Form, worth: Worth, policy: Policy, now: float) -> tuple[int, float, tuple[str, str]]:
    """Return the place of a form: pinned ones, then what was made just now, then by worth."""
    kept = form.held and not form.stale
    if form.pinned and kept:
        return 0, 0.0, form.key
    if kept and _is_settling(form, policy, now):
        return 1, 0.0, form.key
    value = worth.keep * (1 + policy.grip) if kept else worth.keep - worth.price
    place = 2 if kept or _may_displace(form, policy) else 3
    return place, -value / (max(form.size, 1) if policy.by_size else 1), form.key


def _may_displace(form: Form, policy: Policy) -> bool:
    return policy.displaces or not form.on_demand


def _is_settling(form: Form, policy: Policy, now: float) -> bool:
    return form.since is not None and 0 <= now - form.since < policy.settle


def _decided(form: Form, worth: Worth, room: _Room, policy: Policy, now: float) -> Iterator[Move]:
    """Yield the move for a form, if it takes one, and take its bytes from the room."""
    if form.held and not form.stale:
        if form.pinned or form.size <= room.left[form.pool]:
            room.left[form.pool] -= form.size
        else:
            yield _let_go(form, worth, room)
        return
    if _wanted(form, worth, policy, now) and _fits(form, form.size, room, policy) and _can_train(form, room):
        room.left[form.pool] -= form.size
        if form.tier in PARAMETRIC:
            room.seconds -= form.make
        kind = MoveKind.RETRAIN if form.held and form.tier in PARAMETRIC else _MAKING[form.tier]
        freed = form.size if form.held else 0
        yield _move(kind, form, worth.why, saves=worth.make, frees=freed - form.size)
    elif form.held:
        yield _move(MoveKind.EVICT, form, "what it was made from has changed", frees=form.size)


def _let_go(form: Form, worth: Worth, room: _Room) -> Move:
    """Return the move that lets a form go as far as there is no room for it."""
    left = max(room.left[form.pool], 0.0)
    leaves = int(left // form.granule) * form.granule if form.granule else 0
    room.left[form.pool] -= leaves
    reason = f"no room for {'all of it' if leaves else 'it'}: {worth.why}"
    return _move(MoveKind.EVICT, form, reason, frees=form.size - leaves, leaves=leaves)


def _completed(form: Form, worth: Worth, room: _Room, policy: Policy, now: float) -> Iterator[Move]:
    """Yield the move that makes what lacks of a form that is there in part, if it pays and fits."""
    if _wanted(form, worth, policy, now) and _fits(form, form.rest, room, policy):
        room.left[form.pool] -= form.rest
        yield _move(_MAKING[form.tier], form, f"the rest: {worth.why}", saves=worth.make, frees=-form.rest)


def _fits(form: Form, size: int, room: _Room, policy: Policy) -> bool:
    """Return whether there is room for so many more bytes of a form, ahead of its use."""
    spared = 0.0 if _may_displace(form, policy) else policy.reserve * room.whole[form.pool]
    return size <= room.left[form.pool] - spared


def _wanted(form: Form, worth: Worth, policy: Policy, now: float) -> bool:
    return worth.make > 0 and form.tier in _MAKING and not _is_settling(form, policy, now)


def _can_train(form: Form, room: _Room) -> bool:
    return form.tier not in PARAMETRIC or form.make <= room.seconds


def _move(
    kind: MoveKind, form: Form, reason: str, *, saves: float = 0.0, frees: int = 0, leaves: int = 0
) -> Move:
    return Move(
        kind=kind,
        cube=form.cube,
        name=form.name,
        tier=form.tier,
        reason=reason,
        saves=saves,
        frees=frees,
        leaves=leaves,
    )


def _chores(chores: Chores) -> Iterator[Move]:
    for kind, count, size, reason in (
        (MoveKind.EXPIRE, chores.overdue, chores.overdue_size, "memories whose time is over"),
        (MoveKind.ARCHIVE, chores.rested, chores.rested_size, "memories that nobody used for so long"),
        (MoveKind.CONSOLIDATE, chores.scattered, chores.scattered_size, "things to bring together"),
    ):
        if count:
            yield Move(
                kind=kind,
                cube=chores.cube,
                name=chores.name,
                tier=Tier.TEXT,
                reason=f"{count} {reason}",
                frees=size,
            )
