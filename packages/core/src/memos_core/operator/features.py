"""What speaks for a memory as the answer to a query, one column per reason.

Every column is a pure function of the query and of a cube's arrays, so nothing is stored per
reason and nothing goes stale. A memory keeps one vector and the postings of its own text; what
its neighbours say is *composed* at query time: the cosine with "previous + this + next" from
three cosines and a norm, BM25 of the same window from summed term frequencies.

Conventions: n memories; links are positions in the cube, -1 where there is none (then the
neighbour's columns are 0); every score is scaled to 0..1 over the cube, a constant score is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from memos_core.tiers.text.arrays import Arrays, Floats, linked
from memos_core.tiers.text.postings import Posting

FEATURES: Final = (
    "bm25",  # BM25 of `date: text`
    "bm25_window",  # ... of the memory with one neighbour on either side
    "bm25_wide",  # ... with two
    "coverage",  # share of the query's rarity (sum of IDF) found in the window
    "cosine",  # with the memory's vector
    "cosine_window",  # with the sum of the three vectors
    "next",  # half bm25_window, half cosine, of the following memory
    "previous",  # ... of the previous one
    "session",  # mean of the session's three best such scores
    "best_session",  # best cosine of the session
    "answers",  # the previous memory is a question; how well that one fits
    "question",  # the memory asks
    "in_time",  # its event time lies in the stretch that the query names
    "speaker",  # its speaker is the one the query speaks of
    "assistant",  # it was said by a machine
    "first_person",  # it speaks of "I" or "we"
)
"""The columns of `features`, in order. The weights name them, so order is not a format."""

K1: Final = 1.2  # the usual BM25 constants (Robertson and Zaragoza 2009, section 3.5), not tuned
B: Final = 0.75
_LEAST_BM25: Final = 0.3  # about one word that a third of a cube has; larger cubes spread wider
_LEAST_COSINE: Final = 0.1
_BEST: Final = 3  # of a session


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query as the cube's arrays see it."""

    cosine: Floats  # (n,) with every memory's vector (its best chunk where it has several)
    postings: Sequence[Posting]  # one for each distinct term that is not a named speaker
    speakers: frozenset[int] = frozenset()  # codes of the speakers whom the query speaks of
    window: tuple[float, float] | None = None  # [start, end) in seconds since 1970


def features(cube: Arrays, query: Query) -> Floats:
    """Return the (n, F) matrix of the columns that `FEATURES` names, float32.

    Each lies in 0..1. The work is linear in n and in the number of terms.
    """
    by = np.zeros((len(FEATURES), len(cube)), np.float32)  # columns contiguous while written
    if len(cube):
        _lexical(by, cube, query.postings)
        _semantic(by, cube, query.cosine)
        _social(by, cube)
        _asked(by, cube, query)
    return by.T


def scaled(values: Floats, *, least: float = 1e-9) -> Floats:
    """Return values moved to begin at 0 and stretched to 0..1.

    Values that lie closer together than `least` are told apart by less than 1: in a small cube a
    difference of nothing must not look like all the difference there is.
    """
    low, high = values.min(), values.max()
    stretched: Floats = (values - low) * np.float32(1.0 / max(high - low, least))
    return stretched


def _row(name: str) -> int:
    return FEATURES.index(name)


def _lexical(by: Floats, cube: Arrays, postings: Sequence[Posting]) -> None:
    """Fill in BM25 of the memory, its window and its wide window, and the coverage."""
    n, rarity = len(cube), 0.0
    scales = [_saturation(x) for x in (cube.traits.lengths, cube.window_lengths, cube.wide_lengths)]
    names = ("bm25", "bm25_window", "bm25_wide")
    rows, cover = [by[_row(name)] for name in names], by[_row("coverage")]
    counts, spare = np.empty(n + 1, np.float32), np.empty(n, np.float32)
    for posting in postings:
        counts.fill(0)
        counts[posting.positions] = posting.counts
        for reach, (row, scale) in enumerate(zip(rows, scales, strict=True)):
            _widen(counts, posting, cube, reach)
            seen = counts[:n]
            held = int(np.count_nonzero(seen))
            weight = _rarity(held, n)
            np.add(seen, scale, out=spare)
            np.divide(seen, spare, out=spare)
            spare *= weight
            np.add(row, spare, out=row)
            if reach == 1 and held:
                rarity += float(weight)
                np.multiply(seen > 0, weight, out=spare)
                cover += spare
    for row in rows:
        row[:] = scaled(row, least=_LEAST_BM25)
    if rarity:
        cover /= np.float32(rarity)


def _rarity(held: int, of: int) -> np.float32:
    """Return the term's IDF, never negative, where `held` of `of` documents have it."""
    return np.float32(np.log(1 + (of - held + 0.5) / (held + 0.5)))


def _saturation(lengths: Floats) -> Floats:
    """Return BM25's k1 * (1 - b + b * length / mean length)."""
    mean = max(float(lengths.mean()), 1e-9)
    return np.float32(K1 * (1 - B)) + lengths * np.float32(K1 * B / mean)


def _widen(counts: Floats, posting: Posting, cube: Arrays, reach: int) -> None:
    """Add the posting's counts at the memories that have them `reach` steps away.

    A link of -1 lands in the spare last place, so no mask is needed; positions are distinct.
    """
    match reach:
        case 1:
            links = (cube.previous, cube.following)
        case 2:
            links = (cube.second_previous, cube.second_following)
        case _:
            return
    for link in links:
        counts[link[posting.positions]] += posting.counts
        counts[-1] = 0


def _semantic(by: Floats, cube: Arrays, cosine: Floats) -> None:
    """Fill in the cosine and, composed, the cosine with the window."""
    by[_row("cosine")] = scaled(cosine, least=_LEAST_COSINE)
    window = cosine + linked(cosine, cube.previous, 0)
    window += linked(cosine, cube.following, 0)
    window /= cube.window_norms
    by[_row("cosine_window")] = scaled(window, least=_LEAST_COSINE)


def _social(by: Floats, cube: Arrays) -> None:
    """Fill in what neighbours and the session say; needs the lexical and semantic columns."""
    mixed = by[_row("bm25_window")] + by[_row("cosine")]
    mixed *= np.float32(0.5)
    by[_row("next")] = linked(mixed, cube.following, 0)
    by[_row("previous")] = linked(mixed, cube.previous, 0)
    by[_row("session")] = _session(mixed, cube)
    best = np.maximum.reduceat(by[_row("cosine")][cube.session_order], cube.session_starts)
    by[_row("best_session")] = scaled(best, least=_LEAST_COSINE)[cube.session_of]
    own = by[_row("bm25")] + by[_row("cosine")]
    own *= np.float32(0.5)
    own *= cube.traits.is_question
    by[_row("answers")] = linked(own, cube.previous, 0)


def _session(values: Floats, cube: Arrays) -> Floats:
    """Return for each memory the mean of its session's best values.

    Three rounds of "take the maximum with all its equals", counted, so that ties are exact.
    """
    left = values[cube.session_order]
    open_places = np.minimum(cube.session_sizes, _BEST)
    total, need = np.zeros(len(open_places), np.float32), open_places.copy()
    for _ in range(_BEST):
        top = np.maximum.reduceat(left, cube.session_starts)
        best = left == np.repeat(top, cube.session_sizes)
        found = np.add.reduceat(best, cube.session_starts, dtype=np.int32)
        taken = np.minimum(found, need)
        total += top * taken
        need -= taken
        if not need.any():
            break
        left[best] = -1  # below every value
    total /= open_places
    return total[cube.session_of]


def _asked(by: Floats, cube: Arrays, query: Query) -> None:
    """Fill in what the query says of speaker and time, and the kinds of turn."""
    by[_row("question")] = cube.traits.is_question
    by[_row("assistant")] = cube.traits.is_assistant
    by[_row("first_person")] = cube.traits.is_first_person
    for code in query.speakers:
        by[_row("speaker")] += cube.traits.speakers == code
    if query.window is not None:
        start, end = query.window
        by[_row("in_time")] = (cube.traits.times >= start) & (cube.traits.times < end)
