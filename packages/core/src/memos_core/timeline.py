"""What a cube was, how two states of it differ, and what a rollback or a merge did."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

from memos_core.errors import InvalidInput
from memos_core.memory import Memory, checked_name, checked_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A name for a cube's state: that after its change number `change`. It holds no memories."""

    cube: str  # the cube's id
    label: str
    change: int
    at: datetime  # when it was taken
    by: str

    def __str__(self) -> str:
        return self.label


At: TypeAlias = Snapshot | datetime | str
"""A state of a cube: a snapshot, its label, or the moment at which the cube was so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revised:
    """A memory that says something else than before."""

    before: Memory
    after: Memory

    @property
    def text_diff(self) -> str:
        """How the text changed, as a unified diff; "" where only the kind, tags or time did."""
        lines = difflib.unified_diff(
            self.before.text.splitlines(),
            self.after.text.splitlines(),
            fromfile=f"version {self.before.version}",
            tofile=f"version {self.after.version}",
            lineterm="",
        )
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A memory that stands in another state than before, such as archived."""

    before: Memory
    after: Memory


class Why(StrEnum):
    """Why a memory is no more."""

    FORGOTTEN = "forgotten"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A memory that was erased; its words are nowhere."""

    memory_id: str
    at: datetime
    by: str
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """How a cube came from one state to another, each part in the order in which memories were first written.

    One memory may be both revised and moved. A diff in which nothing changed is false.
    """

    added: tuple[Memory, ...] = ()
    revised: tuple[Revised, ...] = ()
    moved: tuple[Moved, ...] = ()
    gone: tuple[Gone, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.revised or self.moved or self.gone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """What a rollback did, by memory id. What was written since is archived, not erased.

    `frozen` stays as it is because it is frozen; `gone` was erased since and stays erased.
    """

    cube: str
    to: int  # the change number whose state the cube has again
    revised: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    archived: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    gone: tuple[Gone, ...] = ()


class Resolution(StrEnum):
    """How a conflict is settled."""

    OURS = "ours"
    THEIRS = "theirs"
    KEEP_BOTH = "keep_both"


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeConflict:
    """A memory that both sides changed since they last agreed; None where a side no longer has it in use.

    `base` is what they agreed on, None where its words are no longer kept.
    """

    base: Memory | None
    ours: Memory | None
    theirs: Memory | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """What a merge did. `memories` maps the other cube's memory ids to those that came of them here.

    Where conflicts were only to be reported and there were some, nothing was changed.
    """

    cube: str
    other: str
    added: tuple[str, ...] = ()  # ids of ours, as are the next two
    revised: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    conflicts: tuple[MergeConflict, ...] = ()
    applied: bool = True
    memories: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def checked_at(at: object, *, what: str = "at") -> At | None:
    """Return `at` if it can name a state of a cube; None is the present."""
    match at:
        case None | Snapshot():
            return at
        case datetime():
            return checked_time(at, what=what)
        case str():
            return checked_name(at, what="label")
        case _:
            raise InvalidInput(
                f"{what} is a snapshot, its label, or a datetime with a time zone, not {type(at).__name__}"
            )
