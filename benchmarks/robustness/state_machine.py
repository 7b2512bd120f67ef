"""Run the state machine of tests/properties for so many operations; count them by what was done.

`python -m benchmarks.robustness.state_machine [--operations 10000] [--steps 60]` prints a table and
writes `benchmarks/results/state_machine.json`. The first violation ends the run with the steps that
lead to it, and no result is written.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.machine import StoreMachine

RESULT = Path(__file__).parents[1] / "results" / "state_machine.json"
EXAMPLES = 20  # stores to a batch; the operations are counted between batches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=2026)
    arguments = parser.parse_args()
    logging.getLogger("memos_core").setLevel(logging.ERROR)  # outages are the purpose
    profile = settings(
        max_examples=EXAMPLES,
        stateful_step_count=arguments.steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    batches = 0
    begin = time.perf_counter()
    while (done := StoreMachine.tally.total()) < arguments.operations:
        print(f"{done:6d} operations in {time.perf_counter() - begin:.0f} s", flush=True)
        run_state_machine_as_test(seed(arguments.seed + batches)(StoreMachine), settings=profile)
        batches += 1
    record = {
        "operations": StoreMachine.tally.total(),
        "violations": 0,
        "stores": batches * EXAMPLES,
        "most_steps_per_store": arguments.steps,
        "by_rule": dict(StoreMachine.tally.most_common()),
        "seed": arguments.seed,
        "seconds": round(time.perf_counter() - begin, 1),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"platform": platform.platform(), "python": platform.python_version()},
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, value in record.items():
        print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
