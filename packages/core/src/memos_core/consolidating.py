"""Consolidation done: look, plan, embed what is new, and write it all in one transaction, or nothing."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

from memos_core.consolidation import (
    GIST,
    Act,
    Action,
    Allowance,
    Consolidating,
    Consolidation,
    Undone,
    Until,
)
from memos_core.core import Core
from memos_core.cube import CubeHeader, Principal, Right
from memos_core.governance import NEEDS
from memos_core.memory import Relation, Visibility
from memos_core.reader.keys import keys_of
from memos_core.scheduler.consolidated import Pair, Planned, Scene, consolidated
from memos_core.vault import tx_consolidate as writing
from memos_core.vault.draft import Keys
from memos_core.vault.tx import Tx
from memos_core.vault.view import View

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done within the allowance, and how much more there would be."""

    planned: Sequence[Planned]
    left: int


def planned_for(view: View, cube: CubeHeader, settings: Consolidating, allowance: Allowance) -> Plan:
    """Return the plan for an entered cube; nothing is written."""
    if not allowance.changes or not allowance.seconds:
        return Plan(planned=(), left=0)
    until = Until(time.monotonic() + allowance.seconds, time.monotonic)
    away = writing.put_away(view, cube)
    undone = {
        each.id: frozenset(
            link.target for link in each.header.behaviour.lineage if link.relation is Relation.DERIVED_FROM
        )
        for each in away
        if each.kind != GIST
    }
    scene = Scene(
        memories=writing.in_sight(view, cube),
        linked=said_apart(writing.linked(view, cube), undone),
        declined=list(undone.values()),
        put_away=[each for each in away if each.kind == GIST],
        now=view.now,
    )
    found = [each for each in consolidated(scene, settings, until) if _is_allowed(each, cube)]
    return Plan(planned=found[: allowance.changes], left=max(0, len(found) - allowance.changes))


def said_apart(linked: Collection[Pair], undone: Mapping[str, frozenset[str]]) -> set[Pair]:
    """Return pairs (newer, older), and those of the statements that an undone merge had stood for.

    A succession of a merged memory that was taken back with the merge is known of each of its sources.
    """

    def all_of(memory_id: str) -> set[str]:
        found, pending = {memory_id}, [memory_id]
        while pending:
            fresh = undone.get(pending.pop(), frozenset()) - found
            found |= fresh
            pending += fresh
        return found

    return {(one, other) for newer, older in linked for one in all_of(newer) for other in all_of(older)}


def _is_allowed(planned: Planned, cube: CubeHeader) -> bool:
    """Whether whoever entered the cube may write this: it takes SHARE to write what everybody may read."""
    draft = planned.draft
    return draft is None or draft.visibility is not Visibility.PUBLIC or Right.SHARE in cube.access.rights


def consolidate(
    core: Core,
    principal: Principal,
    cube_id: str,
    settings: Consolidating,
    allowance: Allowance,
    *,
    dry_run: bool,
    finish: Callable[[Any], None] | None = None,
) -> Consolidation:
    """Consolidate a cube; `finish` is called in the transaction of the effect, where there is one."""
    core.recaller.write_uses()
    with core.reading(principal, cube_id, NEEDS["consolidate"]) as (view, cube):
        plan = planned_for(view, cube, settings, allowance)
    if dry_run or not plan.planned:
        actions = tuple(_action(each, None) for each in plan.planned)
        return Consolidation(cube=cube_id, run=None, actions=actions, dry_run=dry_run, left=plan.left)
    while True:
        embedder = core.embedder()
        drafts = [each.draft for each in plan.planned if each.draft is not None]
        made = iter(keys_of(drafts, embedder) if drafts else [])
        keys = [None if each.draft is None else next(made) for each in plan.planned]
        with core.erasing(principal) as tx:
            entered = tx.enter(cube_id, principal, NEEDS["consolidate"])
            if drafts and not tx.is_embedded_by(embedder.identity):
                continue  # the store changed over to another embedder meanwhile
            done = _written(tx, entered, list(zip(plan.planned, keys, strict=True)))
            if finish is not None:
                finish(tx.connection)
        if done.run is not None:
            counts = {
                f"{act}s": count for act, count in Counter(each.act.value for each in done.actions).items()
            }
            log.info("consolidated", extra={"run": done.run, "counts": counts})
        return Consolidation(cube=cube_id, run=done.run, actions=done.actions, left=plan.left)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    run: int | None
    actions: tuple[Action, ...]


def _written(tx: Tx, entered: CubeHeader, plan: Sequence[tuple[Planned, Keys | None]]) -> _Done:
    """Do what still holds of a plan, as one change; nothing is counted where nothing holds any more."""
    still = [(each, keys) for each, keys in plan if _still_holds(tx, entered, each)]
    if not still:
        return _Done(run=None, actions=())
    cube = tx.counted(entered)
    stands_for: dict[str, str] = {}
    actions = []
    for each, keys in still:
        action = _do(tx, cube, each, keys, stands_for)
        if action is not None:
            actions.append(action)
    counts = Counter(each.act.value for each in actions)
    tx.note(cube, writing.VERB, detail=" ".join(f"{act}={count}" for act, count in sorted(counts.items())))
    return _Done(run=cube.change, actions=tuple(actions))


def _still_holds(tx: Tx, cube: CubeHeader, planned: Planned) -> bool:
    """Whether all is as it was when this was planned, and another run did not do it meanwhile.

    What would be written may have its end by now, with something frozen that it repeats.
    """
    end = None if planned.draft is None else planned.draft.expires_at
    if not writing.is_as_it_was(tx, cube, planned.touched) or (end is not None and end <= tx.now):
        return False
    is_first = planned.act is Act.GIST and planned.replaced is None
    return not (is_first and writing.has_gist(tx, cube, planned.sources[0]))


def _do(
    tx: Tx, cube: CubeHeader, planned: Planned, keys: Keys | None, stands_for: dict[str, str]
) -> Action | None:
    """Take one action; None if it came to nothing. `stands_for` maps the merged to what speaks for them."""
    action = _action(planned, None)
    if planned.draft is not None and keys is not None:
        action = _action(planned, writing.write(tx, cube, planned.draft, keys, planned.sources))
    match planned.act:
        case Act.MERGE:
            for source in planned.sources:
                writing.put_by(tx, cube, source.id)
                stands_for[source.id] = action.into or source.id
        case Act.SUPERSEDE:
            newer, older = (stands_for.get(each.id, each.id) for each in planned.sources)
            return (
                replace(action, sources=(newer, older)) if writing.supersede(tx, cube, newer, older) else None
            )
        case Act.ARCHIVE:
            writing.put_by(tx, cube, planned.sources[0].id)
        case Act.GIST:
            if planned.replaced is not None:
                writing.put_by(tx, cube, planned.replaced.id)
        case _:
            assert_never(planned.act)
    return action


def undo(core: Core, principal: Principal, cube_id: str, run: int) -> Undone:
    """Take a run back, as one change."""
    with core.erasing(principal) as tx:
        return writing.undo(tx, tx.open(cube_id, NEEDS["undo"]), run)


def _action(planned: Planned, into: str | None) -> Action:
    return Action(
        act=planned.act,
        sources=tuple(each.id for each in planned.sources),
        reason=planned.reason,
        into=into,
    )
