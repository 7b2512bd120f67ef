"""What each policy of eviction saves. Prints tables and writes `benchmarks/results/kv_eviction.json`.

`python -m benchmarks.kv.eviction [--data ../shared/data] [--quick]`

Real `Levels` are driven by a trace of prompts, and seconds are counted as the trace's cost law has
them: nothing is computed. As in `activation/keeper.py`, a prompt takes the links of its chain one
after the other; what is there is attached, what lacks is built and put. Two figures bound what a
policy can reach: one that knows each segment's next use and keeps what saves most seconds per byte
until then, and a bound over all policies (PFOO-L, Berger, Beckmann and Harchol-Balter 2018).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.kv.eviction_table import rendered
from benchmarks.kv.eviction_traces import LLAMA_CPP, TRANSFORMERS, Link, Trace, generated, recorded
from benchmarks.latency.machine import machine
from benchmarks.retrieval.corpora import missing
from memos_core.tiers.kv.eviction import (
    LASTING,
    SITTING,
    Entry,
    Policy,
    least_frequently_used,
    least_recently_used,
    saved_seconds,
)
from memos_core.tiers.kv.levels import Levels, Worth

RESULT = Path(__file__).parents[1] / "results" / "kv_eviction.json"
DATA = Path(__file__).parents[3] / "shared" / "data"
SHARES = (0.01, 0.02, 0.05, 0.1)  # budgets, as shares of all bytes that are ever built
BOTH = (TRANSFORMERS, LLAMA_CPP)
TUNING_SEED, FRESH_SEED = 1, 2


@dataclass(frozen=True, slots=True)
class Held:
    """A state of which only the size matters."""

    size: int


class Clock:
    """The trace's time: that of the visit that is being made."""

    def __init__(self) -> None:
        self.visit, self.at = 0, 0.0

    def __call__(self) -> float:
        return self.at


def replayed(
    trace: Trace, *, budget: int, policy: Policy, clock: Clock | None = None, chained: bool = True
) -> float:
    """Return the seconds that a level of this budget saves. Not `chained`, it knows of no parents."""
    clock = clock or Clock()
    levels: Levels[Held] = Levels(device_bytes=budget, policy=policy, clock=clock)
    saved = 0.0
    for clock.visit, visit in enumerate(trace.visits):
        clock.at = visit.at
        levels.drop(visit.gone)
        for link in visit.chain:
            if levels.get(link.key) is not None:
                saved += link.build - link.load
            else:
                parent = link.parent if chained else ""
                worth = Worth(build=link.build, load=link.load, parent=parent)
                levels.put(link.key, Held(link.size), worth=worth)
    return saved


def foreseeing(trace: Trace, clock: Clock) -> Policy:
    """Return the policy that knows when each segment of the trace is used next."""
    uses: dict[str, list[int]] = {}
    for number, visit in enumerate(trace.visits):
        for link in visit.chain:
            uses.setdefault(link.key, []).append(number)

    def policy(entry: Entry, _now: float) -> float:
        later = uses[entry.key]
        place = bisect_right(later, clock.visit)
        if place == len(later):
            return 0.0
        return (entry.build - entry.load) / entry.size / (later[place] - clock.visit)

    return policy


def possible(trace: Trace) -> float:
    """Return the seconds that a level without a budget saves: all but each segment's first build."""
    return replayed(trace, budget=sys.maxsize, policy=least_recently_used)


def bound(trace: Trace, *, budget: int) -> float:
    """Return seconds that no policy can exceed.

    Each stay of a segment from one use to the next takes its bytes for so many visits; the stays
    that save most for that are taken, the last one in part, up to the budget times all visits.
    """
    before: dict[str, int] = {}
    stays: list[tuple[float, float]] = []  # bytes times visits, seconds
    for number, visit in enumerate(trace.visits):
        for link in visit.chain:
            if link.key in before:
                stays.append((link.size * (number - before[link.key]), link.build - link.load))
            before[link.key] = number
    room, saved = float(budget * len(trace.visits)), 0.0
    for taken, seconds in sorted(stays, key=lambda stay: stay[0] / max(stay[1], 1e-12)):
        share = min(1.0, room / taken)
        saved += seconds * share
        room -= taken * share
        if room <= 0:
            break
    return saved


def compared(trace: Trace, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return a row for each budget: the share of the possible seconds that each policy saves."""
    footprint, most = sum(link.size for link in trace.links.values()), possible(trace)
    rows = []
    for share in SHARES:
        say(f"{trace.name}: {share:.0%}")
        budget, clock = int(footprint * share), Clock()
        seconds = {
            "seconds_per_byte": replayed(trace, budget=budget, policy=saved_seconds),
            "lru": replayed(trace, budget=budget, policy=least_recently_used),
            "lfu": replayed(trace, budget=budget, policy=least_frequently_used),
            "lru_without_chains": replayed(trace, budget=budget, policy=least_recently_used, chained=False),
            "next_use_known": replayed(trace, budget=budget, policy=foreseeing(trace, clock), clock=clock),
            "bound": bound(trace, budget=budget),
        }
        saved = {name: round(each / most, 4) for name, each in seconds.items()}
        rows.append({"share": share, "budget": budget, "saved": saved})
    return rows


def described(trace: Trace, note: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a trace's part of the record."""
    links: list[Link] = list(trace.links.values())
    return {
        "trace": trace.name,
        "note": note,
        "prompts": len(trace.visits),
        "uses": trace.uses,
        "segments": len(links),
        "bytes": sum(link.size for link in links),
        "possible_seconds": round(possible(trace)),
        "rows": rows,
    }


def main() -> None:
    arguments = _arguments()
    begin = time.perf_counter()

    def say(what: str) -> None:
        print(f"{time.perf_counter() - begin:6.0f} s  {what}", file=sys.stderr, flush=True)

    days = 1 if arguments.quick else 5
    traces = [
        (generated(seed=TUNING_SEED, engines=BOTH, days=days), "two engines; the policy was tuned on it"),
        (generated(seed=FRESH_SEED, engines=BOTH, days=days), "two engines, another seed"),
    ]
    if lacking := missing(arguments.data):
        print(f"without the recorded trace: {arguments.data} lacks {', '.join(lacking)}", file=sys.stderr)
    else:
        traces += [
            (recorded(arguments.data, engines=[TRANSFORMERS]), "one engine"),
            (recorded(arguments.data, engines=BOTH), "two engines"),
        ]
    record = {
        "command": "python -m benchmarks.kv.eviction" + (" --quick" if arguments.quick else ""),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "sitting": SITTING,
        "lasting": LASTING,
        "traces": [described(trace, note, compared(trace, say)) for trace, note in traces],
    }
    record["seconds"] = round(time.perf_counter() - begin)
    arguments.result.parent.mkdir(parents=True, exist_ok=True)
    arguments.result.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(rendered(record))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kv.eviction", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the development data")
    parser.add_argument("--quick", action="store_true", help="one generated day: does it run?")
    parser.add_argument("--result", type=Path, default=RESULT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
