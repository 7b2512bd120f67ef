"""What an adapter adds to the verb of the core that it calls: both sides of a pair, and its record."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.latency.machine import machine
from benchmarks.latency.timing import Subject, interleaved, percentiles

RESULTS = Path(__file__).parents[1] / "results"

Call = Callable[[int], object]
Pair = tuple[str, Call, Call]


def measured(pair: Pair, rounds: int, *, clock: Callable[[], float] | None = None) -> dict[str, Any]:
    """Return the medians of both sides in milliseconds, and that of their differences.

    With a `clock` of processor time, also the difference on that: other work changes it little.
    """
    name, adapter, core = pair
    samples = interleaved({"adapter": Subject(adapter), "core": Subject(core)}, rounds=rounds, warm_up=20)
    more = [above - below for above, below in zip(samples["adapter"], samples["core"], strict=True)]
    row = {
        "verb": name,
        "adapter_p50_ms": percentiles(samples["adapter"])["p50"],
        "core_p50_ms": percentiles(samples["core"])["p50"],
        "overhead_p50_ms": round(statistics.median(more) * 1e3, 3),
    }
    if clock is not None:
        computed = _taken(adapter, rounds, clock) - _taken(core, rounds, clock)
        row["overhead_cpu_ms"] = round(computed * 1e3, 3)
    return row


def _taken(call: Call, rounds: int, clock: Callable[[], float]) -> float:
    taken = []
    for number in range(rounds):
        begin = clock()
        call(number)
        taken.append(clock() - begin)
    return statistics.median(taken)


def load_average() -> float:
    """Return how busy the machine is: the differences of two busy verbs are busy, too."""
    return round(os.getloadavg()[0], 1)


def recorded(name: str, packages: Sequence[str], record: Mapping[str, Any]) -> None:
    """Write the record of one adapter, and print its rows."""
    whole = {
        "command": f"python -m benchmarks.adapters.{name}",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {**machine(), "versions": {each: version(each) for each in packages}},
        **record,
    }
    text = json.dumps(whole, indent=1, ensure_ascii=False)
    (RESULTS / f"adapters_{name}.json").write_text(f"{text}\n", encoding="utf-8")
    for rows in (value for value in record.values() if isinstance(value, list)):
        for row in rows:
            print(
                "  ".join(f"{each:<30}" if isinstance(each, str) else f"{each:9.3f}" for each in row.values())
            )
