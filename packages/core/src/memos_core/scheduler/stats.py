"""What the planner looks at: the forms that knowledge has or could have, and what each costs here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from memos_core.errors import InvalidInput
from memos_core.heat import NEVER, Heat

DAY: Final = 86_400.0
UNLIMITED: Final = float(1 << 62)  # bytes, where there is no limit


class Tier(StrEnum):
    """Where knowledge can stand, from what is read at every use to what is known by heart."""

    TEXT = "text"  # words in the prompt
    RESIDENT = "resident"  # a cube's keys in RAM, for recall
    KV = "kv"  # attention states of the words, attached
    LORA = "lora"  # an adapter


class Pool(StrEnum):
    """What a form takes its bytes from."""

    RAM = "ram"
    DISK = "disk"
    DEVICE = "device"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a tier costs on this machine with this model, a unit. Times in seconds, size in bytes.

    `unit` is "token" or "memory". `samples` are the units that it was measured on: a mean of many
    gives way to new measurements slowly.
    """

    tier: Tier
    model: str
    unit: str
    write: float
    read: float
    size: float
    samples: float
    at: float = 0.0  # when it was measured last


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A cube in one tier, there or not. Times in seconds, `size` in bytes.

    `make` is what making it takes, `saves` what one use spares while it is there. A form on demand
    is made by the first use that lacks it, and somebody waits `make` for that; another one is made
    by the planner or never. `since` is when the planner made it or let it go; None if it never did.

    A form of several pieces, `granule` bytes each at most, can be let go from its end on: a shorter
    one is left, of use all the same. What is there in part lacks `rest` bytes, and `make` is for these.
    """

    cube: str
    name: str
    tier: Tier
    pool: Pool
    size: int
    make: float
    saves: float
    uses: Heat = NEVER
    changes: Heat = NEVER
    on_demand: bool = True
    held: bool = False
    granule: int = 0  # 0 is one piece: whole or not at all
    rest: int = 0
    stale: bool = False  # what it was made from has changed
    pinned: bool = False
    since: float | None = None
    hits: int = 0  # uses ever
    likeness: float = 0.0  # to what is being talked about, 0 to 1; not told of a store
    soon: float | None = None  # uses a second right now, by what follows on the last; None: nobody foresees
    labels: frozenset[str] = frozenset()

    @property
    def key(self) -> tuple[str, str]:
        """What no two forms share."""
        return self.cube, self.tier.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Chores:
    """Memories of a cube whose time has come: counts, and the bytes of their words."""

    cube: str
    name: str
    overdue: int = 0
    overdue_size: int = 0
    rested: int = 0
    rested_size: int = 0
    scattered: int = 0  # what consolidation would do
    scattered_size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standings:
    """Everything that a plan depends on besides the budget, the policy and the time."""

    forms: Sequence[Form] = ()
    chores: Sequence[Chores] = ()
    trained: float = 0.0  # seconds of training in the last day


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Bytes of each pool, and seconds of training a day; None is no limit, 0 is none at all."""

    ram: int | None = None
    disk: int | None = None
    device: int | None = None
    training: float | None = None

    def __post_init__(self) -> None:
        for name in ("ram", "disk", "device"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise InvalidInput(f"{name} must be a number of bytes from 0, or None, not {value!r}")
        seconds = self.training
        if seconds is not None and (
            isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0
        ):
            raise InvalidInput(f"training must be seconds a day from 0, or None, not {seconds!r}")

    def room(self, pool: Pool) -> float:
        """Return the bytes of a pool."""
        found: int | None = getattr(self, pool.value)
        return UNLIMITED if found is None else float(found)


def refreshed(known: Cost | None, seen: Cost, *, most: float = 100_000.0) -> Cost:
    """Return what is known after something more was measured, weighted by the units of each.

    No more than `most` units of the past count, so that a machine that has changed is noticed.
    """
    if known is None or known.samples <= 0:
        return seen
    if seen.samples <= 0:
        return known
    weight = min(known.samples, most)
    total = weight + seen.samples

    def mean(before: float, now: float) -> float:
        return (before * weight + now * seen.samples) / total

    return Cost(
        tier=seen.tier,
        model=seen.model,
        unit=seen.unit,
        write=mean(known.write, seen.write),
        read=mean(known.read, seen.read),
        size=mean(known.size, seen.size),
        samples=total,
        at=max(known.at, seen.at),
    )
