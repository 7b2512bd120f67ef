"""What is done to a cube when nobody is at it: consolidation, and taking it back."""

from __future__ import annotations

from typing import TypeVar

from memos_core import consolidating
from memos_core.consolidation import Allowance, Consolidating, Consolidation, Undone
from memos_core.errors import InvalidInput, NotFound
from memos_core.memcube_base import Handle
from memos_core.memory import checked_within
from memos_core.telemetry import observed
from memos_core.vault.tx_consolidate import ELSEWHERE

Value = TypeVar("Value")


class Idle(Handle):
    """Verbs for idle time. Nothing that they do is lost: the raw is kept, and a run can be undone."""

    @observed("consolidate")
    def consolidate(
        self,
        settings: Consolidating | None = None,
        *,
        dry_run: bool = False,
        budget: Allowance | None = None,
    ) -> Consolidation:
        """Bring what the cube holds together; return what was done, each with its reason.

        Statements that say the same become one, with lineage to each; they rest in the archive. Of two that
        contradict each other the newer one is ranked above. Old sessions get a gist, beside their turns.
        What nobody used for long goes to the archive. All of a run is one change: `undo(run)` takes it
        back. With `dry_run` nothing is written. A second run with nothing new does nothing.
        """
        self._core.check_open()
        return consolidating.consolidate(
            self._core,
            self._principal,
            self._id,
            _checked(settings, Consolidating, "settings"),
            _checked(budget, Allowance, "budget"),
            dry_run=dry_run,
        )

    def undo(self, run: Consolidation | int) -> Undone:
        """Take a run of `consolidate` back; return what came back and what went to the archive.

        What it undid is not done again. NotFound where that change of the cube was no such run, as in one
        that was loaded or forked from where it was done; InvalidInput where a later one stands on it.
        """
        self._core.check_open()
        change = run.run if isinstance(run, Consolidation) else run
        if isinstance(run, Consolidation) and run.cube != self._id:
            raise NotFound("run", f"{run.cube}/{change}", remedy=ELSEWHERE)
        if change is None:
            raise InvalidInput("that run changed nothing: there is nothing to undo")
        return consolidating.undo(
            self._core, self._principal, self._id, checked_within(change, 1, 1 << 62, what="run")
        )


def _checked(value: object, kind: type[Value], what: str) -> Value:
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise InvalidInput(f"{what} must be {kind.__name__}(...), not {value!r}")
    return value
