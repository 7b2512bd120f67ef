"""What every text index checks before it stores or looks for anything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from memos_core.errors import InvalidInput
from memos_core.memory import checked_name, checked_time
from memos_core.protocols import IndexEntry, Vectors

_CUBE = re.compile(r"[0-9a-f]{32}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LENGTH_TOLERANCE = 1e-2  # of a unit vector; half precision is off by less than 1e-3


def checked_entries(entries: Sequence[IndexEntry], *, dimensions: int) -> list[IndexEntry]:
    """Return the entries, of several with one id the last, once every one of them can be stored.

    InvalidInput names the first that cannot; nothing has been written by then.
    """
    for entry in entries:
        checked_name(entry.id, what="memory id")
        checked_cubes([entry.cube])
        checked_time(entry.at, what="at")
        _checked_utf8(entry)
        _checked_vectors(entry.vectors, shape=(len(entry.vectors), dimensions), what=f"memory {entry.id!r}")
        if not len(entry.vectors):
            raise InvalidInput(f"memory {entry.id!r} has no vector: it could never be found")
    return list({entry.id: entry for entry in entries}.values())


def checked_query(vector: Vectors, *, dimensions: int) -> Vectors:
    """Return the question's vector if it is one of this index's: shape (dimensions,), length 1."""
    _checked_vectors(vector, shape=(dimensions,), what="the query")
    return vector.astype(np.float32, copy=False)


def checked_cubes(cubes: Sequence[str]) -> list[str]:
    """Return the cube hashes without repeats, each 32 lowercase hexadecimal digits."""
    if isinstance(cubes, str):
        raise InvalidInput(f"cubes must be several hashes, not {cubes!r}: write cubes=[...]")
    for cube in cubes:
        if not isinstance(cube, str) or not _CUBE.fullmatch(cube):
            raise InvalidInput(f"a cube is named by 32 lowercase hexadecimal digits here, not by {cube!r}")
    return list(dict.fromkeys(cubes))


def microseconds(at: datetime) -> int:
    """Return the time in microseconds since 1970-01-01 UTC, exactly; a naive time is refused."""
    checked_time(at, what="at")
    return (at - _EPOCH) // timedelta(microseconds=1)


def _checked_vectors(vectors: Vectors, *, shape: tuple[int, ...], what: str) -> None:
    if vectors.shape != shape:
        raise InvalidInput(
            f"{what} has vectors of shape {vectors.shape}, not {shape}: another embedder made them"
        )
    lengths = np.linalg.norm(vectors, axis=-1)
    if not np.all(np.abs(lengths - 1.0) < _LENGTH_TOLERANCE):  # not (a < b) is true of NaN, too
        raise InvalidInput(f"{what} has a vector of Euclidean length other than 1: normalise it")


def _checked_utf8(entry: IndexEntry) -> None:
    for name in ("text", "kind", "session"):
        try:
            getattr(entry, name).encode("utf-8")
        except UnicodeEncodeError as exc:
            raise InvalidInput(
                f"{name} of memory {entry.id!r} is not valid Unicode (a lone surrogate at {exc.start})"
            ) from exc
