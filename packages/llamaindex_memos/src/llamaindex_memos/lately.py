"""What was recalled lately: an agent asks the same thing two or three times a turn."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from memos_core import Recall

MOST = 64


class Lately:
    """The last recalls, each under what was asked and the stamp of the cube that answered.

    One whose stamp is not the cube's present one is not given: what was forgotten, revised or
    written meanwhile shows at once. Safe from several threads and loops; a copy of it is empty.
    """

    def __init__(self, most: int = MOST) -> None:
        self._kept: OrderedDict[Hashable, tuple[str, Recall]] = OrderedDict()
        self._lock, self._most = threading.Lock(), most

    def get(self, asked: Hashable, stamp: str) -> Recall | None:
        """Return what was recalled, or None."""
        with self._lock:
            kept = self._kept.get(asked)
            if kept is None or kept[0] != stamp:
                return None
            self._kept.move_to_end(asked)
            return kept[1]

    def keep(self, asked: Hashable, stamp: str, found: Recall) -> None:
        """Keep a recall, and let the oldest go."""
        with self._lock:
            self._kept[asked] = (stamp, found)
            self._kept.move_to_end(asked)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lately)  # it is no part of what its owner is

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Callable[..., Lately], tuple[int]]:
        return Lately, (self._most,)

    def __deepcopy__(self, memo: dict[int, Any]) -> Lately:
        return Lately(self._most)


def lasts(found: Recall) -> bool:
    """Return whether no memory in it will end by time alone, which no stamp tells."""
    return all(hit.memory.header.governance.expires_at is None for hit in found)
