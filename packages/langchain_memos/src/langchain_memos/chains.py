"""Memory for chains: a runnable that adds what is remembered to the input of a prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from langchain_memos.whose import DEFAULT_CUBE, Whose, whose
from memos_core import InvalidInput, MemOS, Where

NOTHING = "(nothing is remembered)"


def with_memories(
    memos: MemOS,
    *,
    cube: str = DEFAULT_CUBE,
    question: str = "question",
    memories: str = "memories",
    k: int = 8,
    budget: int = 512,
    where: Where | None = None,
) -> Runnable[dict[str, Any], dict[str, Any]]:
    """Return a runnable that passes its input on with one more field, `memories`.

    ::

        chain = with_memories(memos) | prompt | model
        chain.invoke({"question": "..."}, config={"configurable": {"user_id": "mira"}})

    The field holds what the user's own `cube` answers to the field `question`: at most `k` memories
    within `budget` tokens, quoted and dated, one a line; "(nothing is remembered)" where there is
    nothing. A run that names no user raises NoUser.
    """

    def told(fields: Mapping[str, Any], who: Whose) -> dict[str, Any]:
        asked = fields.get(question) if isinstance(fields, Mapping) else None
        if not isinstance(asked, str):
            raise InvalidInput(f"the input needs a field {question!r} with the question as a str")
        found = who.open(memos).recall(asked, k=k, budget=budget, where=where)
        return {**fields, memories: found.render(budget) or NOTHING}

    def recall(fields: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
        return told(fields, whose(None, config, cube=cube))

    async def arecall(fields: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
        return await asyncio.to_thread(told, fields, whose(None, config, cube=cube))

    return RunnableLambda(recall, arecall, name="with_memories")
