"""What a cube has to say to a model before a conversation goes on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from memos_core.activation.choose import stable_memories
from memos_core.activation.plan import Plan, planned
from memos_core.memcube import MemCube
from memos_core.memory import Memory, checked_within
from memos_core.metering import credit
from memos_core.operator.recall import Ask
from memos_core.query import Where, checked_where
from memos_core.segment import Origin

BUDGET = 2048  # tokens of memory text in a prompt, estimated
RECALLED = 8


def crediting(cube: MemCube, plan: Plan, asked: str, answer: str) -> None:
    """Count which of a plan's memories an answer made use of."""
    shown = [memory for part in (*plan.stable, *plan.volatile) for memory in part.memories]
    credit(cube._core, shown, answer, asked=asked)


def briefed(
    cube: MemCube,
    system: str,
    asked: str | None,
    *,
    stable: Where | None = None,
    recall: int = RECALLED,
    budget: int = BUDGET,
    one_each: bool = False,
    taught: Collection[Origin] = (),
) -> Plan:
    """Return the plan of a prompt: the system text, the stable memories, and what is recalled for `asked`.

    `asked` None recalls nothing. What the model was `taught` is not said. Raises NotFound if the
    principal may not read the cube.
    """
    core, who = cube._core, cube._principal
    checked_within(budget, 1, 1 << 62, what="budget")
    checked_within(recall, 0, 10_000, what="recall")
    where = None if stable is None else checked_where(stable)
    with core.reading(who, cube.id) as (view, header):
        memories, whole = stable_memories(view, header, where=where, budget=budget)
    recalled: list[Memory] = []
    if asked is not None and recall and not whole:
        known = {memory.id for memory in memories} | {origin.memory_id for origin in taught}
        ask = Ask(query=asked, k=recall + len(known), where=Where(), budget=None)
        found = core.recaller.recall(who, cube.id, ask).memories
        recalled = [memory for memory in found if memory.id not in known][:recall]
    elif asked is not None:
        core.recaller.asked(who, [cube.id])
    unsaid = [each for each in memories if Origin(each.id, each.version) not in taught]
    plan = planned(header, system=system, stable=unsaid, recalled=recalled, budget=budget, one_each=one_each)
    return replace(plan, behind=tuple(taught))
