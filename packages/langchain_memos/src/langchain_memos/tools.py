"""Tools with which a model looks after the memory of the user it talks with."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Concatenate, ParamSpec, TypeAlias

from langchain.tools import ToolRuntime
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import Field

from langchain_memos.inview import InView
from langchain_memos.seen import SHORTEST, artifact_of, one_seen, seen_in
from langchain_memos.whose import DEFAULT_CUBE, whose
from memos_core import (
    Conflict,
    Forbidden,
    IllegalTransition,
    InvalidInput,
    MemCube,
    Memory,
    MemOS,
    NotFound,
    QuotaExceeded,
    Recall,
)

P = ParamSpec("P")
Runs: TypeAlias = ToolRuntime[Any, Any]
Told: TypeAlias = tuple[str, dict[str, Any]]

MOST = 50  # memories that one call of recall shows

Text = Annotated[str, Field(description="One fact in a full sentence that can be understood by itself")]
Tags = Annotated[list[str] | None, Field(description="A few words to sort it under, e.g. ['food', 'health']")]
Query = Annotated[str, Field(description="What you want to know, as a question or in a few words")]
Count = Annotated[int, Field(description="At most so many memories", ge=1, le=MOST)]
Id = Annotated[str, Field(description="The id of a memory that recall or remember has shown you")]


def memory_tools(memos: MemOS, *, cube: str = DEFAULT_CUBE) -> Sequence[BaseTool]:
    """Return the tools remember, recall, revise and forget, for `create_agent(tools=...)`.

    Each call acts as the user whom the run names, in that user's own `cube` (see `whose`); a run that
    names nobody raises NoUser. revise and forget take ids that a tool has shown in the same
    conversation, never free text; a memory that was changed since is neither overwritten nor erased.
    What the model got wrong comes back to it as the tool's answer; a failing back end raises.
    """
    verbs = _Verbs(memos, cube)
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


def _tool(verb: Callable[..., Told], description: str) -> BaseTool:
    return StructuredTool.from_function(
        func=verb,
        coroutine=_awaited(verb),
        name=verb.__name__,
        description=description,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def _awaited(verb: Callable[P, Told]) -> Callable[P, Awaitable[Told]]:
    @functools.wraps(verb)
    async def run(*args: P.args, **kwargs: P.kwargs) -> Told:
        return await asyncio.to_thread(verb, *args, **kwargs)

    return run


class _Verbs:
    """What the tools do."""

    def __init__(self, memos: MemOS, cube: str) -> None:
        self._memos, self._cube = memos, cube

    def _open(self, runtime: Runs) -> MemCube:
        return whose(runtime, runtime.config, cube=self._cube).open(self._memos)

    def remember(self, text: Text, runtime: Runs, tags: Tags = None) -> Told:
        cube = self._open(runtime)
        memory = _tried(cube.remember, text, tags=tags or ())
        return f"Remembered as {_short(memory)}.", artifact_of([memory])

    def recall(self, query: Query, runtime: Runs, k: Count = 5) -> Told:
        who = whose(runtime, runtime.config, cube=self._cube)
        view = InView.in_state(runtime.state, who)
        found = _tried(who.open(self._memos).recall, query, k=k + view.most)
        told = [hit for hit in found if not view.shows(hit.memory)][:k]
        told += [hit for hit in found[:k] if view.shows(hit.memory)]  # so that it can be forgotten, too
        if not told:
            return "Nothing is remembered about that.", artifact_of([])
        lines = [f"{_short(hit.memory)} {Recall(query, (hit,)).render()}" for hit in told]
        text = "\n".join(["id and text of each memory, quoted:", *lines])
        return text, artifact_of([hit.memory for hit in told])

    def revise(self, memory_id: Id, text: Text, runtime: Runs) -> Told:
        shown = seen_in(runtime.state["messages"])
        known = one_seen(memory_id, shown)
        memory = _tried(self._open(runtime).revise, known, text, expected=shown[known])
        return f"Revised {_short(memory)}.", artifact_of([memory])

    def forget(self, memory_id: Id, runtime: Runs) -> Told:
        shown = seen_in(runtime.state["messages"])
        known = one_seen(memory_id, shown)
        receipt = _tried(self._open(runtime).forget, known, expected=shown[known])
        return f"Erased {receipt.memory_id[:SHORTEST]} and its history.", artifact_of([])


def _tried(verb: Callable[Concatenate[str, P], Any], first: str, *args: P.args, **kwargs: P.kwargs) -> Any:
    """Do it; what the model can put right becomes an answer to the model."""
    try:
        return verb(first, *args, **kwargs)
    except Conflict as exc:
        raise ToolException(
            f"memory {exc.memory_id[:SHORTEST]} was changed meanwhile: recall it again, then decide"
        ) from exc
    except NotFound as exc:
        raise ToolException(f"there is no {exc.what} {exc.name[:SHORTEST]} any more") from exc
    except (InvalidInput, IllegalTransition, QuotaExceeded, Forbidden) as exc:
        raise ToolException(str(exc)) from exc


def _short(memory: Memory) -> str:
    return memory.id[:SHORTEST]
