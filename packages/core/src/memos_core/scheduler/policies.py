"""What a form is worth to whom: policies as values. Pure; higher is better.

The policy by cost is the one that is meant to be used. The others are what caches do elsewhere, and
stand here to be compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from memos_core.errors import InvalidInput
from memos_core.heat import HALF_LIFE, expected, likely, per_second, rate
from memos_core.scheduler.stats import DAY, Form, Tier


class Worth(NamedTuple):
    """What a policy thinks of a form: of keeping it, of making it now, and why.

    `keep` ranks forms, for each byte where the policy weighs bytes; one that is not there ranks lower
    by the `price` of making it. `make` is over 0 where making it now pays, and says by how much.
    """

    keep: float
    make: float
    why: str
    price: float = 0.0


Judge = Callable[[Form, float], Worth]
"""Looks at a form at a moment (seconds since 1970)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How to choose. What stays is what `judge` ranks highest within the budget.

    A form that is there ranks higher by the share `grip`, so that two of equal worth do not take
    turns. What was made or let go by a move is left alone for `settle` seconds, unless the budget
    has shrunk. `by_size` divides worth by bytes. What is made ahead of its first use leaves the share
    `reserve` of a pool free, and pushes nothing out unless the policy `displaces`: that first use will.
    """

    name: str
    judge: Judge
    grip: float = 0.25
    settle: float = 60.0
    by_size: bool = True
    reserve: float = 0.0
    displaces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What the policy by cost goes by.

    `idle` is what a second of work costs while nobody waits, in seconds of somebody's waiting.
    `margin` is the share by which a gain must exceed its price. Uses are foreseen for `ahead` seconds,
    where a form on demand is made before it is asked for, and for `horizon` where one is trained.
    `half_life` is that of the counts.
    """

    idle: float = 0.5
    margin: float = 0.25
    ahead: float = 3600.0
    horizon: float = 30 * DAY
    half_life: float = HALF_LIFE

    def __post_init__(self) -> None:
        for name in ("idle", "margin", "ahead", "horizon", "half_life"):
            value = getattr(self, name)
            least = 0 if name in ("idle", "margin") else 1e-9
            if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value < 1e12:
                raise InvalidInput(f"{name} must be a number from {least:g}, not {value!r}")


def sure_enough(prices: Prices) -> float:
    """Return how likely, 0 to 1, a question has to be before states computed ahead of it break even.

    Computed in vain they cost idle work; in time they spare whoever asks the same seconds of waiting.
    """
    return min(prices.idle * (1 + prices.margin), 1.0)


def by_cost(
    prices: Prices | None = None, *, grip: float = 0.25, settle: float = 60.0, reserve: float = 0.5
) -> Policy:
    """Return the policy by cost: break even between what making takes and what uses are expected to save."""
    chosen = prices or Prices()
    return Policy(
        name="cost",
        judge=lambda form, now: _cost(form, now, chosen),
        grip=grip,
        settle=settle,
        reserve=reserve,
    )


def _cost(form: Form, now: float, prices: Prices) -> Worth:
    changes = per_second(form.changes, now=now, half_life=prices.half_life)
    lasts = prices.ahead if form.on_demand else prices.horizon
    lasts = min(lasts, 1 / changes) if changes else lasts
    uses = expected(form.uses, now=now, span=lasts, half_life=prices.half_life)
    price = prices.idle * form.make
    saves = max(form.saves, 0.0)
    # What leaves is back with its next use: what counts is who is used next, not who is used most. A
    # change does not count against what is there: most of it stays true.
    keep = _rate(form, now, prices) * prices.ahead * saves
    # Who lacks a form on demand waits for it once, and the next one has it: only that wait is spared.
    gain = likely(uses) * form.make if form.on_demand else uses * saves
    why = f"{uses:.2g} uses expected in {_span(lasts)}, {gain:.2g} s to gain for {price:.2g} s"
    pays = gain >= price * (1 + prices.margin)
    return Worth(keep, gain - price if pays else min(gain - price, 0.0), why, price)


def _rate(form: Form, now: float, prices: Prices) -> float:
    """Return the uses a second to expect right now; of a talk whose course is foreseen, by that."""
    if form.soon is None:
        return rate(form.uses, now=now, half_life=prices.half_life)
    return form.soon + per_second(form.uses, now=now, half_life=prices.half_life)


def _span(seconds: float) -> str:
    for unit, size in (("d", DAY), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"


def _lru(form: Form, now: float) -> Worth:
    return Worth(form.uses.at, 0.0, f"last used {_span(max(now - form.uses.at, 0.0))} ago")


def _lfu(form: Form, _now: float) -> Worth:
    return Worth(float(form.hits), 0.0, f"used {form.hits} times")


LRU: Final = Policy(name="lru", judge=_lru, grip=0.0, settle=0.0, by_size=False)
"""Keeps what was used last. It makes nothing ahead of need."""

LFU: Final = Policy(name="lfu", judge=_lfu, grip=0.0, settle=0.0, by_size=False)
"""Keeps what was used most. It makes nothing ahead of need."""


def by_likeness(threshold: float | None = None) -> Policy:
    """Return the policy that keeps what is most like the present talk, and makes it from a threshold on.

    None makes nothing ahead of need. It is for whoever sets `Form.likeness`, as a simulation can: a store
    knows which cubes are asked, and keeps nothing of the questions.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise InvalidInput(f"threshold must be from 0 to 1, not {threshold!r}")

    def judge(form: Form, _now: float) -> Worth:
        wanted = form.likeness if threshold is not None and form.likeness >= threshold else 0.0
        return Worth(form.likeness, wanted, f"{form.likeness:.2f} like the present talk")

    return Policy(name="similarity", judge=judge, grip=0.0, settle=0.0, by_size=False, displaces=True)


def by_label(labels: Collection[str]) -> Policy:
    """Return the policy that keeps, and makes, what bears one of these labels, whatever its use."""
    wanted = frozenset(labels)

    def judge(form: Form, _now: float) -> Worth:
        shared = sorted(wanted & form.labels)
        why = f"labelled {', '.join(shared)}" if shared else "bears no label that is asked for"
        return Worth(float(bool(shared)), float(bool(shared)), why)

    return Policy(name="label", judge=judge, grip=0.0, settle=0.0, by_size=False, displaces=True)


COST: Final = by_cost()
POLICIES: Final[Mapping[str, Policy]] = MappingProxyType({"cost": COST, "lru": LRU, "lfu": LFU})
"""By name, those that need no arguments and nothing that a store does not know."""


def named(policy: Policy | str) -> Policy:
    """Return the policy of this name, or the one given; "label:a,b" keeps what is labelled a or b."""
    if isinstance(policy, Policy):
        return policy
    if isinstance(policy, str) and policy.startswith("label:"):
        return by_label([word for word in policy.removeprefix("label:").split(",") if word])
    if not isinstance(policy, str) or policy not in POLICIES:
        raise InvalidInput(f"policy is one of {', '.join(POLICIES)} or label:WORD, not {policy!r}")
    return POLICIES[policy]


PARAMETRIC: Final = frozenset({Tier.LORA})
"""Tiers whose making counts against the minutes of training."""
