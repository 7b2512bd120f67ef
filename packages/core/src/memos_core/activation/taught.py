"""Engines with adapters on, by the adapters' keys, for as long as each of them may be served."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection

from memos_core.activation.answer import Answerer

MOST = 4  # engines with adapters in RAM at once


class Taught:
    """Answerers by adapters; the least lately used leaves first. Safe from several threads."""

    def __init__(self) -> None:
        self._held: OrderedDict[frozenset[str], Answerer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, keys: Collection[str], make: Callable[[], Answerer]) -> Answerer:
        """Return the answerer with these adapters, made now if there is none."""
        wanted = frozenset(keys)
        with self._lock:
            if wanted not in self._held:
                self._held[wanted] = make()
            self._held.move_to_end(wanted)
            while len(self._held) > MOST:
                self._held.popitem(last=False)
            return self._held[wanted]

    def drop(self, keys: Collection[str]) -> None:
        """Let go at once of whatever has one of these on."""
        with self._lock:
            for held in [held for held in self._held if not held.isdisjoint(keys)]:
                del self._held[held]

    def scrub(self) -> None:
        """Nothing: what is computed with an adapter on is computed in the model's own working memory."""

    def clear(self) -> None:
        """Let go of all."""
        with self._lock:
            self._held.clear()
