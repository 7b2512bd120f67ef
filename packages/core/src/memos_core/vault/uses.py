"""Uses, counted in RAM and written down now and then: reading costs no writing."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from memos_core.errors import BackendError, Closed

log = logging.getLogger(__name__)

USES_HELD = 256  # uses counted in RAM before they are written down


@dataclass(slots=True, kw_only=True)
class Counted:
    """What happened since the last writing: times, by memory (its seq or id) and by cube (its id).

    `last` is when a cube was asked last: writing down may be much later.
    """

    found: Counter[int] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    corrected: Counter[int] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    last: dict[str, datetime] = field(default_factory=dict)

    def add(self, other: Counted) -> None:
        """Count what another one has as well."""
        self.found.update(other.found)
        self.answered.update(other.answered)
        self.corrected.update(other.corrected)
        self.asked.update(other.asked)
        self.last.update(other.last)

    @property
    def total(self) -> int:
        return sum(each.total() for each in (self.found, self.answered, self.corrected, self.asked))


class Uses:
    """Counts for one catalog; `write` is how a batch is written down. Safe from several threads."""

    def __init__(self, write: Callable[[Counted], None], clock: Callable[[], datetime]) -> None:
        self._write, self._clock, self._counting = write, clock, threading.Lock()
        self._counted = Counted()

    def ask(self, cubes: Iterable[str], found: Iterable[int]) -> None:
        """Count one question to these cubes, and the memories (by seq) that it found."""
        asked = Counter(cubes)
        self._add(Counted(asked=asked, found=Counter(found), last=dict.fromkeys(asked, self._clock())))

    def answer(self, ids: Iterable[str]) -> None:
        """Count memories (by id) whose words were in an answer."""
        self._add(Counted(answered=Counter(ids)))

    def correct(self, replaced: Iterable[tuple[int, bool]]) -> None:
        """Count memories (by seq) that were revised or superseded, if that was after a use.

        Each comes with whether the catalog knows of one; those that are not written yet count, too.
        """
        with self._counting:
            used = [seq for seq, known in replaced if known or seq in self._counted.found]
        if used:
            self._add(Counted(corrected=Counter(used)))

    def _add(self, counted: Counted) -> None:
        with self._counting:
            self._counted.add(counted)
            full = self._counted.total >= USES_HELD
        if full:
            self.write()

    def write(self) -> None:
        """Write down what was counted so far."""
        with self._counting:
            counted, self._counted = self._counted, Counted()
        if not counted.total:
            return
        try:
            self._write(counted)
        except Closed:  # nor must a store that an answer has outlived: what it counts then is lost
            log.debug("uses were counted after the store was closed")
        except BackendError as exc:  # a full disk must not make a read fail
            log.warning("uses were not written down yet", extra={"cause": str(exc)})
            with self._counting:
                self._counted.add(counted)
