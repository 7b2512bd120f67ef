"""What leaves when a level holds more bytes than its budget: pure decisions, time as an argument.

The default policy keeps what is expected to save most seconds per byte. Whatever the policy, an entry
leaves only after all that stand on it (as in RadixAttention, Zheng et al. 2024, section 3): a prompt
takes the links of its chain from the first to the last, so a chain that is larger than the room would
else throw out the very links that it needs next.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

SITTING = 60.0
"""Seconds of silence before the next words of a talk, as a median; tuned by benchmarks/kv/eviction.py."""

LASTING = 86_400.0
"""Seconds in which the count of uses halves: what was popular a day ago counts half."""


class Use(NamedTuple):
    """How often something was used. `heat` is the decayed count, as of `last`."""

    hits: int
    last: float
    heat: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something a level holds, as the policies see it. Pinned, it never leaves.

    `build` is the seconds that it takes to have it again once it has left, `load` the seconds that
    its use takes while it is here. `soon` are the uses a second to expect of the talk that goes on, where
    somebody foresees its course. `parent` is the key of what it stands on, "" for nothing.
    """

    key: str
    size: int  # bytes
    build: float
    use: Use
    load: float = 0.0
    soon: float | None = None
    parent: str = ""
    pinned: bool = False


Policy: TypeAlias = Callable[[Entry, float], float]
"""The value of keeping an entry at a moment; the least leaves first."""


def used(use: Use | None, *, now: float) -> Use:
    """Return the counts after one more use, the first where there was none; time never runs back."""
    if use is None:
        return Use(1, now, 1.0)
    now = max(now, use.last)
    return Use(use.hits + 1, now, _cooled(use, now) + 1)


def spread(hits: int, *, first: float, last: float) -> Use:
    """Return what is known of something used `hits` times from `first` to `last`: evenly, as it were."""
    half_lives = max(last - first, 0.0) * math.log(2) / LASTING
    share = -math.expm1(-half_lives) / half_lives if half_lives > 1e-9 else 1.0
    return Use(hits, max(first, last), hits * share)


def rate(use: Use, *, now: float, soon: float | None = None) -> float:
    """Return the uses a second to expect; `soon` those of the talk that may still go on, where it is known.

    One part is the talk that may still go on: the density of a Lomax law of shape 1 at the silence
    so far. It does not grow with the uses, since long talks end as soon as short ones. The other
    part is popularity: the decayed count.
    """
    silence = max(now - use.last, 0.0)
    talking = SITTING / (silence + SITTING) ** 2 if soon is None else soon
    return talking + _cooled(use, now) * math.log(2) / LASTING


def _cooled(use: Use, now: float) -> float:
    return float(use.heat * 0.5 ** (max(now - use.last, 0.0) / LASTING))


# --- policies --------------------------------------------------------------------------------


def saved_seconds(entry: Entry, now: float) -> float:
    """Return the seconds that a byte of it is expected to save, per second that it stays."""
    return max(entry.build - entry.load, 0.0) * rate(entry.use, now=now, soon=entry.soon) / max(entry.size, 1)


def least_recently_used(entry: Entry, _now: float) -> float:
    """Return when it was used last."""
    return entry.use.last


def least_frequently_used(entry: Entry, _now: float) -> float:
    """Return how often it was used while it was known."""
    return float(entry.use.hits)


# --- the decision ----------------------------------------------------------------------------


def over_budget(
    entries: Iterable[Entry], *, budget: int, now: float, policy: Policy = saved_seconds
) -> list[str]:
    """Return the keys that leave, first to leave first, until the rest takes `budget` bytes at most.

    Of those that nothing stands on the least in value leaves; equal in value, the one used longest
    ago, then by key. What is pinned stays with all that it stands on, even if that is over budget.
    """
    held = {entry.key: entry for entry in entries}
    excess = sum(entry.size for entry in held.values()) - budget
    if excess <= 0:
        return []
    standing = Counter(entry.parent for entry in held.values())
    free = [_ranked(e, now, policy) for e in held.values() if not e.pinned and not standing[e.key]]
    heapq.heapify(free)
    leaving: list[str] = []
    while excess > 0 and free:
        entry = held[heapq.heappop(free)[-1]]
        leaving.append(entry.key)
        excess -= entry.size
        standing[entry.parent] -= 1
        parent = held.get(entry.parent)
        if parent is not None and not parent.pinned and not standing[parent.key]:
            heapq.heappush(free, _ranked(parent, now, policy))
    return leaving


def _ranked(entry: Entry, now: float, policy: Policy) -> tuple[float, float, str]:
    return policy(entry, now), entry.use.last, entry.key
