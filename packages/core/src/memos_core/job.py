"""Durable work: what is to be done, where it stands, and which step leads where.

A job carries ids and numbers and no word of any memory. Whoever runs it reads the present truth.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias

from memos_core.errors import IllegalTransition, InvalidInput
from memos_core.memory import checked_name, checked_span, checked_within

Payload: TypeAlias = Mapping[str, str | int | float | bool | None]

MAX_ATTEMPTS: Final = 6
LEASE: Final = timedelta(seconds=60)  # a worker that says nothing for so long has lost its job
TIMEOUT: Final = timedelta(hours=1)
LOST: Final = "the worker was lost: it was killed, or said nothing for longer than its lease"
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=2), timedelta(minutes=10)
MAX_PAYLOAD = 32  # entries
_WORD = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


class Kind(StrEnum):
    """What this version knows to do, or will be told; a catalog may hold kinds of newer ones."""

    EXTRACT = "extract"
    EMBED = "embed"
    REINDEX = "reindex"
    PREFILL = "prefill"
    TRAIN = "train"
    EVALUATE = "evaluate"
    ARCHIVE = "archive"
    EXPIRE = "expire"
    SWEEP = "sweep"
    CONSOLIDATE = "consolidate"


OF_A_CUBE: Final = frozenset({Kind.EXTRACT, Kind.PREFILL, Kind.TRAIN, Kind.EVALUATE, Kind.CONSOLIDATE})
"""Kinds that are about one cube; `sweep` may be, the others are about the store."""


class JobState(StrEnum):
    """Where a job stands."""

    DELAYED = "delayed"  # not before its time
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FOLDED = "folded"  # an equal one waits, and does what this one would have done again
    DEAD = "dead"  # it failed for good, and says why
    CANCELLED = "cancelled"


FINISHED: Final = (JobState.DONE, JobState.FOLDED, JobState.CANCELLED)
"""States of jobs that nobody will ask for: they are purged after a week, and the dead after a season."""

_STEPS: Final[Mapping[tuple[JobState, str], JobState]] = MappingProxyType(
    {
        (JobState.DELAYED, "due"): JobState.WAITING,
        (JobState.WAITING, "claim"): JobState.RUNNING,
        (JobState.RUNNING, "finish"): JobState.DONE,
        (JobState.RUNNING, "release"): JobState.WAITING,
        (JobState.RUNNING, "delay"): JobState.DELAYED,
        (JobState.RUNNING, "fold"): JobState.FOLDED,
        (JobState.RUNNING, "die"): JobState.DEAD,
        (JobState.DEAD, "retry"): JobState.WAITING,
        (JobState.CANCELLED, "retry"): JobState.WAITING,
        (JobState.DEAD, "fold"): JobState.FOLDED,
        (JobState.CANCELLED, "fold"): JobState.FOLDED,
        **{
            (state, "cancel"): JobState.CANCELLED
            for state in (JobState.DELAYED, JobState.WAITING, JobState.RUNNING, JobState.DEAD)
        },
    }
)


def stepped(job_id: str, state: JobState, verb: str) -> JobState:
    """Return the state that a step leads to; raise IllegalTransition where there is no such step."""
    found = _STEPS.get((state, verb))
    if found is None:
        raise IllegalTransition(job_id, state=state, verb=verb, what="job")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """A memory that a job is about, by its sequence number in the catalog, at a version."""

    seq: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job to be: of which kind, about what, for whom, when.

    Two orders of one kind and cube with the same `key`, by the same principal for the same purpose, are
    one job as long as it waits; without a key none is like another. `priority` is -9 to 9, the higher the
    sooner. `timeout` bounds each attempt.
    """

    kind: str
    by: str
    cube: str | None = None
    key: str | None = None
    payload: Payload = field(default_factory=dict)
    about: tuple[About, ...] = ()
    purpose: str = ""
    priority: int = 0
    run_at: datetime | None = None
    timeout: timedelta = TIMEOUT
    max_attempts: int = MAX_ATTEMPTS

    def __post_init__(self) -> None:
        checked_kind(self.kind)
        checked_within(self.priority, -9, 9, what="priority")
        checked_within(self.max_attempts, 1, 1000, what="max_attempts")
        if checked_span(self.timeout, what="timeout") is None:
            raise InvalidInput("timeout must be a duration: an attempt has to end")
        if self.key is not None:
            checked_name(self.key, what="key")
        checked_payload(self.payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How much of a job is done, and of how much; in whatever its kind counts."""

    done: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it stands. `cube` is a cube's id, None for work on the whole store.

    `error` is one line of why the last attempt failed, `trace` its traceback. `worker` and `lease` name
    who runs it; a report under any other lease is refused.
    """

    id: str
    kind: str
    cube: str | None
    key: str | None
    payload: Payload
    by: str
    purpose: str
    priority: int
    state: JobState
    attempts: int
    max_attempts: int
    timeout: timedelta
    run_at: datetime
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: Progress | None = None
    worker: str | None = None
    lease: str | None = None
    error: str | None = None
    trace: str | None = None


# --- what a worker reports -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """It is being worked on; the lease is renewed."""

    progress: Progress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """It is finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The attempt failed. It is tried again `after` so long, or never if that is None."""

    error: str
    trace: str = ""
    after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The worker stops; somebody else may begin anew. The attempt does not count."""


News: TypeAlias = Alive | Done | Failed | Released


def delay(attempt: int, *, chance: float | None = None) -> timedelta:
    """Return how long to wait after the failure of this attempt (counted from 1).

    Exponential back-off with full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture
    Blog, 2015): between nothing and the bound, evenly. `chance`, 0 to 1, is drawn if it is not given.
    """
    bound: timedelta = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(attempt - 1, 20))
    share: float = random.random() if chance is None else chance  # noqa: S311 - no secret
    return bound * share


# --- schedules -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A job that is put again and again, by a cron expression in UTC."""

    name: str
    cron: str
    kind: str
    cube: str | None
    payload: Payload
    by: str
    purpose: str
    next_at: datetime


# --- checks ----------------------------------------------------------------------------------


def checked_kind(kind: object) -> str:
    """Return `kind` if it can name one: a lower-case word of at most 64 characters."""
    if not isinstance(kind, str) or not _WORD.fullmatch(kind):
        raise InvalidInput(f"kind must be a lower-case word such as 'extract', not {kind!r}")
    return str(kind)


def checked_payload(payload: object) -> Payload:
    """Return `payload` if it is a small mapping of words to numbers, words and truth values."""
    if not isinstance(payload, Mapping) or len(payload) > MAX_PAYLOAD:
        raise InvalidInput(f"payload must be a mapping of at most {MAX_PAYLOAD} entries, not {payload!r}")
    for name, value in payload.items():
        checked_name(name, what="payload entry")
        if isinstance(value, str):
            if value:
                checked_name(value, what=f"payload[{name!r}]")
        elif value is not None and not isinstance(value, int | float):
            raise InvalidInput(f"payload[{name!r}] must be a word, a number or None: ids, not contents")
    return payload
