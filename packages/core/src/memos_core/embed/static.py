"""Static embedder: a text is the mean of its words' vectors. No network, microseconds, order-blind.

Vectors and tokenizer come from the package `wordllama` (MIT), whose files are read here directly:
importing it would configure logging for the whole program and may download.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memos_core.embed.bundled import package_file, require, revision
from memos_core.embed.vectors import checked_texts, no_vectors, unit_vectors
from memos_core.errors import BackendError
from memos_core.protocols import Vectors

_TOKENS = 1024  # a mean over more says nothing, and a long text must not take memory without bound
_CHARACTERS = 65_536  # hold far more than 1,024 tokens; tokenising a whole MiB takes seconds
_WINDOW = 256  # texts whose word vectors are held at once
_UNKNOWN = 0  # "<unk>", what a text without any token is taken for


class StaticEmbedder:
    """wordllama's l2_supercat: 256 dimensions, reads the first 1,024 tokens of a text.

    About a hundredth of MiniLM's time, at a few points of recall. Loads in its constructor (0.2 s, 16 MB).

    Raises BackendError from the constructor if the package is missing or its files are damaged.
    """

    def __init__(self) -> None:
        require("tokenizers", extra=None)
        require("safetensors", extra="static")
        weights = package_file("wordllama", "weights", "l2_supercat_256.safetensors", extra="static")
        words = package_file("wordllama", "tokenizers", "l2_supercat_tokenizer_config.json", extra="static")
        from safetensors import SafetensorError  # noqa: PLC0415 - only this embedder needs it here
        from safetensors.numpy import load_file  # noqa: PLC0415 - as above
        from tokenizers import Tokenizer  # noqa: PLC0415 - as above

        try:
            self._table = load_file(weights)["embedding.weight"]
        except (SafetensorError, KeyError) as exc:
            raise BackendError(f"the word vectors at {weights} cannot be loaded: {exc}") from exc
        self._tokenizer = Tokenizer.from_file(str(words))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_TOKENS)
        self._identity = f"wordllama-l2-supercat-256@{revision(weights)}"

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def dimensions(self) -> int:
        return int(self._table.shape[1])

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, shape (len(texts), 256), in the order of the texts."""
        checked = checked_texts(texts)
        windows = [self._embed_window(checked[at : at + _WINDOW]) for at in range(0, len(checked), _WINDOW)]
        return np.concatenate(windows) if windows else no_vectors(self.dimensions)

    def embed_query(self, text: str) -> Vectors:
        """Return the unit vector of the text, shape (256,)."""
        vector: Vectors = self.embed([text])[0]
        return vector

    def _embed_window(self, texts: list[str]) -> Vectors:
        heads = [text[:_CHARACTERS] for text in texts]
        encodings = self._tokenizer.encode_batch_fast(heads, add_special_tokens=False)
        tokens = [encoding.ids or [_UNKNOWN] for encoding in encodings]
        starts = np.cumsum([0, *(len(ids) for ids in tokens[:-1])])
        states = self._table[np.concatenate(tokens)].astype(np.float32)
        sums = np.add.reduceat(states, starts, axis=0)
        return unit_vectors(sums, count=len(texts), dimensions=self.dimensions, source=self._identity)
