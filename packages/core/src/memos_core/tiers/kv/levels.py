"""States in RAM by segment key: where the engine computes ("device"), and below it ("host").

What no longer fits in the device's budget goes down to the host's, what fits in neither leaves. A
state never changes, so whoever holds one goes on using it after it has left; its memory is free
when the last reader lets go.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from memos_core.errors import InvalidInput
from memos_core.tiers.kv.eviction import Entry, Policy, Use, over_budget, saved_seconds, used

DEVICE, HOST = "device", "host"
_REMEMBERED = 8192  # counts of uses that outlive their states, so that what comes back is known


class Sized(Protocol):
    """All that a level asks of a state."""

    @property
    def size(self) -> int:
        """Bytes in memory."""
        ...


S = TypeVar("S", bound=Sized)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What having a state spares: `build` seconds to get it anew, less `load` seconds to use it.

    `parent` is the key of the link that it follows on from, "" for the first.
    """

    build: float
    load: float = 0.0
    parent: str = ""


class Sizes(NamedTuple):
    """Bytes held."""

    device: int
    host: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelStats:
    """What was held at the moment, and what happened since the levels were made."""

    entries: int
    pinned: int
    sizes: Sizes
    hits_device: int = 0
    hits_host: int = 0
    misses: int = 0
    demoted: int = 0  # went from device to host
    evicted: int = 0  # left for lack of room
    refused: int = 0  # larger than every budget


@dataclass(slots=True, eq=False)
class _Slot(Generic[S]):
    """A state's place; read and changed under the lock only. A new one is made for a new state."""

    state: S
    level: str
    worth: Worth
    use: Use


class Levels(Generic[S]):
    """A shelf of states within two budgets in bytes. Safe from several threads.

    A budget of 0 means that there is no such level. `to_host` and `to_device` return a state's
    equal in the other place; they are called without the lock, so that a slow copy holds up
    nobody. While one goes on, the device may hold what is being copied beyond its budget. `scrub`
    overwrites what is left of states where they were worked with.
    """

    def __init__(
        self,
        *,
        device_bytes: int,
        host_bytes: int = 0,
        policy: Policy = saved_seconds,
        clock: Callable[[], float] = time.monotonic,
        to_host: Callable[[S], S] = lambda state: state,
        to_device: Callable[[S], S] = lambda state: state,
        scrub: Callable[[], object] = lambda: None,
    ) -> None:
        for name, budget in (("device_bytes", device_bytes), ("host_bytes", host_bytes)):
            if isinstance(budget, bool) or not isinstance(budget, int) or budget < 0:
                raise InvalidInput(f"{name} must be a number of bytes from 0, not {budget!r}")
        self.budgets = Sizes(device_bytes, host_bytes)
        self._policy, self._clock = policy, clock
        self._to_host, self._to_device = to_host, to_device
        self.scrub = scrub
        self._closed = False
        self._lock = threading.Lock()
        self._slots: dict[str, _Slot[S]] = {}
        self._held = {DEVICE: 0, HOST: 0}
        self._pinned: set[str] = set()
        self._former: OrderedDict[str, Use] = OrderedDict()
        self._counts = dict.fromkeys(
            ("hits_device", "hits_host", "misses", "demoted", "evicted", "refused"), 0
        )

    def get(self, key: str) -> tuple[S, str] | None:
        """Return the state, on the device, and the level where it was; None if it is in neither.

        A state of the host's goes up for good only if the policy would keep it there.
        """
        with self._lock:
            slot = self._slots.get(key)
            if slot is None:
                self._counts["misses"] += 1
                return None
            slot.use = used(slot.use, now=self._clock())
            state, level = slot.state, slot.level
            self._counts[f"hits_{level}"] += 1
        if level == DEVICE or not self.budgets.device:
            return state, level
        raised = self._to_device(state)
        with self._lock:
            unmoved = self._slots.get(key) is slot and slot.state is state
            if unmoved and self._would_stay(key, slot, raised, DEVICE):
                self._place(slot, raised, DEVICE)
        self._settle()
        return raised, HOST

    def put(self, key: str, state: S, *, worth: Worth) -> None:
        """Keep a state that is on the device, just made or just read; that counts as a use.

        A state that fits in neither budget is not kept, nor is any after `close`.
        """
        on_device = self._fits(state, DEVICE)
        placed = state if on_device or not self.budgets.host else self._to_host(state)
        with self._lock:
            former = self._slots.get(key)
            use = used(former.use if former else self._former.pop(key, None), now=self._clock())
            self._remove(key)
            if self._closed:
                return
            if not on_device and not self._fits(placed, HOST):
                self._counts["refused"] += 1
                return
            self._slots[key] = slot = _Slot(placed, "", worth, use)
            self._place(slot, placed, DEVICE if on_device else HOST)
        self._settle()

    def raised(self, state: S) -> S:
        """Return a state that was read into the host as it has to be on the device."""
        return self._to_device(state)

    def pin(self, keys: Iterable[str]) -> None:
        """Keep these on the level that they are on, or get to, whatever the budgets say."""
        with self._lock:
            self._pinned.update(keys)

    def unpin(self, keys: Iterable[str]) -> None:
        """Let these leave again."""
        with self._lock:
            self._pinned.difference_update(keys)
        self._settle()

    def drop(self, keys: Iterable[str]) -> int:
        """Erase these, their pins and the counts of their uses, at once; return how many were held."""
        with self._lock:
            found = 0
            for key in set(keys):
                found += self._remove(key)
                self._pinned.discard(key)
                self._former.pop(key, None)
            return found

    def clear(self) -> None:
        """Erase everything."""
        with self._lock:
            self._slots.clear()
            self._pinned.clear()
            self._former.clear()
            self._held = {DEVICE: 0, HOST: 0}

    def close(self) -> None:
        """Erase everything, and keep nothing from now on: an answer may outlive its engine."""
        with self._lock:
            self._closed = True
        self.clear()

    def keys(self) -> frozenset[str]:
        """Return the keys of what is held on either level."""
        with self._lock:
            return frozenset(self._slots)

    def sizes(self) -> Sizes:
        """Return the bytes held on each level."""
        with self._lock:
            return Sizes(self._held[DEVICE], self._held[HOST])

    def stats(self) -> LevelStats:
        """Return what is held, and what happened so far."""
        with self._lock:
            return LevelStats(
                entries=len(self._slots),
                pinned=sum(key in self._pinned for key in self._slots),
                sizes=Sizes(self._held[DEVICE], self._held[HOST]),
                **self._counts,
            )

    # --- moves -------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Bring both levels within their budgets."""
        while leaving := self._leaving_device():
            for key, slot, state in leaving:
                lowered: S | None = None
                try:
                    lowered = self._to_host(state)
                finally:  # where the copy fails, what should have gone down is gone
                    self._lower(key, slot, state, lowered)
        with self._lock:
            for key in self._excess(HOST):
                self._evict(key)

    def _leaving_device(self) -> list[tuple[str, _Slot[S], S]]:
        """Return what has to go down; what the host would not keep is evicted at once."""
        going = []
        with self._lock:
            for key in self._excess(DEVICE):
                slot = self._slots[key]
                if self._would_stay(key, slot, slot.state, HOST):
                    going.append((key, slot, slot.state))
                else:
                    self._evict(key)
        return going

    def _lower(self, key: str, slot: _Slot[S], state: S, lowered: S | None) -> None:
        with self._lock:
            if self._slots.get(key) is not slot or slot.state is not state or slot.level != DEVICE:
                return  # erased, replaced or moved while it was copied
            if lowered is None:
                self._evict(key)
                return
            self._counts["demoted"] += 1
            self._place(slot, lowered, HOST)

    # --- what follows is called under the lock -------------------------------------------------

    def _excess(self, level: str) -> list[str]:
        if self._held[level] <= self._budget(level):
            return []
        entries = [self._entry(k, s, s.state) for k, s in self._slots.items() if s.level == level]
        return self._decided(entries, level)

    def _would_stay(self, key: str, slot: _Slot[S], state: S, level: str) -> bool:
        """Return whether the level would keep a state that is not on it."""
        if not self._fits(state, level):
            return False
        if self._held[level] + state.size <= self._budget(level):
            return True
        entries = [self._entry(k, s, s.state) for k, s in self._slots.items() if s.level == level]
        return key not in self._decided([*entries, self._entry(key, slot, state)], level)

    def _decided(self, entries: list[Entry], level: str) -> list[str]:
        return over_budget(entries, budget=self._budget(level), now=self._clock(), policy=self._policy)

    def _entry(self, key: str, slot: _Slot[S], state: S) -> Entry:
        worth = slot.worth
        return Entry(
            key=key,
            size=state.size,
            build=worth.build,
            load=worth.load,
            parent=worth.parent,
            use=slot.use,
            pinned=key in self._pinned,
        )

    def _fits(self, state: S, level: str) -> bool:
        return 0 < self._budget(level) >= state.size

    def _budget(self, level: str) -> int:
        return self.budgets.device if level == DEVICE else self.budgets.host

    def _place(self, slot: _Slot[S], state: S, level: str) -> None:
        """Put the slot's state, which may be a new one, on a level."""
        if slot.level:
            self._held[slot.level] -= slot.state.size
        slot.state, slot.level = state, level
        self._held[level] += state.size

    def _evict(self, key: str) -> None:
        """Let a state leave, and remember how it was used."""
        self._former[key] = self._slots[key].use
        self._former.move_to_end(key)
        if len(self._former) > _REMEMBERED:
            self._former.popitem(last=False)
        self._counts["evicted"] += 1
        self._remove(key)

    def _remove(self, key: str) -> bool:
        """Take a state off the shelf; return whether there was one."""
        slot = self._slots.pop(key, None)
        if slot is None:
            return False
        self._held[slot.level] -= slot.state.size
        return True
