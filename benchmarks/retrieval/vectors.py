"""Vectors come again from run to run: an embedder that keeps on disk what another one made."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from memos_core.protocols import Embedder, Vectors

_BATCH = 512


class KeptEmbedder:
    """Answers like `inner`, from `folder` where it has answered before. Safe from several threads."""

    def __init__(self, inner: Embedder, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        self._inner = inner
        self._lock = threading.Lock()
        self._kept = sqlite3.connect(
            folder / f"{inner.identity}.vectors", check_same_thread=False, timeout=60
        )
        self._kept.execute(
            "CREATE TABLE IF NOT EXISTS kept (text BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID"
        )

    @property
    def identity(self) -> str:
        return self._inner.identity

    @property
    def dimensions(self) -> int:
        return self._inner.dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector per text, shape (len(texts), dimensions)."""
        digests = [hashlib.sha256(text.encode()).digest() for text in texts]
        with self._lock:
            known = self._known(digests)
            lacking = {each: text for each, text in zip(digests, texts, strict=True) if each not in known}
            for start in range(0, len(lacking), _BATCH):
                part = dict(list(lacking.items())[start : start + _BATCH])
                known |= self._made(part)
        rows = [np.frombuffer(known[each], dtype=np.float32) for each in digests]
        return np.stack(rows) if rows else np.zeros((0, self.dimensions), dtype=np.float32)

    def embed_query(self, text: str) -> Vectors:
        """Return the unit vector of a text that asks. The embedders measured here ask as they answer."""
        vector: Vectors = self.embed([text])[0]
        return vector

    def close(self) -> None:
        """Close the file."""
        self._kept.close()

    def _known(self, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for each in set(digests):
            row = self._kept.execute("SELECT vector FROM kept WHERE text = ?", (each,)).fetchone()
            if row is not None:
                found[each] = row[0]
        return found

    def _made(self, texts: dict[bytes, str]) -> dict[bytes, bytes]:
        vectors = self._inner.embed(list(texts.values())).astype(np.float32)
        made = {digest: vector.tobytes() for digest, vector in zip(texts, vectors, strict=True)}
        with self._kept:
            self._kept.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", list(made.items()))
        return made
