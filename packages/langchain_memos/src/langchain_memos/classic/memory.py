"""A memory for ConversationChain and its like. Legacy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from langchain_classic.base_memory import BaseMemory
from pydantic import Field

from langchain_memos.whose import DEFAULT_CUBE
from memos_core import InvalidInput, MemCube, MemOS, Message, Where

_EVERY = Where(max_sensitivity=9)


def _now() -> datetime:
    return datetime.now(UTC)


class MemOSMemory(BaseMemory):
    """What a user said earlier, recalled for the chain's next input and kept after its output.

    Legacy: `with_memories` does this for a chain of runnables, `MemOSMiddleware` for an agent.

    Takes the place of ConversationBufferMemory and VectorStoreRetrieverMemory: the variable
    `memory_key` holds at most `k` memories within `budget` tokens, quoted and dated, not the whole
    conversation. `input_key` and `output_key` name the fields that hold what was said; they need not
    be given where there is one. `clear` erases the session; without a `session`, all of the user's cube.
    """

    memos: MemOS = Field(exclude=True, repr=False)
    user: str
    session: str | None = None
    cube: str = DEFAULT_CUBE
    memory_key: str = "history"
    input_key: str | None = None
    output_key: str | None = None
    k: int = 8
    budget: int = 512
    clock: Callable[[], datetime] = Field(default=_now, exclude=True, repr=False)

    @property
    def memory_variables(self) -> list[str]:
        """The one variable that this memory adds."""
        return [self.memory_key]

    def load_memory_variables(self, inputs: dict[str, Any]) -> dict[str, str]:
        """Return what is remembered about the input; "" where nothing is."""
        asked = self._one(inputs, self.input_key, "input_key")
        if not asked.strip():
            return {self.memory_key: ""}
        found = self._open().recall(asked, k=self.k, budget=self.budget)
        return {self.memory_key: found.render(self.budget)}

    def save_context(self, inputs: dict[str, Any], outputs: dict[str, str]) -> None:
        """Keep the input and the output, verbatim."""
        now = self.clock()
        turns = (
            (self.user, "user", self._one(inputs, self.input_key, "input_key")),
            ("assistant", "assistant", self._one(outputs, self.output_key, "output_key")),
        )
        kept = [Message(speaker, text, at=now, role=role) for speaker, role, text in turns if text.strip()]
        self._open().ingest(kept, session=self.session)

    def clear(self) -> None:
        """Erase the session and what was extracted from nothing else; without one, every memory of the cube.

        What is archived goes as well. Raises IllegalTransition, and erases nothing, where one is frozen.
        """
        where = _EVERY if self.session is None else Where(sessions=(self.session,))
        self._open().forget(where=where, extracted=True)

    async def aload_memory_variables(self, inputs: dict[str, Any]) -> dict[str, str]:
        """Return what is remembered about the input, recalled in a thread."""
        return await asyncio.to_thread(self.load_memory_variables, inputs)

    async def asave_context(self, inputs: dict[str, Any], outputs: dict[str, str]) -> None:
        """Keep the input and the output, in a thread."""
        await asyncio.to_thread(self.save_context, inputs, outputs)

    async def aclear(self) -> None:
        """Erase what this memory kept, in a thread."""
        await asyncio.to_thread(self.clear)

    def _open(self) -> MemCube:
        return self.memos.as_principal(self.user).cube(self.cube)

    def _one(self, fields: Mapping[str, Any], key: str | None, name: str) -> str:
        """Return the field that holds what was said."""
        said = {each: value for each, value in fields.items() if each not in (self.memory_key, "stop")}
        if key is None and len(said) != 1:
            raise InvalidInput(f"the chain has the fields {sorted(said)}: say which with {name}=...")
        value = fields.get(key) if key is not None else next(iter(said.values()))
        if not isinstance(value, str):
            raise InvalidInput(f"{key or next(iter(said))!r} must hold a str, not {type(value).__name__}")
        return value
