"""A store's plan: what its tiers cost here, and the moves that pay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from memos_core import metering, performing, planning
from memos_core.consolidation import Consolidating
from memos_core.core import Core
from memos_core.cube import Principal
from memos_core.errors import InvalidInput
from memos_core.governance import serves
from memos_core.memcube import MemCube
from memos_core.memory import checked_span, checked_within
from memos_core.planning import Order, Planned, Prefills
from memos_core.predicting import Predictor, predictor
from memos_core.scheduler.policies import COST, Policy, named
from memos_core.scheduler.stats import Budget, Cost


class Planning:
    """The verbs of `MemOS` that plan and measure."""

    _core: Core
    principal: Principal

    def plan(
        self,
        *,
        runtime: Prefills | None = None,
        policy: Policy | str = COST,
        budget: Budget | None = None,
        system: str | None = None,
        archive_after: timedelta | None = None,
        consolidate: Consolidating | None = None,
        dry_run: bool = False,
    ) -> Planned:
        """Return the moves that pay now, each with its reason, and do those that can be done here.

        It looks at every cube that you may read. Keys are loaded and let go within `budget.ram` (what the
        store was opened with, unless less is given), states within `budget.disk`; with a `runtime`, states
        are computed ahead, for prompts that begin with `system`, and, where the costs of a trainer are
        known (see `calibrate`), adapters trained, which takes minutes. What is overdue is expired,
        what nobody used for `archive_after` is archived, and with `consolidate` what belongs together is
        brought together (see `MemCube.consolidate`), in cubes that you may write. `policy` is
        "cost", "lru", "lfu", "label:WORD" (names of cubes) or one of your own. With
        `dry_run`, nothing is done; else `memos top` shows what was, and what is left.
        """
        self._core.check_open()
        if runtime is not None and not hasattr(runtime, "prefix"):
            raise InvalidInput(f"runtime must be a Runtime, not {type(runtime).__name__}: Runtime.open(...)")
        if budget is not None and not isinstance(budget, Budget):
            raise InvalidInput(f"budget must be a Budget, not {budget!r}: Budget(ram=..., disk=...)")
        order = Order(
            budget=self._bounded(budget or Budget()),
            policy=named(policy),
            runtime=runtime,
            system=system,
            idle=checked_span(archive_after, what="archive_after"),
            consolidating=consolidate,
        )
        if not (consolidate is None or isinstance(consolidate, Consolidating)):
            raise InvalidInput(f"consolidate must be Consolidating(...), not {consolidate!r}")
        cubes = self._readable()
        moves = planning.planned(self._core, self.principal, cubes, order)
        if dry_run:
            return Planned(moves=moves, done=[])
        done = performing.performed(self._core, self.principal, cubes, moves, order)
        plan = Planned(moves=moves, done=done)
        planning.noted(self._core, self.principal, cubes, plan)
        return plan

    def _bounded(self, budget: Budget) -> Budget:
        """Return the budget with no more RAM than the store holds keys in."""
        most = self._core.residents.budget
        return replace(budget, ram=most if budget.ram is None else min(budget.ram, most))

    def _readable(self) -> Sequence[MemCube]:
        with self._core.catalog.read() as view:
            found = view.cubes_of(self.principal)
        return [MemCube(self._core, each, self.principal) for each in found if serves(each, self.principal)]

    def predictor(self, *, runtime: Prefills | None = None, most: int = 2, least: float = 0.2) -> Predictor:
        """Return a thread at work that makes the cubes of the next questions ready; close it, or use `with`.

        It learns from the questions that this process is asked, each principal's apart, and makes at
        most `most` cubes resident that are likely by `least` (0 to 1) to be asked next; with a
        `runtime`, the states of those are computed too that are likely enough for it to break even.
        Questions go first: see `Predictor`.
        """
        self._core.check_open()
        checked_within(most, 1, 64, what="most")
        return predictor(self._core, runtime=runtime, most=most, least=least)

    def calibrate(
        self, runtime: Prefills | None = None, *, given: Iterable[Cost] = (), anew: bool = False
    ) -> Sequence[Cost]:
        """Measure what the tiers cost on this machine, once; return all that is known of it.

        What was measured before on a machine like this is not measured again, unless `anew`. With a
        `runtime`, its model is measured too. `given` are costs that you know, of a trainer for
        instance: they are written down as they are. Use refreshes what was measured (see `stats`).
        """
        self._core.check_open()
        told = list(given)
        for cost in told:
            if not isinstance(cost, Cost):
                raise InvalidInput(f"given must be Costs, not {cost!r}")
        engine = None if runtime is None else runtime.engine
        return metering.calibrated(self._core, engine, given=told, anew=anew)
