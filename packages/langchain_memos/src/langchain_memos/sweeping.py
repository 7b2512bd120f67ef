"""A thread that sweeps now and then, until it is told to stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future

from memos_core import BackendError, Closed, InvalidInput

log = logging.getLogger(__name__)


class Sweeper:
    """Calls `sweep` at intervals in a daemon thread. One thread at a time."""

    def __init__(self, sweep: Callable[[], int]) -> None:
        self._sweep = sweep
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._done: Future[None] | None = None

    def start(self, *, minutes: float) -> Future[None]:
        """Start, unless it runs already; return a future that is done when it has stopped."""
        if not minutes > 0:
            raise InvalidInput(f"a sweep interval must be minutes above 0, not {minutes!r}")
        with self._starting:
            if self._done is not None and not self._done.done():
                return self._done
            self._stopping = stopping = threading.Event()
            self._done = Future()
            self._done.add_done_callback(lambda _: stopping.set())
            arguments = (self._done, stopping, minutes * 60)
            threading.Thread(target=self._run, args=arguments, name="memos-sweeper", daemon=True).start()
            return self._done

    def stop(self, timeout: float | None = None) -> bool:
        """Stop and wait; return whether it has stopped."""
        with self._starting:
            done = self._done
        if done is None:
            return True
        self._stopping.set()
        try:
            done.result(timeout)
        except TimeoutError:
            return False
        except CancelledError:
            return True
        return True

    def _run(self, done: Future[None], stopping: threading.Event, seconds: float) -> None:
        try:
            self._go_on(stopping, seconds)
        except BaseException as exc:
            if not done.cancelled():
                done.set_exception(exc)
            raise
        if not done.cancelled():
            done.set_result(None)

    def _go_on(self, stopping: threading.Event, seconds: float) -> None:
        while not stopping.wait(seconds):
            try:
                swept = self._sweep()
            except Closed:
                return
            except BackendError as exc:
                log.warning("items whose time is over were not erased yet", extra={"cause": str(exc)})
            else:
                log.debug("swept", extra={"items": swept})
