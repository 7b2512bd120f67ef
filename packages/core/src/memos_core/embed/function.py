"""An embedder made of a function."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import ArrayLike

from memos_core.embed.vectors import checked_texts, no_vectors, unit_vectors
from memos_core.errors import BackendUnavailable, InvalidInput
from memos_core.protocols import Vectors

_BATCH = 64  # texts a call


class CallableEmbedder:
    """A function from a list of texts to one vector each, as an Embedder.

    `function` gets at most 64 texts a call, possibly from several threads; its vectors may be of any
    length and scale, as lists or arrays, and are brought to unit length. `query`, if given, does the
    same for texts that ask. `identity` is `model@revision`: give another when the vectors change.
    `dimensions` is the length of each vector; without it the first answer tells.

    Raises InvalidInput for an identity of another form. A call raises BackendError for vectors of
    another shape, not finite or all zero, BackendUnavailable for a ConnectionError or TimeoutError
    of the function; its other exceptions are its own and pass unchanged.
    """

    def __init__(
        self,
        function: Callable[[list[str]], ArrayLike],
        *,
        identity: str,
        dimensions: int | None = None,
        query: Callable[[list[str]], ArrayLike] | None = None,
    ) -> None:
        model, _, revision = identity.rpartition("@")
        if not model.strip() or not revision.strip():
            raise InvalidInput(f"identity must read model@revision, e.g. 'mine@1', not {identity!r}")
        if dimensions is not None and dimensions < 1:
            raise InvalidInput(f"dimensions must be 1 or more, not {dimensions}")
        self._function, self._query = function, query or function
        self._identity, self._dimensions = identity, dimensions

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def dimensions(self) -> int:
        """Length of each vector; if nobody told, the function is asked once."""
        if self._dimensions is None:
            self._dimensions = len(self.embed_query("dimensions"))
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, shape (len(texts), dimensions), in the order of the texts."""
        checked = checked_texts(texts)
        batches = [checked[at : at + _BATCH] for at in range(0, len(checked), _BATCH)]
        if not batches:
            return no_vectors(self.dimensions)
        return np.concatenate([self._call(self._function, batch) for batch in batches])

    def embed_query(self, text: str) -> Vectors:
        """Return the unit vector of a text that asks, shape (dimensions,)."""
        vector: Vectors = self._call(self._query, checked_texts([text]))[0]
        return vector

    def _call(self, function: Callable[[list[str]], ArrayLike], texts: list[str]) -> Vectors:
        count = len(texts)
        with _translated(self._identity):
            raw = function(texts)
        vectors = unit_vectors(raw, count=count, dimensions=self._dimensions, source=self._identity)
        self._dimensions = vectors.shape[1]
        return vectors


@contextmanager
def _translated(source: str) -> Generator[None]:
    try:
        yield
    except (ConnectionError, TimeoutError) as exc:
        raise BackendUnavailable(f"{source} does not answer: {exc}") from exc
