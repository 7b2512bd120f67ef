"""What the reader hands to the catalog: a memory that is not written yet, and its keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from memos_core.memory import STATEMENT, Trust, Visibility
from memos_core.protocols import Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A memory about to be written. Two drafts of one cube with equal `digest` are one memory.

    A draft with `turn` takes the next position of its session. `message_id` is the caller's name
    for the message: the digest is then made from it, and a new text under it is an edit.
    """

    text: str
    digest: str
    kind: str = "fact"
    tags: tuple[str, ...] = ()
    origin: str = "stated"
    made_by: str = STATEMENT
    turn: bool = False
    speaker: str | None = None
    role: str | None = None
    session: str | None = None
    message_id: str | None = None
    event_at: datetime | None = None
    expires_at: datetime | None = None
    visibility: Visibility = Visibility.PRIVATE
    sensitivity: int = 0
    priority: int = 0
    trust: Trust = Trust.TRUSTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What a memory is found by: analysed terms, and one vector per key (keys x dimensions)."""

    terms: str
    vectors: Vectors
    model: str  # the embedder's identity

    def packed(self) -> bytes:
        """Return the vectors as float16, row by row."""
        return self.vectors.astype(np.float16).tobytes()


def unpacked(data: bytes, *, keys: int) -> NDArray[np.float32]:
    """Return packed vectors as float32, shape (keys, dimensions)."""
    return np.frombuffer(data, dtype=np.float16).astype(np.float32).reshape(keys, -1)


# --- what makes two drafts the same memory ---------------------------------------------------


def statement_digest(text: str, *, kind: str, at: datetime | None) -> str:
    """Return what makes two statements of a cube the same memory: text, kind and event time."""
    return digest_of("stated", kind, instant(at), " ".join(text.split()))


def record_digest(key: str) -> str:
    """Return what no two records of a cube share: its key."""
    return digest_of("record", key)


def instant(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()


def digest_of(*parts: str | None) -> str:
    """Hash the parts so that no two lists of parts collide: each is preceded by its length."""
    hasher = hashlib.sha256()
    for part in parts:
        data = b"" if part is None else part.encode()
        hasher.update(f"{-1 if part is None else len(data)}:".encode() + data)
    return hasher.hexdigest()
