"""Chance that is the same everywhere: an order of things that a seed determines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def drawn(seed: int, what: str, items: Iterable[T]) -> list[T]:
    """Return the items in an order that looks random, and is another for every seed and every `what`.

    Equal items (by `repr`) keep their places relative to each other.
    """
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}\0{what}\0{item!r}".encode()).digest())
