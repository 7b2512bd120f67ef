"""The file that a segment is stored in: safetensors with our header, never believed unread.

The layout is in docs/formats/kv.md. NumPy only, so that every engine can use it.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memos_core.errors import BackendError, FormatError, NotFound
from memos_core.segment import FORMAT, SegmentHeader, from_json, to_json

Array = NDArray[Any]

HEAD_LIMIT = 16 * 2**20  # bytes; a million tokens need less

_CHUNK = 1 << 20  # bytes that are read and hashed at a time, while they are in the processor's cache
_ZEROS = "0" * 64
_DIGEST = re.compile("[0-9a-f]{64}")
_ALIGNMENT = 64  # bytes, of the first tensor; the larger elements come first, so that all are aligned
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items()}


class _Tensor(NamedTuple):
    """Where a tensor lies; `begin` counts from the first byte after the head."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int


class _Head(NamedTuple):
    """The JSON at the beginning of a file, understood; `raw` are its bytes with the length before them.

    `size` is how many bytes follow.
    """

    raw: bytes
    metadata: Mapping[str, str]
    tensors: Mapping[str, _Tensor]
    size: int


def write(
    header: SegmentHeader, tensors: Mapping[str, Array], extra: Mapping[str, str] | None = None
) -> bytes:
    """Return a file of these arrays; equal arguments give equal bytes.

    `extra` are the form's parameters. TypeError for an array of elements that safetensors has no
    name for; bfloat16 goes in as uint16, with a parameter that says so.
    """
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    table: dict[str, Any] = {
        "__metadata__": {
            "format": FORMAT,
            "header": to_json(header),
            "parameters": json.dumps(dict(extra or {}), sort_keys=True, separators=(",", ":")),
            "sha256": _ZEROS,
        }
    }
    pieces: list[memoryview] = []
    end = 0
    for name, array in ordered:
        piece = _bytes_of(array)
        begin, end = end, end + len(piece)
        table[name] = {
            "dtype": _dtype_name(array),
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
        pieces.append(piece)
    head = _framed(json.dumps(table, separators=(",", ":")).encode())
    digits = _checksum(head, *pieces)
    return b"".join([head.replace(f'"sha256":"{_ZEROS}"'.encode(), f'"sha256":"{digits}"'.encode()), *pieces])


def read(path: Path, header: SegmentHeader) -> tuple[Mapping[str, Array], Mapping[str, str]]:
    """Return the arrays and the form's parameters of a file that `write` made for this very header.

    The arrays are a copy in memory: no file stays open for them, and what is written to them never
    reaches it. FormatError where the file is damaged, of another header, or no such file at all;
    NotFound where there is none; BackendError where it cannot be read now, which says nothing of it.
    """
    head, data = _loaded(path)
    if _header(head) != header:
        raise FormatError(f"{path.name} is another KV segment than {header.key}: build it anew")
    try:
        arrays = {name: _array(data, tensor) for name, tensor in head.tensors.items()}
    except ValueError as exc:
        raise FormatError(f"{path.name} has a tensor of an impossible shape") from exc
    return arrays, _parameters(head)


def header_of(path: Path) -> SegmentHeader:
    """Return the header that a file claims; only `read` tells whether its tensors are sound.

    FormatError where it is no such file or cut short; NotFound where there is none; BackendError
    where it cannot be read now.
    """
    with _opened(path) as file:
        return _header(_head(file))


def header_in(data: bytes) -> SegmentHeader:
    """Return the header of a whole file in memory; FormatError where it is damaged or no such file."""
    head = _understood(data[: 8 + _length(data[:8])], len(data))
    _check_sum(head, _checksum(_unsigned(head), memoryview(data)[len(head.raw) :]))
    return _header(head)


def renamed(data: bytes, header: SegmentHeader) -> bytes:
    """Return the file of `data` with another header and the same tensors.

    FormatError unless the file is sound. Whoever names a state anew says that it is one of these
    tokens, after these tokens: nothing in the file tells.
    """
    header_in(data)
    head = _understood(data[: 8 + _length(data[:8])], len(data))
    table = json.loads(head.raw[8:].decode())
    table["__metadata__"] |= {"header": to_json(header), "sha256": _ZEROS}
    raw = _framed(json.dumps(table, separators=(",", ":")).encode())
    tensors = data[len(head.raw) :]
    digits = _checksum(raw, tensors)
    return raw.replace(f'"sha256":"{_ZEROS}"'.encode(), f'"sha256":"{digits}"'.encode()) + tensors


# --- writing ---------------------------------------------------------------------------------


def _bytes_of(array: Array) -> memoryview:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data


def _dtype_name(array: Array) -> str:
    name = _NAMES.get(array.dtype.newbyteorder("<"))
    if name is None:
        raise TypeError(f"safetensors has no element type for {array.dtype}")
    return name


def _framed(head: bytes) -> bytes:
    """Return the JSON with its length before it, filled up with spaces to the alignment."""
    filled = head + b" " * (-(8 + len(head)) % _ALIGNMENT)
    return len(filled).to_bytes(8, "little") + filled


def _checksum(*pieces: bytes | memoryview) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)  # releases the GIL
    return digest.hexdigest()


# --- reading ---------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path) -> Generator[io.BufferedReader]:
    """Open a file; what keeps it from being read now is told apart from what is wrong with it."""
    try:
        with path.open("rb") as file:
            yield file
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise NotFound("KV segment", path.name) from exc
    except IsADirectoryError as exc:
        raise FormatError(f"{path.name} is a folder and no KV segment") from exc
    except (OSError, MemoryError) as exc:
        raise BackendError(f"{path.name} cannot be read now ({exc}): see to that and ask again") from exc


def _head(file: io.BufferedReader) -> _Head:
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    return _understood(start + file.read(min(_length(start), size)), size)


def _loaded(path: Path) -> tuple[_Head, Array]:
    """Return the head and the bytes after it, whose checksum is right."""
    with _opened(path) as file:
        head = _head(file)
        data = np.empty(head.size, np.uint8)
        digest = hashlib.sha256(_unsigned(head))
        end = 0
        while count := file.readinto(data[end : end + _CHUNK].data):
            digest.update(data[end : end + count].data)  # releases the GIL
            end += count
    _check_sum(head, digest.hexdigest())
    return head, data


def _length(start: bytes) -> int:
    """Return how long the JSON says it is."""
    length = int.from_bytes(start[:8], "little")
    if len(start) < 8 or not 2 <= length <= HEAD_LIMIT:
        raise FormatError("this is no KV segment: its header has an impossible length")
    return length


def _understood(raw: bytes, size: int) -> _Head:
    """Return the head of a file of so many bytes; every claim that it makes about them holds."""
    if len(raw) < 8 + _length(raw):
        raise FormatError("this KV segment is cut short within its header")
    try:
        table = json.loads(raw[8:].decode())
        metadata = table.pop("__metadata__")
        if not all(type(value) is str for value in metadata.values()):
            raise FormatError("this is no KV segment: its metadata is not text")
        tensors = {str(name): _tensor(facts) for name, facts in table.items()}
        _check_cover(tensors, size - len(raw))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as exc:
        raise FormatError(f"this is no KV segment: its header does not parse ({exc})") from exc
    if metadata.get("format") != FORMAT:
        raise FormatError(f"this file is {metadata.get('format')!r}, not {FORMAT!r}")
    return _Head(raw, metadata, tensors, size - len(raw))


def _tensor(facts: Mapping[str, Any]) -> _Tensor:
    begin, end = facts["data_offsets"]
    shape = tuple(facts["shape"])
    dtype = np.dtype(_DTYPES[facts["dtype"]])
    if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)):
        raise FormatError("this KV segment has a tensor of an impossible shape")
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise FormatError("this KV segment has a tensor whose bytes do not fit its shape")
    return _Tensor(dtype, shape, begin)


def _check_cover(tensors: Mapping[str, _Tensor], size: int) -> None:
    """Raise FormatError unless the tensors lie side by side in the `size` bytes after the head."""
    end = 0
    for tensor in sorted(tensors.values(), key=lambda each: (each.begin, math.prod(each.shape))):
        if tensor.begin != end:
            raise FormatError("this KV segment has holes between its tensors, or they overlap")
        end += math.prod(tensor.shape) * tensor.dtype.itemsize
    if end != size:
        raise FormatError(f"this KV segment should have {end} bytes of tensors and has {size}")


def _unsigned(head: _Head) -> bytes:
    """Return the head as it is hashed: without the checksum that it carries."""
    digits = head.metadata.get("sha256", "")
    if not _DIGEST.fullmatch(digits) or head.raw.count(digits.encode()) != 1:
        raise FormatError("this KV segment carries no checksum")
    return head.raw.replace(digits.encode(), _ZEROS.encode())


def _check_sum(head: _Head, found: str) -> None:
    if found != head.metadata["sha256"]:
        raise FormatError("this KV segment is damaged: its checksum does not match")


def _header(head: _Head) -> SegmentHeader:
    try:
        return from_json(head.metadata["header"])
    except (KeyError, RecursionError) as exc:
        raise FormatError("this KV segment has no header of ours") from exc


def _parameters(head: _Head) -> Mapping[str, str]:
    try:
        parameters = json.loads(head.metadata["parameters"])
        if not all(type(value) is str for value in parameters.values()):
            raise FormatError("this KV segment has parameters that are not text")
    except (ValueError, KeyError, AttributeError, RecursionError) as exc:
        raise FormatError("this KV segment has no parameters of a form") from exc
    return dict(parameters)


def _array(data: Array, tensor: _Tensor) -> Array:
    count = math.prod(tensor.shape)
    if not count:
        return np.empty(tensor.shape, tensor.dtype)
    return np.frombuffer(data.data, tensor.dtype, count, tensor.begin).reshape(tensor.shape)
