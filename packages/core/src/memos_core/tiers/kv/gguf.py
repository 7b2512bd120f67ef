"""What stands at the beginning of a GGUF file: the model's settings, tokenizer and template.

The format is that of ggml's `docs/gguf.md`, version 2 and 3. Standard library only.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from memos_core.errors import FormatError, NotFound

Plain = int | float | bool | str

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_ENTRIES = 1 << 16  # a file that claims more settings is damaged
_TEXT = 1 << 26  # bytes of one text, likewise


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    """`values` are the settings that are one number or text; `digests` have every setting's sha256."""

    values: Mapping[str, Plain]
    digests: Mapping[str, str]

    @property
    def architecture(self) -> str:
        """Name of the model's architecture, as llama.cpp calls it."""
        return str(self.values.get("general.architecture", ""))

    @property
    def context(self) -> int:
        """Tokens that the model was trained for, 0 where the file does not say."""
        return int(self.values.get(f"{self.architecture}.context_length", 0))

    @property
    def template(self) -> str:
        """The chat template, "" where the file has none."""
        return str(self.values.get("tokenizer.chat_template", ""))

    @property
    def parts(self) -> int:
        """Number of files that the model is split over."""
        return int(self.values.get("split.count", 1))

    def digest(self, wanted: Callable[[str], bool]) -> str:
        """Return 64 hexadecimal digits of all settings with such names, "" where there is none."""
        told = [f"{name}={digest}\n" for name, digest in sorted(self.digests.items()) if wanted(name)]
        return hashlib.sha256("".join(told).encode()).hexdigest() if told else ""


def read_header(path: Path) -> GgufHeader:
    """Return the settings of a GGUF file; NotFound without one, FormatError where it is none."""
    try:
        with path.open("rb") as file:
            return _Reader(file).header()
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise NotFound("GGUF file", str(path)) from exc
    except OSError as exc:
        raise FormatError(f"{path} cannot be read: {exc}") from exc
    except (struct.error, UnicodeDecodeError) as exc:
        raise FormatError(f"{path} is no GGUF file, or it is cut short: {exc}") from exc


class _Reader:
    """Goes through a header once; what it reads of a setting goes into the setting's digest."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def header(self) -> GgufHeader:
        magic, version = self._bytes(4), self._number("<I")
        if magic != _MAGIC or version not in _VERSIONS:
            raise FormatError("this is no GGUF file that is known here: give one of version 2 or 3")
        self._number("<Q")  # tensors
        values: dict[str, Plain] = {}
        digests: dict[str, str] = {}
        for _ in range(self._count(_ENTRIES)):
            name = self._text()
            self._digest = hashlib.sha256()
            value = self._value(self._number("<I"))
            if value is not None:
                values[name] = value
            digests[name] = self._digest.hexdigest()
        return GgufHeader(values=values, digests=digests)

    def _value(self, kind: int) -> Plain | None:
        """Return a number or a text; None for an array, which is only passed over."""
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            return self._number(_format(kind))
        kind, count = self._number("<I"), self._number("<Q")
        if kind == _STRING:
            for _ in range(count):
                self._text()
        else:
            self._pass(struct.calcsize(_format(kind)) * count)
        return None

    def _pass(self, size: int) -> None:
        while size > 0:
            size -= len(self._bytes(min(size, _TEXT)))

    def _text(self) -> str:
        return self._bytes(self._count(_TEXT)).decode()

    def _count(self, limit: int) -> int:
        count: int = self._number("<Q")
        if count > limit:
            raise FormatError(f"this GGUF file is damaged: it claims {count} where at most {limit} can be")
        return count

    def _number(self, code: str) -> int:
        number: int = struct.unpack(code, self._bytes(struct.calcsize(code)))[0]
        return number

    def _bytes(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise FormatError("this GGUF file is cut short within its header")
        self._digest.update(data)
        return data


def _format(kind: int) -> str:
    code = _SCALARS.get(kind)
    if code is None:
        raise FormatError(f"this GGUF file is damaged: it has a setting of the unknown type {kind}")
    return code
