"""Which cubes have their keys in RAM: those in use, within a byte budget."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice

from memos_core.cube import CubeHeader
from memos_core.tiers.text.resident import Resident
from memos_core.vault import former, keyring
from memos_core.vault.view import View

log = logging.getLogger(__name__)

KEY_OVERHEAD = 600  # bytes per key besides its vector: postings, scalars, dictionaries; measured
_SLICE = 32_768  # rows taken in at once: fewer cost merges, more cost the garbage collector
_ALONE = 4  # parts of the name of one cube: see `_named`, and the model
_AGAIN = 1000  # changes after which a cube that was too large is looked at again


@dataclass(slots=True)
class _Place:
    """A cube's place in the set; whoever reads or changes its keys holds the lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    keys: Resident | None = None
    changes: tuple[int, ...] = ()  # of each cube, as the keys have it
    again: int = 0  # the change number before which the cube's keys are known to be too large


@dataclass(frozen=True, slots=True)
class Loads:
    """What taking cubes into RAM took so far: keys, seconds, bytes."""

    keys: int = 0
    seconds: float = 0.0
    size: int = 0

    def plus(self, keys: int, *, seconds: float, size: int) -> Loads:
        return Loads(self.keys + keys, self.seconds + seconds, self.size + size)


class Residents:
    """Keys by cube and audience, brought up to date when they are used, the least recently used ones dropped.

    Who may see less of a cube has keys of their own: what they may not see enters no score of theirs.
    `budget` is in bytes; a cube that alone is larger is never resident. Safe from several threads.
    """

    def __init__(self, *, budget: int) -> None:
        self.budget = budget
        self._places: OrderedDict[tuple[str, ...], _Place] = OrderedDict()
        self._choosing = threading.Lock()
        self.loads = Loads()

    @contextmanager
    def using(
        self, view: View, cube: CubeHeader, *, model: str, dimensions: int
    ) -> Generator[Resident | None]:
        """Give the cube's keys as of `view` or newer, for this block alone; None if they are too large."""
        with self._choosing:
            name = (*(part for each in cube.members for part in _named(each)), model)
            place = self._places.setdefault(name, _Place())
            self._places.move_to_end(name)
        with ExitStack() as held:
            held.enter_context(place.lock)
            self._refresh(place, view, cube, model=model, dimensions=dimensions)
            keys = place.keys
            if keys is None:
                held.close()  # nothing of this cube's is shared: others need not wait
            yield keys
        self._evict()

    def _refresh(self, place: _Place, view: View, cube: CubeHeader, *, model: str, dimensions: int) -> None:
        keys, changes = place.keys, tuple(each.change for each in cube.members)
        if keys is not None and sum(place.changes) < sum(changes):
            changed = [
                seq
                for each, change in zip(cube.members, place.changes, strict=True)
                for seq in keyring.changed_since(view.connection, each, change)
            ]
            keys.apply(former.key_rows(view, cube, model, changed), gone=changed, change=sum(changes))
            place.changes = changes
        if keys is None or keys.is_worn:
            keys, place.changes = self._loaded(place, view, cube, model=model, dimensions=dimensions), changes
        place.keys = keys if keys is not None and keys.size <= self.budget else None

    def _loaded(
        self, place: _Place, view: View, cube: CubeHeader, *, model: str, dimensions: int
    ) -> Resident | None:
        """Return the cube's keys, or None where they are too large."""
        change = sum(each.change for each in cube.members)
        if change < place.again:  # counting the keys of 100,000 memories takes 0.3 s
            return None
        count = former.key_count(view, cube, model)
        if count * (4 * dimensions + KEY_OVERHEAD) > self.budget:
            place.again = change + _AGAIN
            return None
        begin = time.perf_counter()
        keys = Resident(dimensions=dimensions)
        rows = former.key_rows(view, cube, model)
        while batch := list(islice(rows, _SLICE)):
            keys.apply(batch, change=change)
        keys.change = change  # an empty cube has no batch
        self.loads = self.loads.plus(count, seconds=time.perf_counter() - begin, size=keys.size)
        if keys.size > self.budget:
            place.again = change + _AGAIN
        return keys

    def _evict(self) -> None:
        with self._choosing:
            while self.size() > self.budget and len(self._places) > 1:
                (cube_id, *_), _ = self._places.popitem(last=False)
                log.debug("evicted", extra={"cube": cube_id})

    def size(self) -> int:
        """Return the bytes that all resident keys take, nearly."""
        return sum(place.keys.size for place in list(self._places.values()) if place.keys is not None)

    def count(self) -> int:
        """Return how many cubes are resident."""
        return sum(place.keys is not None for place in list(self._places.values()))

    def held(self) -> dict[str, int]:
        """Return the bytes of the keys that are resident, by cube; a view over several is none of them."""
        found: dict[str, int] = {}
        for name, place in list(self._places.items()):
            keys = place.keys
            if keys is not None and len(name) == _ALONE:
                found[name[0]] = found.get(name[0], 0) + keys.size
        return found

    def drop(self, cube_ids: Collection[str]) -> None:
        """Forget these cubes, as when words of theirs were erased; who asks one reads it again."""
        with self._choosing:
            for name in [name for name in self._places if not set(name[:-1:3]).isdisjoint(cube_ids)]:
                del self._places[name]

    def clear(self) -> None:
        """Forget everything, as when the embedder changes."""
        with self._choosing:
            self._places.clear()


def _named(cube: CubeHeader) -> tuple[str, str, str]:
    """Return what keys are the same for: the cube, who sees as much of it, when it is looked at."""
    return cube.id, cube.access.audience, "" if cube.at is None else str(cube.at)
