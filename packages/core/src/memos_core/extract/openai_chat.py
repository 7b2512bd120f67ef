"""Asking OpenAI, or any endpoint that speaks its `/v1/chat/completions`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from memos_core.errors import BackendError, InvalidInput
from memos_core.openai_errors import translated

if TYPE_CHECKING:
    from openai import OpenAI


class OpenAIChat:
    """A function from a system text and a message to what a model behind an endpoint says.

    `name` is what the caller is called where the package is missing, `source` and `wanted` stand in the
    messages of errors. `schema` is the JSON schema of an answer: an endpoint that knows none is asked for
    plain text from then on. The other arguments, and what it raises, are as in `OpenAIExtractor`.
    """

    def __init__(
        self,
        *,
        model: str,
        name: str,
        source: str,
        wanted: str,
        schema: Mapping[str, Any],
        client: OpenAI | None,
        base_url: str | None,
        api_key: str | None,
        timeout: float,
        retries: int,
    ) -> None:
        try:
            import openai  # noqa: PLC0415 - 0.5 s
        except ImportError as exc:
            raise InvalidInput(f"{name} needs: pip install 'memos-suite-core[openai]'") from exc
        self._model, self._source, self._wanted = model, source, wanted
        form = {"name": wanted, "strict": True, "schema": schema}
        self._form: dict[str, Any] | None = {"type": "json_schema", "json_schema": form}
        if client is None:
            key = api_key or ("none" if base_url else None)
            with translated(source, wanted=wanted):
                client = openai.OpenAI(base_url=base_url, api_key=key, timeout=timeout, max_retries=retries)
        self.client = client

    def __call__(self, system: str, told: str) -> str:
        """Return the model's answer, "" for none."""
        if self._form is None:
            return self._asked(system, told)
        try:
            return self._asked(system, told, response_format=self._form)
        except BackendError as exc:
            if getattr(exc.__cause__, "status_code", None) not in (400, 422):
                raise
        answer = self._asked(system, told)
        self._form = None  # it was the schema that was refused: the same without one was answered
        return answer

    def _asked(self, system: str, told: str, **form: Any) -> str:
        with translated(self._source, wanted=self._wanted):
            answer = self.client.chat.completions.create(
                model=self._model,
                messages=[
                    {"role": "system", "content": system},
                    {"role": "user", "content": told},
                ],
                temperature=0.0,
                **form,
            )
            return str(answer.choices[0].message.content or "") if answer.choices else ""
