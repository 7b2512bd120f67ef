"""Extraction and phrasing by OpenAI, or by any endpoint that speaks its `/v1/chat/completions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memos_core.extract import answers, phrasing
from memos_core.extract.chat import ChatExtractor
from memos_core.extract.openai_chat import OpenAIChat
from memos_core.extract.phrasing import ChatPhraser

if TYPE_CHECKING:
    from openai import OpenAI


class OpenAIExtractor(ChatExtractor):
    """A chat model behind an OpenAI-compatible endpoint, that states what is worth knowing.

    Give a `client` of the `openai` package, or `base_url` and `api_key` to have one made. With a
    `base_url` and no key none is sent, not even one that the environment holds for OpenAI; with
    neither, the `openai` package finds its key by its own rules. An endpoint that knows no JSON schema
    is asked for plain text from then on. `timeout` is in seconds; `retries` are the client's own.

    Raises BackendUnavailable if nothing answers in time or the answer is 408, 429 or 5xx, and
    BackendError for any other refusal and for an answer that holds no statements.
    """

    def __init__(
        self,
        *,
        model: str,
        client: OpenAI | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 120.0,
        retries: int = 0,
    ) -> None:
        chat = OpenAIChat(
            model=model,
            name="OpenAIExtractor",
            source=f"extractor:{model}",
            wanted="statements",
            schema=answers.schema(),
            client=client,
            base_url=base_url,
            api_key=api_key,
            timeout=timeout,
            retries=retries,
        )
        super().__init__(chat, model=model)
        self._client = chat.client


class OpenAIPhraser(ChatPhraser):
    """A chat model behind an OpenAI-compatible endpoint, that puts questions in other words.

    The arguments are those of `OpenAIExtractor`, and so is what it raises; BackendError also for an
    answer that holds no questions.
    """

    def __init__(
        self,
        *,
        model: str,
        client: OpenAI | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 120.0,
        retries: int = 0,
    ) -> None:
        chat = OpenAIChat(
            model=model,
            name="OpenAIPhraser",
            source=f"phraser:{model}",
            wanted="questions",
            schema=phrasing.schema(),
            client=client,
            base_url=base_url,
            api_key=api_key,
            timeout=timeout,
            retries=retries,
        )
        super().__init__(chat, model=model)
        self._client = chat.client
