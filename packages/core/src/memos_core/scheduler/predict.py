"""Which cubes somebody will ask next: what followed before, the time of day, what is asked most.

Everything is counted with a half-life. A guess says what it stands on. Nothing here is written down:
a process learns from what it sees.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, NamedTuple

from memos_core.heat import HALF_LIFE, Heat, cooled, talking, warmed

PAUSE: Final = 1800.0
"""Seconds of silence after which what comes next follows on from nothing."""

REMEMBERED: Final = 4096
"""Contexts that are remembered; the one seen longest ago goes first."""

_HALF_LIVES: Final = 14 * HALF_LIFE
_RECENT: Final = 1.0  # trust in that whoever was asked last is asked next: of 0, .5, 1, 2, 3 and 8
_TRUST: Final = {"pair": 4.0, "last": 2.0, "hour": 1.0, "often": 0.5}
"""How much a context counts once it is well known: what followed the last two asked is surest."""


class Guess(NamedTuple):
    """A cube that may be asked next, with the share of the weight that speaks for it, 0 to 1."""

    cube: str
    share: float
    why: str


class Foresight:
    """What one principal's questions have told so far. Not safe from several threads."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, ...], dict[str, Heat]] = OrderedDict()
        self._last: tuple[str, ...] = ()
        self._at = 0.0

    def see(self, cube: str, *, at: float) -> None:
        """Take note that a cube was asked at a moment (seconds since 1970)."""
        self._forget_talk(at)
        for context in self._contexts(at):
            followers = self._seen.setdefault(context, {})
            followers[cube] = warmed(followers.get(cube, Heat()), now=at, half_life=_HALF_LIVES)
            self._seen.move_to_end(context)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        self._last, self._at = (*self._last, cube)[-2:], max(at, self._at)

    def guesses(self, *, at: float, most: int = 3) -> list[Guess]:
        """Return the likeliest cubes besides the one that was asked last, likeliest first."""
        found = [guess for guess in self._followers(at)[0] if guess.cube not in self._last[-1:]]
        return sorted(found, key=lambda guess: (-guess.share, guess.cube))[:most]

    def rates(self, *, at: float) -> dict[str, float]:
        """Return by cube the uses a second to expect right now, while the talk goes on.

        They are shared out by what followed before; as far as little is known of that, by who was asked last.
        """
        followers, trust = self._followers(at)
        density = talking(at - self._at)
        shares = {guess.cube: trust * density * guess.share for guess in followers}
        return {
            cube: (shares.get(cube, 0.0) + _RECENT * talking(at - asked.at)) / (trust + _RECENT)
            for cube, asked in self._seen.get(("often",), {}).items()
        }

    def _followers(self, at: float) -> tuple[list[Guess], float]:
        """Return who may follow, in no order, and the trust that stands behind it."""
        self._forget_talk(at)
        weights: dict[str, dict[str, float]] = {}
        total = 0.0
        for context in self._contexts(at):
            followers = self._seen.get(context, {})
            counts = {cube: cooled(heat, now=at, half_life=_HALF_LIVES) for cube, heat in followers.items()}
            known = sum(counts.values())
            if known <= 0:
                continue
            trust = _TRUST[context[0]] * known / (known + 1)  # what was seen once says little
            total += trust
            for cube, count in counts.items():
                weights.setdefault(cube, {})[context[0]] = trust * count / known
        return [Guess(cube, sum(by.values()) / total, _why(by)) for cube, by in weights.items()], total

    def forget(self, cubes: Iterable[str]) -> None:
        """Forget these cubes, as when they were erased."""
        gone = set(cubes)
        for context in [each for each in self._seen if not gone.isdisjoint(each)]:
            del self._seen[context]
        for followers in self._seen.values():
            for cube in gone & followers.keys():
                del followers[cube]
        if not gone.isdisjoint(self._last):
            self._last = ()

    def _forget_talk(self, at: float) -> None:
        if at - self._at > PAUSE:
            self._last = ()

    def _contexts(self, at: float) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = [("often",), ("hour", str(int(at // 3600) % 24))]
        if self._last:
            found.append(("last", self._last[-1]))
        if len(self._last) > 1:
            found.append(("pair", *self._last))
        return found


_SAYS: Final = {
    "pair": "followed the last two before",
    "last": "followed the last one before",
    "hour": "is asked at this hour",
    "often": "is asked often",
}


def _why(by: dict[str, float]) -> str:
    return _SAYS[max(by, key=lambda name: by[name])]
