"""How often something is used, in one number and one time: a count that halves again and again.

Times are in seconds since 1970, rates in uses a second. What a row holds is the count as of its time;
nothing is written while time passes.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

HALF_LIFE: Final = 86_400.0
"""Seconds in which a count halves: what was popular a day ago counts half."""

SITTING: Final = 60.0
"""Seconds of silence before the next words of a talk, as a median; that of tiers/kv/eviction.py."""


class Heat(NamedTuple):
    """A decayed count, as of the moment `at`. `NEVER` was never used."""

    amount: float = 0.0
    at: float = 0.0


NEVER: Final = Heat()


def cooled(heat: Heat, *, now: float, half_life: float = HALF_LIFE) -> float:
    """Return the count as of `now`; time never runs back."""
    return float(heat.amount * 0.5 ** (max(now - heat.at, 0.0) / half_life))


def warmed(heat: Heat, times: float = 1.0, *, now: float, half_life: float = HALF_LIFE) -> Heat:
    """Return the count after so many more uses at `now`."""
    now = max(now, heat.at)
    return Heat(cooled(heat, now=now, half_life=half_life) + times, now)


def per_second(heat: Heat, *, now: float, half_life: float = HALF_LIFE) -> float:
    """Return the events a second that the count stands for, were they to go on as they came."""
    return cooled(heat, now=now, half_life=half_life) * math.log(2) / half_life


def talking(silence: float) -> float:
    """Return the density of a talk's next words after so many seconds of silence: a Lomax law of shape 1."""
    return SITTING / (max(silence, 0.0) + SITTING) ** 2


def rate(heat: Heat, *, now: float, half_life: float = HALF_LIFE) -> float:
    """Return the uses a second to expect right now: `expected` for a short span, by its length."""
    if heat.amount <= 0:
        return 0.0
    return talking(now - heat.at) + per_second(heat, now=now, half_life=half_life)


def expected(heat: Heat, *, now: float, span: float, half_life: float = HALF_LIFE) -> float:
    """Return the uses to expect within `span` seconds from `now`.

    One part is the talk that may still go on: a Lomax law of shape 1 at the silence so far. The other
    is popularity, which cools meanwhile. Both are those of `tiers/kv/eviction.rate`, integrated.
    """
    if heat.amount <= 0 or span <= 0:
        return 0.0
    silence = max(now - heat.at, 0.0)
    talking = SITTING / (silence + SITTING) - SITTING / (silence + span + SITTING)
    return talking + cooled(heat, now=now, half_life=half_life) * -math.expm1(-span * math.log(2) / half_life)


def likely(uses: float) -> float:
    """Return the probability of at least one, where so many are expected (Poisson): 0 to 1."""
    return -math.expm1(-max(uses, 0.0))


def usefulness(*, hits: int, answered: int, corrected: int) -> float:
    """Return how much of what was found was of use, 0 to 1: 0 for what never was.

    `hits` are times it was found, `answered` times it was in the answer, `corrected` times that it was
    revised or superseded after a use, each of which halves it. One answer of one hit gives 0.5, nine
    of nine give 0.9: little is known of what was found once.
    """
    return answered / (max(hits, answered) + 1) * 0.5**corrected
