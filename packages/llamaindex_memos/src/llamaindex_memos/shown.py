"""Which memories a run has been shown: only these may be changed or erased by a tool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from llama_index.core.workflow import Context

from memos_core import InvalidInput, Memory

SHORTEST = 8
"""Characters of an id that a model has to repeat."""

_KEY = "memos_shown"


async def show(ctx: Context, memories: Iterable[Memory]) -> None:
    """Note in the run's state which memories were shown, and their versions."""
    fresh = {memory.id: memory.version for memory in memories}
    async with ctx.store.edit_state() as state:  # tools may run side by side
        state[_KEY] = {**state.get(_KEY, {}), **fresh}


async def shown_in(ctx: Context) -> Mapping[str, int]:
    """Return the memories that tools have shown in this run's state, and the version shown last."""
    shown: dict[str, int] = await ctx.store.get(_KEY, default={})
    return shown


def one_shown(memory_id: str, shown: Mapping[str, int]) -> str:
    """Return the one id that was shown and begins so, else raise InvalidInput that tells the model."""
    wanted = memory_id.strip().lower()
    if len(wanted) < SHORTEST:
        raise InvalidInput(f"{memory_id!r} is no id: repeat one that recall has shown you, e.g. 1a2b3c4d")
    found = [known for known in shown if known.startswith(wanted)]
    if len(found) != 1:
        raise InvalidInput(
            f"you have not been shown a memory {memory_id!r}: call recall, look at what it returns, "
            f"and repeat the id of the memory that is meant"
        )
    return found[0]
