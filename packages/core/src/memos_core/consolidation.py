"""Consolidation: what a cube's memories come to in idle time, and why. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final

from memos_core.errors import InvalidInput
from memos_core.memory import checked_span, checked_within

GIST: Final = "gist"
"""The kind of a session's gist. It repeats what the session says, so a recall returns it only to who asks
for that kind: `where=Where(kinds=["gist"])`."""
CONSOLIDATED: Final = "consolidated"
"""The origin of what consolidation wrote. It is erased with any memory that it repeats."""
CONSOLIDATION: Final = "consolidation"
"""What such a memory is made by."""

REST, QUIET = timedelta(days=180), timedelta(days=7)
MOST_CHANGES: Final = 10_000
_MOST_SECONDS: Final = 86_400.0


class Act(StrEnum):
    """What consolidation does."""

    MERGE = "merge"  # statements that say the same become one; they go to the archive
    SUPERSEDE = "supersede"  # of two that contradict each other, the newer one is ranked above
    ARCHIVE = "archive"  # what nobody used for long is put away
    GIST = "gist"  # an old session's turns that say most, beside the session


@dataclass(frozen=True, slots=True, kw_only=True)
class Consolidating:
    """What is looked for, and from when on.

    `rest` is how long a memory may go unused before it is archived, `quiet` how long a session has to be
    over before it gets a gist of at most `turns` of its turns; it needs `least` that say something. None
    for a duration, or False, leaves that part out.
    """

    merge: bool = True
    supersede: bool = True
    rest: timedelta | None = REST
    quiet: timedelta | None = QUIET
    turns: int = 5
    least: int = 12

    def __post_init__(self) -> None:
        checked_span(self.rest, what="rest", instead="None archives nothing")
        checked_span(self.quiet, what="quiet", instead="None makes no gists")
        checked_within(self.turns, 1, 50, what="turns")
        checked_within(self.least, self.turns, 10_000, what="least")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How much one run may take: seconds of looking, and changes. Nothing is half-done where it ends."""

    seconds: float = 60.0
    changes: int = 500

    def __post_init__(self) -> None:
        given = self.seconds
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= _MOST_SECONDS:
            raise InvalidInput(f"seconds must be a number from 0 to {_MOST_SECONDS:,.0f}, not {given!r}")
        checked_within(self.changes, 0, MOST_CHANGES, what="changes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing that was done, or would be.

    `sources` are the ids of the memories that it is about, `into` the id of the one that it wrote (None
    where it writes none, or was not done). Of "supersede", the first source is the newer one. `reason` is
    in words of ours: it quotes no memory.
    """

    act: Act
    sources: tuple[str, ...]
    reason: str
    into: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Consolidation:
    """One run. `run` is the cube's change that it was, None where nothing was changed.

    `left` counts what the budget did not allow, as far as it was seen; `dry_run` tells that it only looked.
    """

    cube: str
    run: int | None
    actions: tuple[Action, ...]
    dry_run: bool = False
    left: int = 0

    def __bool__(self) -> bool:
        return bool(self.actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What undoing a run did: ids put away that it had written, ids brought back, links taken back."""

    cube: str
    run: int
    archived: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    unlinked: int = 0


@dataclass(frozen=True, slots=True)
class Until:
    """Says when looking has taken long enough. `clock` counts seconds."""

    end: float
    clock: Callable[[], float] = field(repr=False)

    @property
    def is_over(self) -> bool:
        return self.clock() >= self.end
