"""An array that grows at its end in amortised constant time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray


class Growing:
    """A numpy array of `width` columns (None: one dimension) to which rows are appended."""

    def __init__(self, dtype: DTypeLike, *, width: int | None = None) -> None:
        self._shape = () if width is None else (width,)
        self._data: NDArray[Any] = np.empty((0, *self._shape), dtype=dtype)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def view(self) -> NDArray[Any]:
        """The rows so far; writing to it writes to the column, until the next `extend`."""
        return self._data[: self._length]

    @property
    def size(self) -> int:
        """Bytes taken, spare capacity included."""
        return self._data.nbytes

    def extend(self, values: ArrayLike) -> None:
        """Append rows."""
        rows = np.asarray(values, dtype=self._data.dtype)
        needed = self._length + len(rows)
        if needed > len(self._data):
            grown = np.empty((needed + needed // 8 + 64, *self._shape), dtype=self._data.dtype)
            grown[: self._length] = self.view
            self._data = grown
        self._data[self._length : needed] = rows
        self._length = needed
