"""Looks for erased words in bytes. Pure: texts go in, what is still there comes out, nothing is kept.

A text is looked for in pieces of some words, so that a torn rest of it is found as well, and each
piece in the forms in which it may have been written: UTF-8, UTF-16, escaped as in JSON, and as the
analysed words of the full-text index.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memos_core.tiers.text.lexical import terms

PIECE_WORDS: Final = 3  # words of a piece; any rest of 2 * 3 - 1 words has a whole piece in it
SHORTEST: Final = 8  # bytes: what is shorter is found by chance
_BITS: Final = 22
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: spreads the windows over the table


@dataclass(frozen=True, slots=True)
class Form:
    """A piece of a text as some writer may have written it."""

    piece: int  # which piece, by number
    name: str  # "utf-8", "utf-16-le", "utf-16-be", "json", "terms"
    data: bytes


@dataclass(frozen=True, slots=True)
class Match:
    """A form that stands in the bytes, and where."""

    form: Form
    offset: int


def pieces(texts: Iterable[str]) -> list[str]:
    """Return every text cut into pieces of at most `PIECE_WORDS` words, each piece once.

    The last piece overlaps the one before where it would be shorter. White space stays as it is.
    """
    found: dict[str, None] = {}
    for text in texts:
        for piece in _cut(text):
            found[piece] = None
    return list(found)


def _cut(text: str) -> Iterator[str]:
    """Yield the pieces of one text; where there are no blanks, characters count as words do."""
    spans = _words(text)
    if not spans:
        return
    last = max(len(spans) - PIECE_WORDS, 0)
    for start in dict.fromkeys([*range(0, last, PIECE_WORDS), last]):
        end = min(start + PIECE_WORDS, len(spans))
        yield text[spans[start][0] : spans[end - 1][1]]


def _words(text: str) -> list[tuple[int, int]]:
    """Return the place of each word; a long one (Chinese, a key) counts in tens of characters."""
    found: list[tuple[int, int]] = []
    start = 0
    for word in text.split():
        start = text.index(word, start)
        found += [(start + at, min(start + at + 10, start + len(word))) for at in range(0, len(word), 10)]
        start += len(word)
    return found


def forms(piece: int, text: str) -> list[Form]:
    """Return the ways in which a piece may stand in a file; those that are too short are left out."""
    if len(text.encode()) < SHORTEST:
        return []
    escaped = json.dumps(text)[1:-1]
    ways = {
        "utf-8": text.encode(),
        "utf-16-le": text.encode("utf-16-le"),
        "utf-16-be": text.encode("utf-16-be"),
        "json": escaped.encode() if escaped != text else b"",
        "json of utf-8": json.dumps(text, ensure_ascii=False)[1:-1].encode(),
    }
    analysed = terms(text)
    ways["terms"] = " ".join(analysed).encode() if len(analysed) > 1 else b""
    known: set[bytes] = set()
    found = []
    for name, data in ways.items():
        if len(data) >= SHORTEST and data not in known:
            known.add(data)
            found.append(Form(piece, name, data))
    return found


class Needles:
    """Forms that are looked for all at once; the time depends on the bytes, hardly on how many forms."""

    def __init__(self, wanted: Sequence[Form]) -> None:
        self._by_start: dict[int, list[Form]] = {}
        for form in wanted:
            self._by_start.setdefault(int.from_bytes(form.data[:8], "little"), []).append(form)
        self._longest = max((len(form.data) for form in wanted), default=0)
        self.longest = max((len(form.data) for form in wanted), default=0)
        self._table = np.zeros(1 << _BITS, dtype=np.bool_)
        starts = np.fromiter(self._by_start, dtype=np.uint64, count=len(self._by_start))
        self._table[_slots(starts)] = True

    def find(self, data: bytes) -> Iterator[Match]:
        """Yield every place at which a form begins in the bytes, in no order.

        Every window of eight bytes is looked up in a table, and only what is in it is compared.
        """
        if not self._by_start:
            return
        for shift in range(8):
            count = (len(data) - shift) // 8
            if count <= 0:
                return
            windows = np.frombuffer(data, dtype="<u8", count=count, offset=shift)
            for place in np.nonzero(self._table[_slots(windows)])[0].tolist():
                offset = shift + 8 * place
                for form in self._by_start.get(int(windows[place]), ()):
                    if data.startswith(form.data, offset):
                        yield Match(form, offset)


def _slots(windows: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        slots: NDArray[np.uint64] = (windows * _MIX) >> np.uint64(64 - _BITS)
    return slots
