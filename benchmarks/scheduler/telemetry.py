"""What telemetry adds to a recall: where nobody loads OpenTelemetry, and where an SDK records every span.

`python -m benchmarks.scheduler.telemetry` prints its figures and writes
`benchmarks/results/scheduler_telemetry.json`. The cost of observing an empty verb is set beside the median
recall of a resident cube with the default embedder, its query already embedded: the cheapest one there is.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from benchmarks.latency.machine import machine
from memos_core import MemOS
from memos_core.telemetry import observed

RESULT = Path(__file__).parents[1] / "results" / "scheduler_telemetry.json"
MEMORIES, ROUNDS, CALLS = 300, 300, 2000


def main() -> None:
    recall = _recall_seconds()
    absent = _added()
    loaded = "opentelemetry.trace" in sys.modules
    begin = time.perf_counter()
    from opentelemetry import metrics, trace  # noqa: PLC0415 - what its absence costs is measured first

    api_import = time.perf_counter() - begin
    proxied = _added()
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above

    trace.set_tracer_provider(TracerProvider())
    metrics.set_meter_provider(MeterProvider(metric_readers=[InMemoryMetricReader()]))
    recorded = _added()
    record = {
        "recall, median microseconds": recall * 1e6,
        "added where nobody loads it, microseconds": absent * 1e6,
        "added with the API alone, microseconds": proxied * 1e6,
        "added with an SDK that records, microseconds": recorded * 1e6,
        "share of a recall, nobody loads it": absent / recall,
        "share of a recall, API alone": proxied / recall,
        "share of a recall, SDK": recorded / recall,
        "import of the API, milliseconds": api_import * 1e3,
        "loaded by the library itself": loaded,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))


def _recall_seconds() -> float:
    with tempfile.TemporaryDirectory() as folder, MemOS.open(folder) as memos:
        cube = memos.cube("notes")
        for number in range(MEMORIES):
            cube.remember(f"the ferry number {number} leaves from pier {number % 17}")
        taken = []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            cube.recall("which pier does the ferry leave from?", k=5)
            taken.append(time.perf_counter() - begin)
    return median(taken)


def _added() -> float:
    """Return the seconds that observing adds to a call; the median over rounds."""

    def verb() -> None:
        return None

    return max(0.0, _timed(observed("recall")(verb)) - _timed(verb))


def _timed(function: Callable[[], None]) -> float:
    taken = []
    for _ in range(20):
        begin = time.perf_counter()
        for _ in range(CALLS):
            function()
        taken.append((time.perf_counter() - begin) / CALLS)
    return median(taken)


if __name__ == "__main__":
    main()
