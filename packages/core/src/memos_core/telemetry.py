"""Spans and metrics of the public verbs, through the OpenTelemetry API, where the application has loaded it.

Whoever exports telemetry has imported `opentelemetry`; where nobody has, this costs a look into a dict
and nothing is imported. No exporter is chosen here. Labels are few and fixed: the verb, its outcome ("ok",
or the error's class), the tier. No text, no name and no id of anybody or anything is in a span, and no
message of an error, which might quote one.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from memos_core.errors import MemOSError

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram
    from opentelemetry.trace import Tracer

P = ParamSpec("P")
R = TypeVar("R")

SCOPE: Final = "memos_core"
DURATION: Final = "memos.verb.duration"
VERB, OUTCOME, TIER = "memos.verb", "memos.outcome", "memos.tier"
_TRACE, _METRICS = "opentelemetry.trace", "opentelemetry.metrics"

_present: dict[str, tuple[Any, Any]] = {}  # the provider that was seen last, and what it gave


def observed(verb: str, *, tier: str = "text") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator: each call of the function is a span, and a duration in seconds."""

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            if _TRACE not in sys.modules:
                return function(*args, **kwargs)
            with observing(verb, tier=tier):
                return function(*args, **kwargs)

        return run

    return decorated


@contextmanager
def observing(verb: str, *, tier: str = "text") -> Iterator[None]:
    """Let the block be a span and a duration, where the application has loaded OpenTelemetry."""
    trace, metrics = sys.modules.get(_TRACE), sys.modules.get(_METRICS)
    if not _is_whole(trace, "get_tracer"):
        yield
        return
    labels = {VERB: verb, OUTCOME: "ok", TIER: tier}
    begin = time.perf_counter()
    with ExitStack() as stack:
        span = stack.enter_context(_span(trace, verb))
        try:
            yield
        except BaseException as exc:
            labels[OUTCOME] = _outcome(exc)
            span.set_status(_error(trace), labels[OUTCOME])
            raise
        finally:
            if span.is_recording():
                span.set_attributes(labels)
            if _is_whole(metrics, "get_meter"):
                _histogram(metrics).record(time.perf_counter() - begin, labels)


def _is_whole(module: ModuleType | None, name: str) -> bool:
    """Whether a module is loaded, and not just being loaded in another thread."""
    return module is not None and hasattr(module, name)


def _span(trace: Any, verb: str) -> Any:
    return _tracer(trace).start_as_current_span(
        f"memos.{verb}", record_exception=False, set_status_on_exception=False
    )


def _tracer(trace: Any) -> Tracer:
    tracer: Tracer = _given(_TRACE, trace.get_tracer_provider(), lambda provider: provider.get_tracer(SCOPE))
    return tracer


def _given(what: str, provider: Any, make: Callable[[Any], Any]) -> Any:
    """Return what a provider gives us, made once for as long as it is the process's."""
    known = _present.get(what)
    if known is None or known[0] is not provider:
        known = _present[what] = (provider, make(provider))
    return known[1]


def _error(trace: Any) -> Any:
    return trace.StatusCode.ERROR


def _outcome(exc: BaseException) -> str:
    """Return the class of an error of ours; any other is "error", whatever its class is called."""
    return type(exc).__name__ if type(exc).__module__ == MemOSError.__module__ else "error"


def _histogram(metrics: Any) -> Histogram:
    histogram: Histogram = _given(_METRICS, metrics.get_meter_provider(), _made)
    return histogram


def _made(provider: Any) -> Histogram:
    histogram: Histogram = provider.get_meter(SCOPE).create_histogram(
        DURATION, unit="s", description="How long a verb of memos took"
    )
    return histogram
