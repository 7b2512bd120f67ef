"""Facts about the store itself, kept in its catalog."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

STORE_ID = "store"
EMBEDDER = "embedder"
ERASED_WORDS = "lexical.erased"  # set while the catalog's files still hold erased words in their bytes
ERASED_BYTES = "index.erased"  # the same of the vector index's files


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderRecord:
    """What made the store's vectors. `spec` reopens it; None where only the caller can."""

    identity: str
    dimensions: int
    spec: str | None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> EmbedderRecord:
        return cls(**json.loads(text))
