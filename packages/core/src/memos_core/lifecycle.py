"""The life of a memory: one table of steps, and the guards that some of them have.

Six states (MemOS paper, section 5.2). Whatever is not in the table is no step. A state is not a
version: the words stay as they are until EXPIRED, where they are erased.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from memos_core.errors import IllegalTransition
from memos_core.memory import State


class Trigger(StrEnum):
    """What may move a memory to another state."""

    USE = "use"  # a recall returned it for the first time
    OVERLAP = "overlap"  # the same was stated again: the two are one memory
    AGE = "age"  # it has rested for longer than it may
    TTL = "ttl"  # its time is over
    ACTIVATE = "activate"  # and the verbs of its users
    ARCHIVE = "archive"
    RESTORE = "restore"
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the guards look at. `rested_since` is the last use, or the last writing if never used."""

    state: State
    expires_at: datetime | None
    rested_since: datetime
    now: datetime
    idle: timedelta | None = None  # how long a memory may rest; None for as long as it likes


Guard = Callable[[Standing], bool]


def is_overdue(standing: Standing) -> bool:
    """Whether its time is over."""
    return standing.expires_at is not None and standing.expires_at <= standing.now


def has_time_left(standing: Standing) -> bool:
    """Whether its time is not over yet."""
    return not is_overdue(standing)


def has_rested(standing: Standing) -> bool:
    """Whether it has rested for longer than it may."""
    return standing.idle is not None and standing.now - standing.rested_since > standing.idle


@dataclass(frozen=True, slots=True)
class Step:
    """Where a trigger leads, if the guard lets it."""

    to: State
    guard: Guard | None = None


IN_USE: Final = (State.GENERATED, State.ACTIVATED, State.MERGED)
"""States in which a memory is read, written and found."""

STEPS: Final[Mapping[tuple[State, Trigger], Step]] = MappingProxyType(
    {
        (State.GENERATED, Trigger.USE): Step(State.ACTIVATED),
        (State.GENERATED, Trigger.ACTIVATE): Step(State.ACTIVATED),
        (State.MERGED, Trigger.ACTIVATE): Step(State.ACTIVATED),
        (State.GENERATED, Trigger.OVERLAP): Step(State.MERGED),
        (State.ACTIVATED, Trigger.OVERLAP): Step(State.MERGED),
        **{(state, Trigger.AGE): Step(State.ARCHIVED, has_rested) for state in IN_USE},
        **{(state, Trigger.ARCHIVE): Step(State.ARCHIVED) for state in IN_USE},
        (State.ARCHIVED, Trigger.RESTORE): Step(State.ACTIVATED, has_time_left),
        **{(state, Trigger.FREEZE): Step(State.FROZEN) for state in IN_USE},
        (State.FROZEN, Trigger.UNFREEZE): Step(State.ACTIVATED),
        **{(state, Trigger.TTL): Step(State.EXPIRED, is_overdue) for state in (*IN_USE, State.ARCHIVED)},
    }
)
"""Every step there is. A frozen memory does not expire; nothing leads out of EXPIRED but forgetting."""


def moved(standing: Standing, trigger: Trigger) -> State | None:
    """Return the state that the trigger leads to, or None where it leads nowhere."""
    step = STEPS.get((standing.state, trigger))
    if step is None or (step.guard is not None and not step.guard(standing)):
        return None
    return step.to


def advanced(memory_id: str, standing: Standing, trigger: Trigger) -> State:
    """Return the state that the trigger leads to, or raise IllegalTransition."""
    to = moved(standing, trigger)
    if to is None:
        raise IllegalTransition(memory_id, state=standing.state, verb=trigger, remedy=_remedy(standing.state))
    return to


def check_writable(memory_id: str, state: State, *, verb: str) -> None:
    """Raise IllegalTransition where nothing may be written: a frozen memory."""
    if state is State.FROZEN:
        raise IllegalTransition(memory_id, state=state, verb=verb, remedy=_remedy(state))


def _remedy(state: State) -> str:
    match state:
        case State.FROZEN:
            return "copy() it and change the copy, or unfreeze() it"
        case State.ARCHIVED:
            return "restore() it first"
        case _:
            return ""


def diagram() -> str:
    """Return the table as a Mermaid state diagram; a step that has a guard names it in brackets."""
    ways: dict[tuple[State, State], list[str]] = {}
    for (state, trigger), step in STEPS.items():
        guard = f" [{step.guard.__name__.replace('_', ' ')}]" if step.guard else ""
        ways.setdefault((state, step.to), []).append(f"{trigger}{guard}")
    lines = [f"    {start} --> {end}: {', '.join(labels)}" for (start, end), labels in ways.items()]
    gone = [f"    {state} --> [*]: forget" for state in State if state is not State.FROZEN]
    return "\n".join(
        ["stateDiagram-v2", f"    [*] --> {State.GENERATED}: remember, ingest, copy", *lines, *gone]
    )
