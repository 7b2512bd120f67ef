"""Extraction by OpenAI, or by any endpoint that speaks its `/v1/chat/completions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memos_core.errors import BackendError, InvalidInput
from memos_core.extract.answers import schema
from memos_core.extract.chat import ChatExtractor
from memos_core.openai_errors import translated

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
        try:
            import openai  # noqa: PLC0415 - 0.5 s
        except ImportError as exc:
            raise InvalidInput("OpenAIExtractor needs: pip install 'memos-suite-core[openai]'") from exc
        super().__init__(self._answer, model=model)
        self._plain = False
        if client is None:
            key = api_key or ("none" if base_url else None)
            with translated(self.identity, wanted="statements"):
                client = openai.OpenAI(base_url=base_url, api_key=key, timeout=timeout, max_retries=retries)
        self._client = client

    def _answer(self, system: str, told: str) -> str:
        if not self._plain:
            try:
                return self._asked(system, told, form=_FORM)
            except BackendError as exc:
                if getattr(exc.__cause__, "status_code", None) not in (400, 422):
                    raise
            answer = self._asked(system, told)
            self._plain = True  # it was the schema that was refused: the same without one was answered
            return answer
        return self._asked(system, told)

    def _asked(self, system: str, told: str, **form: Any) -> str:
        with translated(self.identity, wanted="statements"):
            answer = self._client.chat.completions.create(
                model=self._model,
                messages=[
                    {"role": "system", "content": system},
                    {"role": "user", "content": told},
                ],
                temperature=0.0,
                **({"response_format": form["form"]} if form else {}),
            )
            return str(answer.choices[0].message.content or "") if answer.choices else ""


_FORM = {
    "type": "json_schema",
    "json_schema": {"name": "statements", "strict": True, "schema": schema()},
}
