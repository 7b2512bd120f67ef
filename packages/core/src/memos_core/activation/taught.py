"""Engines with an adapter on, by the adapter's key, for as long as the adapter may be served."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection

from memos_core.activation.answer import Answerer

MOST = 4  # adapters in RAM at once


class Taught:
    """Answerers by adapter; the least lately used leaves first. Safe from several threads."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Answerer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, make: Callable[[], Answerer]) -> Answerer:
        """Return the answerer with this adapter, made now if there is none."""
        with self._lock:
            if key not in self._held:
                self._held[key] = make()
            self._held.move_to_end(key)
            while len(self._held) > MOST:
                self._held.popitem(last=False)
            return self._held[key]

    def drop(self, keys: Collection[str]) -> None:
        """Let go of these at once."""
        with self._lock:
            for key in keys:
                self._held.pop(key, None)

    def clear(self) -> None:
        """Let go of all."""
        with self._lock:
            self._held.clear()
