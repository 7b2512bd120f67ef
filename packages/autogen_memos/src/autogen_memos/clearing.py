"""Emptying a cube."""

from __future__ import annotations

from memos_core import Forbidden, IllegalTransition, MemCube, NotFound, Principal, State


def cleared(cube: MemCube, *, who: Principal) -> int:
    """Erase every memory and record of a cube, archived ones too; return how many memories.

    Only its owner may: whoever may write is not thereby asked to speak for all. Raises Forbidden, or
    IllegalTransition where a memory is frozen, before anything is erased.
    """
    if cube.owner != who.name:
        raise Forbidden(who.name, verb="clear", what=f"cube {cube.name!r} of {cube.owner!r}")
    frozen = cube.list(state=State.FROZEN, limit=1)
    if frozen:
        raise IllegalTransition(
            frozen[0].id, state="frozen", verb="clear", remedy="unfreeze it first, or keep the cube"
        )
    cube.records.put([], drop=[record.key for record in cube.records.list()])
    gone = [*cube.list(), *cube.list(state=State.ARCHIVED)]
    return sum(_forgotten(cube, memory.id) for memory in gone)


def _forgotten(cube: MemCube, memory_id: str) -> bool:
    try:
        cube.forget(memory_id)
    except NotFound:  # somebody else was faster
        return False
    return True
