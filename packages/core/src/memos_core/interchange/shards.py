"""Vectors in a `.memcube` file: safetensors of some thousand memories each, in the order of the memories."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from memos_core.errors import FormatError

Half = NDArray[np.float16]

PER_SHARD: Final = 4096  # memories
SHARD_LIMIT: Final = 1 << 30  # bytes
_FORMAT: Final = "memcube.vectors/1"
_LENGTH_OFF: Final = 0.02  # of a unit vector, in half precision


def written(keys: Sequence[int], data: bytes, *, dimensions: int, embedder: str) -> bytes:
    """Return the safetensors file of one shard. `keys` tells how many vectors each memory has.

    `data` are the vectors, float16, row by row.
    """
    table = _table(keys, size=len(data), dimensions=dimensions, embedder=embedder)
    head = json.dumps(table, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + np.asarray(keys, dtype="<i4").tobytes() + data


def _table(keys: Sequence[int], *, size: int, dimensions: int, embedder: str) -> dict[str, Any]:
    """Return the JSON at a shard's beginning."""
    counts = 4 * len(keys)
    return {
        "__metadata__": {"format": _FORMAT, "embedder": embedder},
        "keys": {"dtype": "I32", "shape": [len(keys)], "data_offsets": [0, counts]},
        "vectors": {
            "dtype": "F16",
            "shape": [sum(keys), dimensions],
            "data_offsets": [counts, counts + size],
        },
    }


def read(data: bytes, *, count: int, dimensions: int, embedder: str) -> Iterator[Half]:
    """Yield the vectors of each memory of a shard, shape (keys, dimensions); a memory may have none.

    FormatError unless the file is exactly what `written` makes for so many memories, and every vector
    has length 1.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise FormatError("a shard of vectors is cut off")
    start = 8 + length
    try:
        keys = np.frombuffer(data, "<i4", count, start)
        rows = np.frombuffer(data, "<f2", offset=start + keys.nbytes).reshape(-1, dimensions)
        table = _table(keys.tolist(), size=rows.nbytes, dimensions=dimensions, embedder=embedder)
        sound = json.loads(data[8:start]) == table
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise FormatError(f"a shard of vectors is damaged ({exc})") from exc
    if not sound or (keys < 0).any() or int(keys.sum()) != len(rows):
        raise FormatError("a shard of vectors does not hold what its header and the manifest say")
    lengths = np.linalg.norm(rows.astype(np.float32), axis=1)
    if not (np.abs(lengths - 1) < _LENGTH_OFF).all():
        raise FormatError("a shard holds vectors that are not of length 1")
    first = 0
    for number in keys.tolist():
        yield rows[first : first + number]
        first += number
