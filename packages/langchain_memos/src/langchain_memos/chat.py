"""A chat model on this machine, with a cube's memories in its prompt and their states attached."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field, PrivateAttr, model_validator

from langchain_memos.replies import metadata_of, usage_of
from langchain_memos.spoken import as_said
from memos_core import InvalidInput, MemCube, MemOS, RemoteRuntime, Runtime, Sampling, Stream, Where

_PER_CALL = ("user", "cube", "owner", "temperature", "max_tokens", "top_p", "top_k", "seed")
_OPENING = threading.Lock()  # one model is loaded at a time
_NO_BUSINESS = ("stream", "ls_structured_output_format")  # LangChain's own, meant for itself


class ChatMemOS(BaseChatModel):
    """A language model on this machine as a LangChain chat model.

    ::

        model = ChatMemOS(memos=memos, cube="mira")       # the bundled small model, on the CPU
        model.invoke("Where does Mira live?").text

    What is the same at every call (the system text and the stable memories) is computed once and
    attached from then on; `usage_metadata` counts it as `cache_read`. `runtime` is a Runtime or a
    RemoteRuntime that you opened and close, and `model` then only what traces call it; without one
    `Runtime.open(model)` is called at the first call. Without `memos` the model answers without
    memories. `user` is whose eyes it sees with (None: those of `memos`), `owner` whose cube it is if it
    is somebody else's; `stable`, `recall` and `budget` are those of `Runtime.chat`. `user`, `cube`,
    `owner` and the sampling may be given to one call, too: `model.invoke(messages, user="mira")`.

    It calls no tools and sees no pictures: messages with either raise InvalidInput. Answers that
    memories went into are never taken from or put into LangChain's cache of answers.
    """

    runtime: Runtime | RemoteRuntime | None = Field(default=None, exclude=True, repr=False)
    model: str = "smollm2-135m"
    memos: MemOS | None = Field(default=None, exclude=True, repr=False)
    cube: str = "memory"
    user: str | None = None
    owner: str | None = None
    stable: Where | None = None
    recall: int = 8
    budget: int = 2048
    temperature: float = 0.0
    max_tokens: int = 256
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: list[str] | None = None

    model_config: ClassVar[Any] = {"arbitrary_types_allowed": True}
    _opened: Runtime | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _uncached(self) -> ChatMemOS:
        """A cache of answers knows neither who asks nor what is remembered or forgotten meanwhile."""
        if self.memos is not None:
            if self.cache not in (None, False):
                raise ValueError("answers with memories cannot be cached: leave `cache` out")
            self.cache = False
        return self

    def _generate_with_cache(self, *args: Any, **kwargs: Any) -> ChatResult:
        """Ask the model: a copy with memories may stand beside a cache that its original had."""
        if self.memos is not None:
            self.cache = False
        return super()._generate_with_cache(*args, **kwargs)

    async def _agenerate_with_cache(self, *args: Any, **kwargs: Any) -> ChatResult:
        """Ask the model; see `_generate_with_cache`."""
        if self.memos is not None:
            self.cache = False
        return await super()._agenerate_with_cache(*args, **kwargs)

    def __getstate__(self) -> dict[Any, Any]:
        """Return the settings: a model that was opened for them is opened again."""
        state = super().__getstate__()
        private = {**(state["__pydantic_private__"] or {}), "_opened": None}
        return {**state, "__pydantic_private__": private}

    @property
    def _llm_type(self) -> str:
        return "memos"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """Return what tells two of these apart, for traces and caches."""
        told = {name: getattr(self, name) for name in ("temperature", "max_tokens", "top_p", "top_k", "seed")}
        if self.runtime is not None:
            told["runtime"] = self.runtime.identity
        return {"model": self._named, **told, "own_stop": self.stop}  # "stop" is that of one call

    @property
    def _named(self) -> str:
        """The model's name; without one, a runtime that was given is called what it is."""
        if self.runtime is None or "model" in self.model_fields_set:
            return self.model
        return self.runtime.identity

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        """Return what a trace says of this model."""
        return LangSmithParams(
            ls_provider="memos",
            ls_model_name=kwargs.get("model", self._named),
            ls_model_type="chat",
            ls_temperature=kwargs.get("temperature", self.temperature),
            ls_max_tokens=kwargs.get("max_tokens", self.max_tokens),
            ls_stop=stop or self.stop or [],
        )

    # --- LangChain's calls -------------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - LangChain's signature
        **given: Any,
    ) -> ChatResult:
        reply = self._answer(messages, stop, given).finished()
        message = AIMessage(
            reply.text,
            usage_metadata=usage_of(reply),
            response_metadata=metadata_of(reply, model=self._named),
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **given: Any,
    ) -> Iterator[ChatGenerationChunk]:
        answer = self._answer(messages, stop, given)
        try:
            for text in answer:
                chunk = _piece(text)
                if run_manager is not None:
                    run_manager.on_llm_new_token(text, chunk=chunk)
                yield chunk
            yield self._last(answer)
        finally:
            answer.close()

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **given: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        answer = await asyncio.to_thread(self._answer, messages, stop, given)
        try:
            while (text := await asyncio.to_thread(next, answer, None)) is not None:
                chunk = _piece(text)
                if run_manager is not None:
                    await run_manager.on_llm_new_token(text, chunk=chunk)
                yield chunk
            yield self._last(answer)
        finally:
            await asyncio.to_thread(answer.close)

    # --- ours --------------------------------------------------------------------------------

    def _answer(self, messages: list[BaseMessage], stop: list[str] | None, given: dict[str, Any]) -> Stream:
        """Begin an answer; `given` is what this one call says otherwise."""
        unknown = sorted(set(given) - {*_PER_CALL, *_NO_BUSINESS})
        if unknown:
            raise InvalidInput(
                f"this model takes no {', '.join(unknown)}; one call may say {', '.join(_PER_CALL)}"
            )
        chosen = {name: given.get(name, getattr(self, name)) for name in _PER_CALL}
        cube = self._cube(*(chosen.pop(name) for name in ("user", "cube", "owner")))
        return self._engine().stream(
            as_said(messages),
            cube,
            stable=self.stable,
            recall=self.recall,
            budget=self.budget,
            sampling=Sampling(**chosen, stop=tuple(stop or self.stop or ())),
        )

    def _cube(self, user: str | None, cube: str, owner: str | None) -> MemCube | None:
        """Return whose memories go into the prompt; NotFound for a cube that may not be seen."""
        if self.memos is None:
            return None
        memos = self.memos if user is None else self.memos.as_principal(user)
        return memos.cube(cube, owner=owner)

    def _engine(self) -> Runtime | RemoteRuntime:
        if self.runtime is not None:
            return self.runtime
        with _OPENING:
            if self._opened is None:
                self._opened = Runtime.open(self.model)
            return self._opened

    def close(self) -> None:
        """Release the model that was opened here; a `runtime` that you gave is yours to close."""
        with _OPENING:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def _last(self, answer: Stream) -> ChatGenerationChunk:
        """Return the chunk after the last text: what it took, and why it ended."""
        reply = answer.finished()
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                usage_metadata=usage_of(reply),
                response_metadata=metadata_of(reply, model=self._named),
                chunk_position="last",
            )
        )


def _piece(text: str) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=text))
