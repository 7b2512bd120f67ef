"""What every embedder needs: checked texts in, checked unit vectors out, batches in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from memos_core.errors import BackendError, InvalidInput
from memos_core.protocols import Vectors


def checked_texts(texts: Sequence[str]) -> list[str]:
    """Return the texts as a new list, if each is a str that UTF-8 can write; else raise InvalidInput."""
    if isinstance(texts, str):
        raise InvalidInput("embed() takes several texts, not one: write embed([text]) or embed_query(text)")
    for at, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidInput(f"text {at} must be a str, not {type(text).__name__}")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as exc:
            raise InvalidInput(f"text {at} is not valid Unicode: a lone surrogate at {exc.start}") from exc
    return list(texts)


def no_vectors(dimensions: int) -> Vectors:
    """Return the answer to no texts: shape (0, dimensions)."""
    return np.zeros((0, dimensions), dtype=np.float32)


def unit_vectors(raw: ArrayLike, *, count: int, dimensions: int | None, source: str) -> Vectors:
    """Return `raw` as `count` float32 rows of length 1; `dimensions` None takes what comes.

    Raises BackendError naming `source` if the shape is another, or a row is not finite or all zero:
    such a vector is like nothing, and would be stored for ever.
    """
    try:
        rows = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise BackendError(f"{source} gave no table of numbers: {exc}") from exc
    if rows.ndim != 2 or len(rows) != count or not 0 < rows.shape[1] == (dimensions or rows.shape[1]):
        wanted = f"({count}, {dimensions or 'any'})"
        raise BackendError(f"{source} gave vectors of shape {rows.shape}, not {wanted}")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise BackendError(f"{source} gave a vector that is not finite, for text {bad[0]} of {count}")
    peaks = np.abs(rows).max(axis=1, keepdims=True)  # first scaled: squares of 1e200 overflow
    if count and not peaks.all():
        raise BackendError(f"{source} gave a zero vector, for text {int(np.argmin(peaks))} of {count}")
    rows = rows / peaks
    units: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return units


def length_batches(lengths: Sequence[int], *, size: int) -> Iterator[list[int]]:
    """Yield positions in batches of at most `size`, shortest first, so that little is padded."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for start in range(0, len(order), size):
        yield order[start : start + size]
