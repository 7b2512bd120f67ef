"""From how many uses on which way of knowing something is the cheapest, by what each cost here. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What a way takes in seconds: `once` before the first use, `each` at every use."""

    once: float
    each: float


def break_even(ways: Mapping[str, Way]) -> dict[str, int | None]:
    """Return by "a over b" the uses from which on `a`, dearer before the first, is cheaper; None: never."""
    found: dict[str, int | None] = {}
    for dear, a in ways.items():
        for cheap, b in ways.items():
            if a.once > b.once:
                saved = b.each - a.each
                found[f"{dear} over {cheap}"] = None if saved <= 0 else int((a.once - b.once) / saved) + 1
    return found


def cheapest(ways: Mapping[str, Way], uses: int) -> str:
    """Return which way takes the fewest seconds for so many uses."""
    return min(ways, key=lambda name: ways[name].once + uses * ways[name].each)
