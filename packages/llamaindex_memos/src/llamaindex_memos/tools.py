"""Tools with which an agent looks after the memory of the user it talks with."""

# Without `from __future__ import annotations`: LlamaIndex looks for a parameter that is a Context as it is.

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, ParamSpec, TypeVar

from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context
from pydantic import Field

from llamaindex_memos.home import CUBE, Home
from llamaindex_memos.shown import SHORTEST, one_shown, show, shown_in
from memos_core import Conflict, InvalidInput, Memory, MemOS, NotFound, Principal, Recall

P = ParamSpec("P")
R = TypeVar("R")

MOST = 50  # memories that one call of recall shows

Text = Annotated[str, Field(description="One fact in a full sentence that can be understood by itself")]
Tags = Annotated[list[str] | None, Field(description="A few words to sort it under, e.g. ['food', 'health']")]
Query = Annotated[str, Field(description="What you want to know, as a question or in a few words")]
Count = Annotated[int, Field(description="At most so many memories", ge=1, le=MOST)]
Id = Annotated[str, Field(description="The id of a memory that recall or remember has shown you")]


def memory_tools(
    memos: MemOS,
    *,
    user: Principal | str | None = None,
    owner: Principal | str | None = None,
    cube: str = CUBE,
) -> list[FunctionTool]:
    """Return the tools remember, recall, revise and forget, for `FunctionAgent(tools=...)` and its like.

    They act as `user` (None: whoever opened `memos`) in that user's own `cube`, or in `owner`'s as far
    as granted. revise and forget take ids that a tool has shown in the same run or context, never free
    text; a memory that was changed since is neither overwritten nor erased. LlamaIndex shows the model
    every error as the tool's answer; these say what the model can do about it.
    """
    verbs = _Verbs(Home(memos, cube=cube, user=user, owner=owner))
    return [
        _tool(verbs.remember, "Keep a fact about the user for later conversations."),
        _tool(
            verbs.recall, "Look up what is remembered about the user. Shows the id, date and text of each."
        ),
        _tool(verbs.revise, "Replace a memory that has become wrong by what is true now. Look it up first."),
        _tool(
            verbs.forget,
            "Erase one memory for good, when the user asks for it. Look it up first, and give its id.",
        ),
    ]


def _tool(verb: Callable[..., Any], description: str) -> FunctionTool:
    return FunctionTool.from_defaults(async_fn=verb, name=verb.__name__, description=description)


class _Verbs:
    """What the tools do."""

    def __init__(self, home: Home) -> None:
        self._home = home

    async def remember(self, ctx: Context, text: Text, tags: Tags = None) -> str:
        memory = await _tried(lambda: self._home.open().remember(text, tags=tags or ()))
        await show(ctx, [memory])
        return f"Remembered as {_short(memory)}."

    async def recall(self, ctx: Context, query: Query, k: Count = 5) -> str:
        found = await _tried(lambda: self._home.open().recall(query, k=min(k, MOST)))
        if not found:
            return "Nothing is remembered about that."
        await show(ctx, found.memories)
        lines = [f"{_short(hit.memory)} {Recall(query, (hit,)).render()}" for hit in found]
        return "\n".join(["id and text of each memory, quoted:", *lines])

    async def revise(self, ctx: Context, memory_id: Id, text: Text) -> str:
        shown = await shown_in(ctx)
        known = one_shown(memory_id, shown)
        memory = await _tried(lambda: self._home.open().revise(known, text, expected=shown[known]))
        await show(ctx, [memory])
        return f"Revised {_short(memory)}."

    async def forget(self, ctx: Context, memory_id: Id) -> str:
        shown = await shown_in(ctx)
        known = one_shown(memory_id, shown)
        receipt = await _tried(lambda: self._home.open().forget(known, expected=shown[known]))
        return f"Erased {receipt.memory_id[:SHORTEST]} and its history."


async def _tried(verb: Callable[[], R]) -> R:
    """Do it in a thread; what the model can put right is said in words for it."""
    try:
        return await asyncio.to_thread(verb)
    except Conflict as exc:
        raise InvalidInput(
            f"memory {exc.memory_id[:SHORTEST]} was changed meanwhile: recall it again, then decide"
        ) from exc
    except NotFound as exc:
        raise InvalidInput(f"there is no {exc.what} {exc.name[:SHORTEST]} any more") from exc


def _short(memory: Memory) -> str:
    return memory.id[:SHORTEST]
