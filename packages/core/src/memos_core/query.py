"""What is asked of a cube and what it answers: filters, hits and their reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import overload

from memos_core.errors import InvalidInput
from memos_core.memory import (
    Memory,
    Trust,
    checked_choice,
    checked_tags,
    checked_text,
    checked_time,
    checked_within,
)

MOST_WANTED = 256  # values in one field of a filter
BYTES_PER_TOKEN = 3  # UTF-8 bytes; common tokenizers average 4+ for English and about 3 for Chinese


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A filter over memories. Every field that is given must hold.

    `kinds`, `speakers` and `sessions` match any of theirs, `tags` must all be present,
    `since <= at < until` bounds the event time (the write time where no event time is known). `trust`
    asks for what is "trusted", or for what is "untrusted".
    """

    kinds: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    max_sensitivity: int | None = None
    min_priority: int | None = None
    trust: Trust | str | None = None

    def __post_init__(self) -> None:
        for name in ("kinds", "tags", "speakers", "sessions"):
            object.__setattr__(self, name, checked_tags(getattr(self, name), what=name.removesuffix("s")))
            if len(getattr(self, name)) > MOST_WANTED:
                raise InvalidInput(f"{name} names over {MOST_WANTED} values: ask in several parts")
        for name in ("since", "until"):
            object.__setattr__(self, name, checked_time(getattr(self, name), what=name))
        if self.max_sensitivity is not None:
            checked_within(self.max_sensitivity, 0, 9, what="max_sensitivity")
        if self.trust is not None:
            object.__setattr__(self, "trust", checked_choice(Trust, self.trust, what="trust"))
        if self.min_priority is not None:
            checked_within(self.min_priority, -9, 9, what="min_priority")

    @property
    def is_empty(self) -> bool:
        return self == Where()


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What each signal added to a hit's score; the parts sum to it.

    Only a hit that was lifted above what it supersedes scores more than its parts.

    `dense`: likeness of meaning; `lexical`: shared words; `neighbour`: the turns around it;
    `session`: the conversation it stands in; `speaker`: the query names who said it;
    `time`: it lies in the time the query speaks of; `form`: length, being a question, and the like.
    """

    dense: float = 0.0
    lexical: float = 0.0
    neighbour: float = 0.0
    session: float = 0.0
    speaker: float = 0.0
    time: float = 0.0
    form: float = 0.0

    @property
    def total(self) -> float:
        return sum(self.parts().values())

    def parts(self) -> dict[str, float]:
        """Return the parts by name, in declaration order."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __str__(self) -> str:
        strongest = sorted(self.parts().items(), key=lambda part: -abs(part[1]))
        return (
            " ".join(f"{name}{value:+.2f}" for name, value in strongest if abs(value) >= 0.005) or "nothing"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One memory that was found. `score` lies in 0 to 1; higher is better; it compares within one recall.

    `likeness` is the cosine of the query with the memory's best key, -1 to 1, which compares between
    recalls and cubes; None where the query was not compared with it: a context, a linked successor.
    `context` is true for a neighbouring turn that was packed along to make a hit readable.
    """

    memory: Memory
    score: float
    why: Why
    likeness: float | None = None
    context: bool = False


def estimate_tokens(text: str) -> int:
    """Return a cautious token count for any model: one token per three bytes of UTF-8, rounded up."""
    return -(-len(text.encode("utf-8")) // BYTES_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Recall(Sequence[Hit]):
    """The hits of one recall, best first. It is a sequence; an empty one is an answer."""

    query: str
    hits: tuple[Hit, ...]
    took: float = field(default=0.0, compare=False)  # seconds

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Hit]: ...
    def __getitem__(self, index: int | slice) -> Hit | Sequence[Hit]:
        return self.hits[index]

    @property
    def memories(self) -> list[Memory]:
        return [hit.memory for hit in self.hits]

    @property
    def texts(self) -> list[str]:
        return [hit.memory.text for hit in self.hits]

    def render(self, budget: int | None = None, *, tokens: Callable[[str], int] = estimate_tokens) -> str:
        """Return the hits as quoted, dated lines for a prompt, within `budget` tokens.

        The best hits are kept, then shown in the order in which they happened. Recalled text is
        data: every line is quoted, so that no memory can pose as an instruction. `tokens` counts
        the tokens of a string; the default over-estimates. An empty recall renders as "".
        """
        chosen = self._within(checked_budget(budget), tokens)
        chosen.sort(key=lambda hit: (hit.memory.at, hit.memory.header.descriptive.position or 0))
        return "\n".join(line_of(hit.memory) for hit in chosen)

    def _within(self, budget: int | None, tokens: Callable[[str], int]) -> list[Hit]:
        if budget is None:
            return list(self.hits)
        chosen: list[Hit] = []
        lines: list[str] = []
        for hit in self.hits:
            line = line_of(hit.memory)
            if tokens("\n".join([*lines, line])) <= budget:
                chosen.append(hit)
                lines.append(line)
        return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A memory as it is now, with the number of the change that last wrote it and who made that."""

    memory: Memory
    number: int
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes(Sequence[Change]):
    """What was written in a cube since a change, the oldest first. `upto` is the `since` of the next look."""

    upto: int
    changes: tuple[Change, ...]

    def __len__(self) -> int:
        return len(self.changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    @overload
    def __getitem__(self, index: int) -> Change: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Change]: ...
    def __getitem__(self, index: int | slice) -> Change | Sequence[Change]:
        return self.changes[index]


def checked_where(where: object) -> Where:
    """Return `where` if it is a Where; None means no filter."""
    if where is None:
        return Where()
    if not isinstance(where, Where):
        raise InvalidInput(f"where must be Where(...), not {where!r}")
    return where


def checked_budget(budget: int | None) -> int | None:
    """Return `budget` if it is None or a number of tokens from 1."""
    if budget is None:
        return None
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
        raise InvalidInput(f"budget must be a number of tokens from 1, not {budget!r}")
    return budget


def checked_k(k: object) -> int:
    """Return `k` if it is a count from 1 to 10,000."""
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= 10_000:
        raise InvalidInput(f"k must be a whole number from 1 to 10,000, not {k!r}")
    return k


def checked_query(query: object) -> str:
    """Return `query` if it asks something."""
    if isinstance(query, str) and not query.strip():
        raise InvalidInput("the query is empty: ask something, or use list() to see everything")
    return checked_text(query, what="query")


def line_of(memory: Memory) -> str:
    """Render one memory as `- [2024-05-03] "text" (speaker)`, its line breaks and quotes made harmless.

    What is not trusted says so behind its closing quote, which no text can reach.
    """
    quoted = " ".join(memory.text.split()).replace('"', "'")
    who = f" ({_plain(memory.speaker)})" if memory.speaker else ""
    doubt = " [untrusted]" if memory.trust is Trust.UNTRUSTED else ""
    return f'- [{memory.at:%Y-%m-%d}] "{quoted}"{doubt}{who}'


def _plain(name: str) -> str:
    return " ".join(name.split()).replace('"', "'")
