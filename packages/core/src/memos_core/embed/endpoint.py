"""Embeddings from OpenAI, or from any endpoint that speaks its `/v1/embeddings`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from memos_core.embed.bundled import require
from memos_core.embed.vectors import checked_texts, no_vectors, unit_vectors
from memos_core.openai_errors import translated
from memos_core.protocols import Vectors

if TYPE_CHECKING:
    from openai import OpenAI

_BATCH = 64  # texts a request


class OpenAIEmbedder:
    """A model behind an OpenAI-compatible endpoint.

    Give a `client` of the `openai` package, or `base_url` and `api_key` to have one made. With a
    `base_url` and no key none is sent, not even one that the environment holds for OpenAI; with
    neither, the `openai` package finds its key by its own rules. `dimensions` asks the model for
    shorter vectors; without it the first answer tells the length. `revision` completes the
    identity `model@revision`: change it when the endpoint changes the weights behind a name.
    `timeout` is in seconds; `retries` are the client's own, before this class gives up.

    Every call raises BackendUnavailable if nothing answers in time or the answer is 408, 429 or
    5xx, and BackendError for any other refusal (a text over the model's limit, say: most endpoints
    do not cut it) and for an answer that holds no usable vectors.
    """

    def __init__(
        self,
        *,
        model: str,
        client: OpenAI | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        dimensions: int | None = None,
        revision: str | None = None,
        timeout: float = 30.0,
        retries: int = 2,
    ) -> None:
        require("openai", extra="openai")
        self._model, self._asked, self._dimensions = model, dimensions, dimensions
        length = "" if dimensions is None else f"-{dimensions}"
        self._identity = f"{model}@{revision or 'endpoint'}{length}"
        if client is None:
            from openai import OpenAI  # noqa: PLC0415 - 0.5 s

            key = api_key or ("none" if base_url else None)
            with translated(self._identity, wanted="embeddings"):
                client = OpenAI(base_url=base_url, api_key=key, timeout=timeout, max_retries=retries)
        self._client = client

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def dimensions(self) -> int:
        """Length of each vector; if nobody told, the first call asks the endpoint."""
        if self._dimensions is None:
            self._dimensions = len(self.embed_query("dimensions"))
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, shape (len(texts), dimensions), in the order of the texts."""
        checked = checked_texts(texts)
        if not checked:
            return no_vectors(self.dimensions)
        return np.concatenate([self._ask(checked[at : at + _BATCH]) for at in range(0, len(checked), _BATCH)])

    def embed_query(self, text: str) -> Vectors:
        """Return the unit vector of the text, shape (dimensions,)."""
        vector: Vectors = self._ask(checked_texts([text]))[0]
        return vector

    def _ask(self, texts: list[str]) -> Vectors:
        from openai import omit  # noqa: PLC0415 - imported with the client

        with translated(self._identity, wanted="embeddings"):
            answer = self._client.embeddings.create(
                model=self._model,
                input=[text or " " for text in texts],  # OpenAI refuses the empty string
                dimensions=omit if self._asked is None else self._asked,
                encoding_format="float",  # the one form that every endpoint has
            )
            rows = [item.embedding for item in sorted(answer.data, key=lambda item: item.index)]
        vectors = unit_vectors(rows, count=len(texts), dimensions=self._dimensions, source=self._identity)
        self._dimensions = vectors.shape[1]
        return vectors
