"""A language model on this machine that answers with a cube's memories, as LlamaIndex's LLM."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from pydantic import Field, PrivateAttr

from llamaindex_memos.home import Home, HomeField
from llamaindex_memos.turns import asked
from memos_core import (
    AsyncStream,
    InvalidInput,
    MemOS,
    Principal,
    RemoteRuntime,
    Reply,
    Runtime,
    Sampling,
    Stream,
    Where,
)

_SAMPLING = ("max_tokens", "temperature", "top_p", "top_k", "seed", "stop")
_HOST_SAYS = ("formatted",)  # what LlamaIndex passes on to every completion


class MemOSLLM(CustomLLM):
    """Answers on a `Runtime`: a local model with attached states, or a server behind RemoteRuntime.

    ::

        llm = MemOSLLM(Runtime.open(), memos=memos, user="mira", cube="memory")
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=memory)

    With a `cube` every prompt begins with its stable memories, whose states are computed once and
    attached from then on, and has at most `recall` others that fit the question; `stable` and
    `memory_budget` are those of `Runtime.chat`. Without one it is a plain model. Beside a MemOSMemory,
    which recalls by itself, pass recall=0. Several calls at once are safe. Closing the runtime is up
    to you. `raw` of a response says which memories it stood on and what was reused.

    It does not call tools by itself: give it to ReActAgent, not to FunctionAgent.
    """

    model_name: str = "memos"
    home: HomeField | None = None
    context_window: int = Field(default=DEFAULT_CONTEXT_WINDOW, ge=1)
    max_tokens: int = Field(default=256, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    recall: int = Field(default=8, ge=0)
    memory_budget: int = Field(default=2_048, ge=1)
    stable: Where | None = None

    _runtime: Runtime | RemoteRuntime = PrivateAttr()

    def __init__(
        self,
        runtime: Runtime | RemoteRuntime,
        *,
        memos: MemOS | None = None,
        cube: str | None = None,
        user: Principal | str | None = None,
        owner: Principal | str | None = None,
        **fields: Any,
    ) -> None:
        if cube is not None:
            fields["home"] = Home(memos, cube=cube, user=user, owner=owner)
        elif memos is not None or user is not None or owner is not None:
            raise InvalidInput("a store without a cube: pass cube=... to answer with its memories")
        if isinstance(runtime, Runtime):
            fields.setdefault("context_window", runtime.engine.context)
            fields.setdefault("model_name", runtime.engine.identity.engine)
        super().__init__(**fields)
        self._runtime = runtime

    @classmethod
    def class_name(cls) -> str:
        """The name under which this class is written."""
        return "MemOSLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex needs to know of the model."""
        return LLMMetadata(
            context_window=self.context_window,
            num_output=self.max_tokens,
            is_chat_model=True,
            is_function_calling_model=False,
            model_name=self.model_name,
        )

    # --- conversations -----------------------------------------------------------------------

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return the answer to a conversation."""
        return _answer(self._stream(messages, kwargs).finished())

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return the answer to a conversation; the model computes in a thread."""
        return await asyncio.to_thread(lambda: _answer(self._stream(messages, kwargs).finished()))

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Return the answer as it is said; walking away from it ends the computing."""
        stream = self._stream(messages, kwargs)

        def said() -> ChatResponseGen:
            text = ""
            try:
                for delta in stream:
                    text += delta
                    yield _partly(text, delta)
                yield _answer(stream.finished(), delta="")
            finally:
                stream.close()

        return said()

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Return the answer as it is said, each part computed in a thread."""
        stream = AsyncStream(await asyncio.to_thread(self._stream, messages, kwargs))

        async def said() -> ChatResponseAsyncGen:
            text = ""
            try:
                async for delta in stream:
                    text += delta
                    yield _partly(text, delta)
                yield _answer(await stream.finished(), delta="")
            finally:
                await stream.close()

        return said()

    # --- bare prompts ------------------------------------------------------------------------

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: ARG002, FBT001, FBT002 - LlamaIndex's signature
        """Return the answer to a prompt, as if a user had said it."""
        return _completed(_answer(self._stream(_one(prompt), kwargs).finished()))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: ARG002, FBT001, FBT002 - LlamaIndex's signature
        """Return the answer to a prompt; the model computes in a thread."""
        stream = await asyncio.to_thread(self._stream, _one(prompt), kwargs)
        return _completed(_answer(await asyncio.to_thread(stream.finished)))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:  # noqa: ARG002, FBT001, FBT002 - LlamaIndex's signature
        """Return the answer to a prompt as it is said."""
        told = self.stream_chat(_one(prompt), **kwargs)
        return (_completed(each) for each in told)

    @llm_completion_callback()
    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: ARG002, FBT001, FBT002 - LlamaIndex's signature
        **kwargs: Any,
    ) -> CompletionResponseAsyncGen:
        """Return the answer to a prompt as it is said, each part computed in a thread."""
        told = await self.astream_chat(_one(prompt), **kwargs)

        async def said() -> CompletionResponseAsyncGen:
            async for each in told:
                yield _completed(each)

        return said()

    # --- one call ----------------------------------------------------------------------------

    def _stream(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> Stream:
        sampling = self._sampling(kwargs)
        system, turns = asked(messages, system=self.system_prompt)
        return self._runtime.stream(
            turns,
            None if self.home is None else self.home.open(),
            system=system,
            stable=self.stable,
            recall=self.recall,
            budget=self.memory_budget,
            sampling=sampling,
        )

    def _sampling(self, kwargs: dict[str, Any]) -> Sampling:
        strange = kwargs.keys() - {*_SAMPLING, *_HOST_SAYS}
        if strange:
            raise InvalidInput(f"a runtime knows no {sorted(strange)}: use {', '.join(_SAMPLING)}")
        given = {name: kwargs[name] for name in _SAMPLING if kwargs.get(name) is not None}
        if "stop" in given:
            given["stop"] = (given["stop"],) if isinstance(given["stop"], str) else tuple(given["stop"])
        return Sampling(**{"max_tokens": self.max_tokens, "temperature": self.temperature, **given})


def _one(prompt: str) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, content=prompt)]


def _partly(text: str, delta: str) -> ChatResponse:
    return ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=text), delta=delta)


def _answer(reply: Reply, *, delta: str | None = None) -> ChatResponse:
    raw = {**asdict(reply), "memories": list(reply.memories)}
    return ChatResponse(
        message=ChatMessage(role=MessageRole.ASSISTANT, content=reply.text),
        raw=raw,
        delta=delta,
        additional_kwargs={
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.tokens,
            "total_tokens": reply.prompt_tokens + reply.tokens,
        },
    )


def _completed(answer: ChatResponse) -> CompletionResponse:
    return CompletionResponse(
        text=answer.message.content or "",
        delta=answer.delta,
        raw=answer.raw,
        additional_kwargs=answer.additional_kwargs,
    )
