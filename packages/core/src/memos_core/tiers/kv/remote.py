"""A model behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp's own, or one of a provider.

Nothing of its attention state can be had from here, only what such servers do by themselves: they keep
the state of prompts they have seen and reuse the longest prefix. So the same parts in the same order
are worth the same here as on an engine of ours. Such a server shares prefixes between all who ask,
and who measures its time can tell what others asked, unless a salt keeps the groups apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

from memos_core.errors import BackendError, BackendUnavailable, InvalidInput
from memos_core.inference import Turn
from memos_core.openai_errors import translated
from memos_core.reply import Sampling

if TYPE_CHECKING:
    from openai import OpenAI, Stream
    from openai.types.chat import ChatCompletionChunk

_SALTED = ("field", "text", "no")


class RemoteAnswer:
    """The text as it comes; iterate it once. What is told beside the text is complete after that.

    `finish` is "stop", or "length" where `max_tokens` or the context ended the text; a server may
    have reasons of its own. `tokens` and `prompt_tokens` are counts, None where the server tells
    none. `cached_tokens` is how many of the prompt it did not compute, likewise.
    """

    def __init__(self, chunks: Stream[ChatCompletionChunk], *, source: str) -> None:
        self._chunks, self._source = chunks, source
        self._texts = self._read()
        self.finish = ""
        self.tokens: int | None = None
        self.prompt_tokens: int | None = None
        self.cached_tokens: int | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self._texts)

    def close(self) -> None:
        """Hang up: the server may stop generating."""
        self._texts.close()
        self._chunks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _read(self) -> Generator[str]:
        with translated(self._source, wanted="text"):
            for chunk in self._chunks:
                self._count(chunk)
                for choice in chunk.choices[:1]:
                    self.finish = choice.finish_reason or self.finish
                    if choice.delta.content:
                        yield choice.delta.content
        if not self.finish:
            raise BackendUnavailable(f"{self._source} hung up in the middle of its answer")

    def _count(self, chunk: ChatCompletionChunk) -> None:
        timings = (chunk.model_extra or {}).get("timings")
        if isinstance(timings, dict) and type(timings.get("cache_n")) is int:  # llama.cpp
            self.cached_tokens = timings["cache_n"]
        if chunk.usage is None:
            return
        self.tokens, self.prompt_tokens = chunk.usage.completion_tokens, chunk.usage.prompt_tokens
        details = chunk.usage.prompt_tokens_details
        if details is not None and details.cached_tokens is not None:
            self.cached_tokens = details.cached_tokens


class RemoteModel:
    """A model behind an OpenAI-compatible `/v1/chat/completions`.

    Give a `client` of the `openai` package, or `base_url` and `api_key` to have one made. With a
    `base_url` and no key none is sent, not even one that the environment holds for OpenAI; with
    neither, the `openai` package finds its key by its own rules. `timeout` is in seconds, for the
    first piece of text and between pieces; `retries` are the client's own, before this class gives
    up.

    `salted` says how groups of readers are kept apart: "field" sends their salt as `cache_salt`, as
    vLLM and SGLang take it (llama.cpp ignores that, OpenAI refuses it); "text" puts a line that is
    made from it before the system text, which works everywhere and costs some twenty tokens; "no"
    shares prefixes between all.
    """

    def __init__(
        self,
        *,
        model: str,
        client: OpenAI | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        salted: str = "field",
        timeout: float = 120.0,
        retries: int = 2,
    ) -> None:
        if find_spec("openai") is None:
            raise BackendError(
                "a remote model needs the package openai: pip install 'memos-suite-core[openai]'"
            )
        if salted not in _SALTED:
            raise InvalidInput(f"salted is one of {', '.join(_SALTED)}, not {salted!r}")
        self.model, self._salted = model, salted
        self._owned = client is None
        if client is None:
            from openai import OpenAI  # noqa: PLC0415 - 0.5 s

            key = api_key or ("none" if base_url else None)
            with translated(model, wanted="text"):
                client = OpenAI(base_url=base_url, api_key=key, timeout=timeout, max_retries=retries)
        self._client = client

    @property
    def identity(self) -> str:
        """The model's name, and twelve hexadecimal digits for the address, which may hold a secret."""
        address = hashlib.sha256(str(self._client.base_url).encode()).hexdigest()
        return f"{self.model}@{address[:12]}"

    def complete(
        self, system: Sequence[str], turns: Sequence[Turn], sampling: Sampling, *, cache_salt: str = ""
    ) -> RemoteAnswer:
        """Return the answer, streamed.

        `system` are the parts of the system text in the order in which they are to be reused: the
        parts that change least come first. A turn of the role "tool" goes as the user's, for a
        tool's message must name a call. `cache_salt` names who may share prefixes; "" is everybody.

        This call and the reading raise BackendUnavailable if nothing answers in time, the answer is
        408, 429 or 5xx, or breaks off; and BackendError for any other refusal.
        """
        with translated(self.model, wanted="text"):
            chunks = self._client.chat.completions.create(**self._asked(system, turns, sampling, cache_salt))
        return RemoteAnswer(chunks, source=self.model)

    def close(self) -> None:
        """Close the connections, unless the client was given. Closing twice is no error."""
        if self._owned:
            self._client.close()

    def _asked(
        self, system: Sequence[str], turns: Sequence[Turn], sampling: Sampling, cache_salt: str
    ) -> dict[str, Any]:
        text = "".join(system)
        if cache_salt and self._salted == "text":
            text = f"[{hashlib.sha256(cache_salt.encode()).hexdigest()[:16]}]\n{text}"
        messages = [{"role": "system", "content": text}] if text else []
        messages += [{"role": _role(turn.role), "content": turn.text} for turn in turns]
        asked: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if sampling.temperature > 0:
            asked |= {"top_p": sampling.top_p} | ({} if sampling.seed is None else {"seed": sampling.seed})
        if sampling.stop:
            asked["stop"] = list(sampling.stop)
        extra: dict[str, Any] = {"top_k": sampling.top_k} if sampling.temperature and sampling.top_k else {}
        if cache_salt and self._salted == "field":
            extra["cache_salt"] = cache_salt
        return asked | ({"extra_body": extra} if extra else {})


def _role(role: str) -> str:
    return "user" if role == "tool" else role
