"""Which memories a prompt is made of: what is always there, and what this question needs."""

from __future__ import annotations

from memos_core.activation.plan import PERSONA, cost, ordered, within
from memos_core.cube import CubeHeader
from memos_core.memory import Memory, Trust
from memos_core.query import Where
from memos_core.vault.view import View

_LINE_TOKENS = 6  # the shortest line there can be


def stable_memories(
    view: View, cube: CubeHeader, *, where: Where | None, budget: int
) -> tuple[list[Memory], bool]:
    """Return the memories that stand in every prompt, in order, and whether nothing was left out.

    With `where`, those that match, as far as they fit. Without: the whole cube if it fits the
    budget; else who one is (kind "persona") and what has a priority, up to half of the budget. What
    is not trusted stands in no prompt of its own accord: only where `where` or the question asks.
    """
    if where is not None:
        matching = unsuperseded(view, cube, view.settled(cube, where, limit=_most(budget)))
        return within(ordered(matching), budget), False
    every = view.settled(cube, Where(), limit=_most(budget))
    if len(every) < _most(budget):
        present = unsuperseded(view, cube, every)
        trusted = [memory for memory in present if memory.trust is Trust.TRUSTED]
        if sum(map(cost, trusted)) <= budget:
            return ordered(trusted), len(trusted) == len(present)
    marked = {
        memory.id: memory
        for wanted in (
            Where(kinds=(PERSONA,), trust=Trust.TRUSTED),
            Where(min_priority=1, trust=Trust.TRUSTED),
        )
        for memory in view.settled(cube, wanted, limit=_most(budget))
    }
    return within(ordered(unsuperseded(view, cube, list(marked.values()))), budget // 2), False


def _most(budget: int) -> int:
    return budget // _LINE_TOKENS + 1


def unsuperseded(view: View, cube: CubeHeader, memories: list[Memory]) -> list[Memory]:
    """Return the memories without those that another one in sight replaces."""
    pairs = view.successors(cube, [memory.id for memory in memories])
    seqs = view.seqs_of(cube, sorted({newer for newer, _ in pairs}))
    seen = view.seqs_in_sight(cube, seqs.values())
    gone = {older for newer, older in pairs if seqs.get(newer) in seen}
    return [memory for memory in memories if memory.id not in gone]
