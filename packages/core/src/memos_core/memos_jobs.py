"""A store and its durable work: its jobs, who does them, and who reads what is ingested."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from memos_core.core import Core
from memos_core.cube import Principal
from memos_core.errors import InvalidInput
from memos_core.jobs import Jobs
from memos_core.memory import checked_maker, checked_text, checked_within
from memos_core.overview import Overview
from memos_core.protocols import Extractor
from memos_core.scheduler.work import Handler
from memos_core.scheduler.worker import Worker
from memos_core.vault import sizes
from memos_core.working import Builder, worker_of


class Working:
    """The verbs of `MemOS` about work that is done later."""

    _core: Core
    principal: Principal

    @property
    def jobs(self) -> Jobs:
        """What waits, runs and failed, and what comes again: see `Jobs`."""
        return Jobs(self._core, self.principal)

    def worker(
        self,
        *,
        threads: int = 1,
        kinds: Iterable[str] | None = None,
        runtime: Builder | None = None,
        system: str | None = None,
        handlers: Mapping[str, Handler] | None = None,
    ) -> Worker:
        """Return a worker that does the store's jobs; it begins with its `with` line, or with `start()`.

        It does what it can: "expire", "archive", "sweep", "reindex" and "consolidate"; "extract" where the
        store has an extractor; "prefill" with a `runtime`, under the `system` text that you will chat with,
        and "train" and "evaluate" where its model can be taught; and what `handlers` name. `kinds` limits
        that. What it cannot do is left waiting. Closing the store stops it.
        """
        self._core.check_open()
        return worker_of(
            self._core,
            threads=checked_within(threads, 1, 256, what="threads"),
            kinds=kinds,
            runtime=runtime,
            system=None if system is None else checked_text(system, what="system"),
            handlers={} if handlers is None else handlers,
        )

    def overview(self) -> Overview:
        """Return your cubes at a glance: what each tier holds, what waits and runs. Sizes, and no words."""
        self._core.check_open()
        with self._core.catalog.read() as view:
            return sizes.overview(view, self.principal)

    def extract_with(self, extractor: Extractor) -> None:
        """Let a model read whatever is ingested from now on, as jobs that a worker does.

        The same as `MemOS.open(..., extractor=...)`. Messages are kept verbatim first, whatever the model
        does; what it states is derived from them. InvalidInput where the store has another extractor.
        """
        self._core.check_open()
        self._core.extract_with(checked_extractor(extractor))


def checked_extractor(extractor: Extractor) -> Extractor:
    """Return what has the two names of an extractor."""
    if not callable(getattr(extractor, "extract", None)) or not hasattr(extractor, "identity"):
        raise InvalidInput(f"an extractor has `identity` and `extract`, which {extractor!r} has not")
    checked_maker(extractor.identity)
    return extractor
