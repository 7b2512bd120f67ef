"""Paying the debt to the index: at once if it answers, later if not, never lost."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager

from memos_core.cube import SYSTEM
from memos_core.errors import BackendUnavailable
from memos_core.protocols import TextIndex
from memos_core.telemetry import observed
from memos_core.vault import outbox
from memos_core.vault.catalog import Catalog
from memos_core.vault.tx import Tx

log = logging.getLogger(__name__)

BATCH = 512  # rows told to the index at once: a single upsert costs ten times its share of a batch
LINGER = 0.5  # seconds without a write before the index is told: it must not slow writers down
PATIENCE = 30.0  # seconds after which it is told all the same
WAIT = 0.05  # seconds between two looks whether another process still pays
RETRY_FIRST, RETRY_LAST = 1.0, 60.0  # seconds between attempts while the index is down


class Indexer:
    """Tells the index what the catalog says. Safe from several threads; one pays at a time.

    `index` is called when there is something to pay, so a process that only reads what is resident
    never opens the index. A daemon thread, begun by the first change, pays in the background when
    the writers pause; `drain` pays in the foreground and raises what the index raises.
    """

    def __init__(self, catalog: Catalog, *, index: Callable[[], TextIndex], model: Callable[[], str]) -> None:
        self._catalog, self._index, self._model = catalog, index, model
        self._name = uuid.uuid4().hex
        self._paying = threading.RLock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._counting = threading.Lock()
        self._writers = 0
        self._last_write = 0.0

    def owed(self, *, cube_id: str | None = None) -> int:
        """Return how many changes the index has not been told."""
        with self._catalog.read() as view:
            return outbox.owed(view.connection, cube_id=cube_id)

    def drain(self, *, until: int = 0) -> int:
        """Pay until at most `until` changes are owed; return how many were settled.

        Raises BackendUnavailable where the index does not answer; the debt stays then.
        """
        settled = 0
        while self.owed() > until and not self._stop.is_set():
            paid_by_another = self._another_pays()  # whose lease may end before ours is asked for
            paid = self.pay()
            if paid:
                settled += paid
            elif paid_by_another or self._another_pays():
                self._stop.wait(WAIT)
            else:
                break  # what is left changed while it was told; its own debt is on the way
        return settled

    @observed("index")
    def pay(self) -> int:
        """Claim a batch, tell the index the present truth, settle; return how many were settled."""
        with self.paused():
            model = self._model()  # before any transaction: it may want to write who made the vectors
            with self._catalog.write(SYSTEM) as tx:
                debts = self._claimed(tx, model)
            if not debts:
                return 0
            try:
                told = self._tell(list(dict.fromkeys(debt.memory_id for debt in debts)), model)
            except BaseException:
                with self._catalog.connection() as connection:
                    outbox.release(connection, [debt.seq for debt in debts], by=self._name)
                raise
            with self._catalog.connection() as connection:
                return outbox.settle(connection, debts, told, by=self._name, model=model)

    def _claimed(self, tx: Tx, model: str) -> list[outbox.Debt]:
        """Lease a batch; none while another process pays, or changed the store over to another embedder."""
        if not tx.is_embedded_by(model) and tx.embedder_record() is not None:
            return []
        now = self._catalog.moment(tx.connection)
        if outbox.is_paid_by_another(tx.connection, by=self._name, now=now):
            return []
        return outbox.claim(tx.connection, by=self._name, now=now, limit=BATCH)

    def _another_pays(self) -> bool:
        with self._catalog.read() as view:
            now = self._catalog.moment(view.connection)
            return outbox.is_paid_by_another(view.connection, by=self._name, now=now)

    @contextmanager
    def paused(self) -> Generator[None]:
        """Let nobody else pay during this block."""
        with self._paying:
            yield

    def _tell(self, ids: list[str], model: str) -> dict[str, int | None]:
        with self._catalog.read() as view:
            truth = outbox.truth(view.connection, ids, model=model)
        index = self._index()
        gone = [each for each in ids if each not in truth]
        if gone:
            index.delete(gone)
        if truth:
            index.upsert(list(truth.values()))
        return {each: truth[each].version if each in truth else None for each in ids}

    # --- in the background -------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Generator[None]:
        """Say that something will be owed: the background thread pays when all writers are done."""
        with self._counting:
            self._writers += 1
        try:
            yield
        finally:
            with self._counting:
                self._writers -= 1
                self._last_write = time.monotonic()
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="memos-indexer", daemon=True)
                    self._thread.start()
            self._wake.set()

    def _wait_for_quiet(self) -> None:
        """Wait until nobody has written for a moment, or until it has been long enough."""
        until = time.monotonic() + PATIENCE
        self._wake.clear()
        while not self._stop.is_set() and time.monotonic() < until:
            with self._counting:
                rest = LINGER if self._writers else self._last_write + LINGER - time.monotonic()
            if rest <= 0:
                return
            self._stop.wait(rest)

    def _run(self) -> None:
        """Pay whenever something is owed, until stopped; whatever goes wrong, the debt stays."""
        pause = RETRY_FIRST
        while not self._stop.is_set():
            self._wake.wait()
            self._wait_for_quiet()
            if self._stop.is_set():
                return
            try:
                self.drain()
                pause = RETRY_FIRST
            except Exception as exc:  # the supervisor: whatever an index raises, this thread has to live on
                outage = isinstance(exc, BackendUnavailable)  # which needs no traceback
                log.warning("the index was not told, its debt stays: %s", exc, exc_info=not outage)
                self._stop.wait(pause)
                pause = min(2 * pause, RETRY_LAST)
                self._wake.set()

    def close(self) -> None:
        """Stop the background thread after the batch in hand. What is owed stays in the catalog."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
