"""Working memory: the small set that stands in every prompt of a session. Pure.

What is pinned comes first, then what is worth most for its tokens: what was just said, and what has
been used most. What stands there already is worth a little more, so that a prompt does not change
for nothing: its beginning can stay computed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from memos_core.memory import Memory
from memos_core.query import estimate_tokens, line_of

GRIP: Final = 0.25
FADING: Final = 8
"""Turns after which what was said counts half."""

PINNED, USED, RECENT = "pinned", "used", "recent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A memory that may stand in the set; `kind` is "pinned", "used" or "recent", `value` over 0."""

    memory: Memory
    kind: str
    value: float
    why: str

    @property
    def tokens(self) -> int:
        """Estimated tokens of its line."""
        return estimate_tokens(f"{line_of(self.memory)}\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingSet:
    """What stands in every prompt of a session, in the order of reading, and what gave way to it."""

    items: Sequence[Candidate]
    left: Sequence[Candidate]

    @property
    def memories(self) -> Sequence[Memory]:
        return [item.memory for item in self.items]

    @property
    def tokens(self) -> int:
        return sum(item.tokens for item in self.items)

    def render(self) -> str:
        """Return a line a memory, quoted and dated."""
        return "\n".join(line_of(item.memory) for item in self.items)


def recency(turns_ago: int) -> float:
    """Return the value of what was said so many turns ago; 4 for the last thing said."""
    return float(4.0 * 0.5 ** (turns_ago / FADING))


def chosen(candidates: Sequence[Candidate], *, budget: int, held: Collection[str] = ()) -> WorkingSet:
    """Return the set that fits `budget` tokens; `held` are the ids of those that stand in it already.

    A memory that is a candidate twice is one by its better half.
    """
    best: dict[str, Candidate] = {}
    for each in sorted(candidates, key=_first, reverse=True):
        best.setdefault(each.memory.id, each)
    kept: list[Candidate] = []
    passed: list[Candidate] = []
    left = budget
    for each in sorted(best.values(), key=lambda one: _place(one, held)):
        if each.tokens <= left:
            kept.append(each)
            left -= each.tokens
        else:
            passed.append(each)
    return WorkingSet(
        items=sorted(kept, key=_reading), left=[each for each in passed if each.memory.id in held]
    )


def _first(each: Candidate) -> tuple[bool, float]:
    return each.kind == PINNED, each.value


def _place(each: Candidate, held: Collection[str]) -> tuple[bool, float, str]:
    value = each.value * (1 + GRIP) if each.memory.id in held else each.value
    if each.kind != PINNED:
        value /= each.tokens
    return each.kind != PINNED, -value, each.memory.id


def _reading(each: Candidate) -> tuple[int, float, float, int, str]:
    kinds = (PINNED, USED, RECENT)
    memory = each.memory
    position = memory.header.descriptive.position or 0
    written = memory.header.descriptive.created_at.timestamp()
    moment = memory.at.timestamp() if each.kind == RECENT else written
    return kinds.index(each.kind), -each.value if each.kind == PINNED else 0.0, moment, position, memory.id
