"""Many sequence numbers at once, as a filter over a large cube gives them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, Self

import numpy as np
import numpy.typing as npt

SEPARATOR: Final = ","


class Seqs(Collection[int]):
    """A set of sequence numbers, kept as an ascending array of 8 bytes each."""

    def __init__(self, values: npt.NDArray[np.int64]) -> None:
        self._values = np.unique(values)

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Return the numbers that a database joined into one text: a row for each would cost more."""
        return cls(np.fromstring(text or "", dtype=np.int64, sep=SEPARATOR))

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[int]:
        return iter(self._values.tolist())

    def __contains__(self, seq: object) -> bool:
        place = np.searchsorted(self._values, seq)  # type: ignore[call-overload] # an int, as all seqs
        return bool(place < len(self._values) and self._values[place] == seq)

    def mask(self, seqs: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return which of these numbers, shape (n,), are among them."""
        return np.isin(seqs, self._values)
