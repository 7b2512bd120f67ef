"""A model on this machine as AutoGen's chat completion client, with a cube's memories in its prompt."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from autogen_core import CancellationToken, Component
from autogen_core.models import ChatCompletionClient, CreateResult, LLMMessage, ModelInfo, RequestUsage
from autogen_core.tools import Tool, ToolSchema
from pydantic import BaseModel, ConfigDict

from autogen_memos.asked import SAMPLED, as_said, checked_options, estimated
from autogen_memos.models import Borrowed
from autogen_memos.waiting import awaited
from autogen_memos.written_down import (
    store_from_config,
    store_to_config,
    where_from_config,
    where_to_config,
)
from memos_core import (
    Closed,
    InvalidInput,
    MemCube,
    MemOS,
    RemoteRuntime,
    Reply,
    Runtime,
    Sampling,
    Stream,
    Where,
)

CONTEXT = 2048  # tokens that every model of today takes
_INFO: ModelInfo = {
    "vision": False,
    "function_calling": False,
    "json_output": False,
    "structured_output": False,
    "family": "unknown",
    "multiple_system_messages": False,
}


class MemOSChatCompletionClientConfig(BaseModel):
    """A MemOSChatCompletionClient as it is written down. `store` are Settings; nothing secret is in it."""

    model_config = ConfigDict(extra="forbid")

    model: str = "smollm2-135m"
    store: dict[str, Any] | None = None
    user: str | None = None
    cube: str = "memory"
    owner: str | None = None
    stable: dict[str, Any] | None = None
    recall: int = 8
    budget: int = 2048
    temperature: float = 0.0
    max_tokens: int = 256
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: list[str] | None = None
    context: int | None = None


class MemOSChatCompletionClient(ChatCompletionClient, Component[MemOSChatCompletionClientConfig]):
    """A language model on this machine as AutoGen's chat completion client.

    ::

        client = MemOSChatCompletionClient(memos=memos, user="mira")     # the bundled small model, on the CPU
        agent = AssistantAgent("helper", client)

    A cube's memories stand in its prompt, and what was computed for the stable ones is attached at
    the next call. `runtime` is a Runtime or RemoteRuntime that you opened and close; without one the
    clients of one `model` share it, from the first call to the last `close`. Without `memos` it
    answers without memories. `user` is whose eyes it sees with, `owner` whose cube it is if it is
    somebody else's; `stable`, `recall` and `budget` are those of `Runtime.chat`. One call may say
    `user cube owner` and the sampling in `extra_create_args`. `context` bounds `remaining_tokens`.

    It calls no tools, sees no pictures and promises no JSON: asked for those it raises InvalidInput.
    """

    component_type: ClassVar[str] = "model"
    component_provider_override: ClassVar[str | None] = "autogen_memos.MemOSChatCompletionClient"
    component_config_schema = MemOSChatCompletionClientConfig

    def __init__(
        self,
        *,
        memos: MemOS | None = None,
        runtime: Runtime | RemoteRuntime | None = None,
        stable: Where | None = None,
        **given: Any,
    ) -> None:
        unknown = sorted(
            set(given) - set(MemOSChatCompletionClientConfig.model_fields) | {"store"} & set(given)
        )
        if unknown:
            raise InvalidInput(f"there is no setting {', '.join(unknown)}")
        self.memos, self.runtime, self.stable = memos, runtime, stable
        self.settings = MemOSChatCompletionClientConfig(**given)
        self._sampling({})  # what is wrong is said now
        self._borrowed = Borrowed(self.settings.model)
        self._lent: MemOS | None = None
        self._ended = False
        self._counting = threading.Lock()
        self._last, self._total = RequestUsage(0, 0), RequestUsage(0, 0)
        self.last_reply: Reply | None = None
        """What the call that ended last took, reused and had in its prompt."""

    # --- AutoGen's calls ---------------------------------------------------------------------

    async def create(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
    ) -> CreateResult:
        """Return the model's whole answer; cancelled, it stops after the word that is being said."""
        said = self.create_stream(
            messages,
            tools=tools,
            tool_choice=tool_choice,
            json_output=json_output,
            extra_create_args=extra_create_args,
            cancellation_token=cancellation_token,
        )
        parts = [part async for part in said]
        return next(part for part in parts if isinstance(part, CreateResult))

    async def create_stream(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
    ) -> AsyncGenerator[str | CreateResult, None]:
        """Yield the answer's texts as they are said, then the whole of it."""
        given = checked_options(
            tools=tools, tool_choice=tool_choice, json_output=json_output, given=extra_create_args or {}
        )
        answer = await awaited(cancellation_token, self._answer, as_said(messages), given)
        try:
            while (text := await awaited(cancellation_token, next, answer, None)) is not None:
                yield text
            yield self._result(answer.finished())
        finally:
            await asyncio.to_thread(answer.close)

    async def close(self) -> None:
        """Release the model and the store that were opened here; what was handed in is yours to close."""
        self._ended = True
        await asyncio.to_thread(self._borrowed.give_back)
        lent, self._lent = self._lent, None
        if lent is not None:
            await asyncio.to_thread(lent.close)

    def actual_usage(self) -> RequestUsage:
        """Return the tokens of the call that ended last."""
        return self._last

    def total_usage(self) -> RequestUsage:
        """Return the tokens of all calls."""
        return self._total

    def count_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()) -> int:
        """Return a cautious estimate, without the memories that will stand before the messages."""
        checked_options(tools=tools, tool_choice="auto", json_output=None, given={})
        return estimated(messages)

    def remaining_tokens(
        self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()
    ) -> int:
        """Return how many tokens of the context these messages, memories and an answer would leave.

        The context is the one given, else the loaded model's, else 2,048.
        """
        context = self.settings.context or getattr(getattr(self.runtime, "engine", None), "context", None)
        context = context or self._borrowed.context or CONTEXT
        memories = 0 if self.memos is None else min(self.settings.budget, context // 2)
        return int(context) - memories - self.count_tokens(messages, tools=tools)

    @property
    def capabilities(self) -> ModelInfo:
        """What the model can do, under its older name."""
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        """What the model can do: say text."""
        return {**_INFO}

    # --- ours --------------------------------------------------------------------------------

    def _answer(self, said: Any, given: Mapping[str, Any]) -> Stream:
        """Begin an answer; blocking: the first call loads the model."""
        if self._ended:
            raise Closed
        runtime = self._borrowed.runtime() if self.runtime is None else self.runtime
        return runtime.stream(
            said,
            self._cube(given),
            stable=self.stable,
            recall=self.settings.recall,
            budget=self.settings.budget,
            sampling=self._sampling(given),
        )

    def _sampling(self, given: Mapping[str, Any]) -> Sampling:
        chosen = {name: given.get(name, getattr(self.settings, name)) for name in SAMPLED}
        return Sampling(**{**chosen, "stop": tuple(chosen["stop"] or ())})

    def _cube(self, given: Mapping[str, Any]) -> MemCube | None:
        if self.memos is None:
            return None
        user, cube, owner = (
            given.get(name, getattr(self.settings, name)) for name in ("user", "cube", "owner")
        )
        memos = self.memos if user is None else self.memos.as_principal(user)
        return memos.cube(cube, owner=owner)

    def _result(self, reply: Reply) -> CreateResult:
        usage = RequestUsage(prompt_tokens=reply.prompt_tokens, completion_tokens=reply.tokens)
        with self._counting:
            self.last_reply, self._last = reply, usage
            self._total = RequestUsage(
                self._total.prompt_tokens + usage.prompt_tokens,
                self._total.completion_tokens + usage.completion_tokens,
            )
        finish: Literal["length", "stop"] = "length" if reply.finish == "length" else "stop"
        return CreateResult(finish_reason=finish, content=reply.text, usage=usage, cached=False)

    # --- written down and read back ----------------------------------------------------------

    def _to_config(self) -> MemOSChatCompletionClientConfig:
        if self.runtime is not None:
            raise InvalidInput("a live runtime cannot be written down: name a `model` instead")
        store = None if self.memos is None else store_to_config(self.memos)
        user = self.settings.user
        if user is None and self.memos is not None:
            user = self.memos.principal.name
        return self.settings.model_copy(
            update={"store": store, "user": user, "stable": where_to_config(self.stable)}
        )

    @classmethod
    def _from_config(cls, config: MemOSChatCompletionClientConfig) -> Self:
        given = config.model_dump(exclude={"store", "stable"}, exclude_unset=True)
        memos = None
        if config.store is not None:
            memos = store_from_config(config.store, principal=config.user or "local")
        client = cls(memos=memos, stable=where_from_config(config.stable), **given)
        client._lent = memos
        return client
