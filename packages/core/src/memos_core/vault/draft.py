"""What the reader hands to the catalog: a memory that is not written yet, and its keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

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
