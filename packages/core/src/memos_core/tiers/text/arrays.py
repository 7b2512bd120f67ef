"""A cube's arrays as ranking reads them: what no query changes, worked out once per change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from memos_core.tiers.text.postings import Posting

Floats: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int32]
Flags: TypeAlias = npt.NDArray[np.bool_]
Times: TypeAlias = npt.NDArray[np.float64]

N = TypeVar("N", bound=np.generic)

NONE = -1  # no such neighbour, session or speaker


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traits:
    """What is known of each memory by itself, shape (n,) each."""

    seqs: npt.NDArray[np.int64]
    lengths: Floats  # terms
    speakers: Ints  # code, NONE where unknown
    is_question: Flags
    is_assistant: Flags
    is_first_person: Flags
    times: Times  # event time in seconds since 1970, NaN where unknown


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrays:
    """n memories, and the places of their neighbours and sessions among them."""

    rows: Ints  # (n,) where the owner keeps each memory
    place_of: Ints  # the reverse; NONE for rows left out
    traits: Traits
    previous: Ints  # (n,) the turn before in the same session, NONE where there is none
    following: Ints
    second_previous: Ints
    second_following: Ints
    window_norms: Floats  # (n,) |v_previous + v + v_following|
    window_lengths: Floats  # terms, with one neighbour on either side
    wide_lengths: Floats  # with two
    session_order: Ints  # (n,) places sorted by session; who has none is a session of one
    session_of: Ints  # (n,) each place's session
    session_starts: Ints  # where each session begins in that order
    session_sizes: Ints

    def __len__(self) -> int:
        return len(self.rows)

    def kept(self, values: Floats) -> Floats:
        """Return per-memory values from per-row values."""
        return values if len(values) == len(self.rows) else values[self.rows]

    def renumbered(self, posting: Posting) -> Posting:
        """Return the posting by place; rows that are left out are dropped."""
        if len(self.place_of) == len(self.rows):
            return posting
        places = self.place_of[posting.positions]
        kept = places != NONE
        return Posting(places[kept], posting.counts[kept])


def arranged(
    traits: Traits, *, alive: Flags, previous: Ints, following: Ints, sessions: Ints, norms: Floats
) -> Arrays:
    """Return the arrays of the rows that are alive; all arguments have one element per row."""
    rows = np.flatnonzero(alive).astype(np.int32)
    place_of = np.full(len(alive), NONE, dtype=np.int32)
    place_of[rows] = np.arange(len(rows), dtype=np.int32)
    previous, following = _renumbered(previous[rows], place_of), _renumbered(following[rows], place_of)
    second_previous, second_following = linked(previous, previous, NONE), linked(following, following, NONE)
    lengths = traits.lengths[rows]
    window_lengths = lengths + linked(lengths, previous, 0) + linked(lengths, following, 0)
    wide = linked(lengths, second_previous, 0) + linked(lengths, second_following, 0)
    order, session_of, starts, sizes = _grouped(sessions[rows])
    return Arrays(
        rows=rows,
        place_of=place_of,
        traits=_selected(traits, rows),
        previous=previous,
        following=following,
        second_previous=second_previous,
        second_following=second_following,
        window_norms=norms[rows],
        window_lengths=window_lengths,
        wide_lengths=window_lengths + wide,
        session_order=order,
        session_of=session_of,
        session_starts=starts,
        session_sizes=sizes,
    )


def linked(values: npt.NDArray[N], links: Ints, otherwise: float) -> npt.NDArray[N]:
    """Return each link's value, `otherwise` where there is no link."""
    if not len(values):
        return values
    return np.where(links != NONE, values[links], np.asarray(otherwise, dtype=values.dtype))


def _selected(traits: Traits, rows: Ints) -> Traits:
    return Traits(**{name: getattr(traits, name)[rows] for name in Traits.__slots__})


def _renumbered(links: Ints, place_of: Ints) -> Ints:
    return np.asarray(linked(place_of, links, NONE), dtype=np.int32)


def _grouped(sessions: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Return order, each place's session, starts and sizes of the sessions; each NONE is one of its own."""
    n = len(sessions)
    codes = np.where(sessions != NONE, sessions.astype(np.int64), -1 - np.arange(n))
    order = np.argsort(codes, kind="stable").astype(np.int32)
    first = np.ones(n, np.bool_)
    first[1:] = codes[order][1:] != codes[order][:-1]
    starts = np.flatnonzero(first).astype(np.int32)
    session_of = np.empty(n, np.int32)
    session_of[order] = np.cumsum(first, dtype=np.int32) - 1
    return order, session_of, starts, np.diff(starts, append=n).astype(np.int32)
