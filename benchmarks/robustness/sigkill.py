"""Kill a writing process with SIGKILL, over and over; count what was acknowledged and what was lost.

`python -m benchmarks.robustness.sigkill [--kills 200] [--seed 2026]` prints a table and writes
`benchmarks/results/sigkill.json`. Real SQLite, real Milvus Lite; the embedder is the hashing twin.
The first violation ends the run with a traceback, and no result is written.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from tests.crash.campaign import Campaign, Nursery

RESULT = Path(__file__).parents[1] / "results" / "sigkill.json"
PER_STORE = 10  # kills that one store has to live through before the next store begins


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2026)
    arguments = parser.parse_args()
    done: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    versions = kills = stores = 0
    begin = time.perf_counter()
    with Nursery() as nursery:
        while kills < arguments.kills:
            with tempfile.TemporaryDirectory(prefix="sigkill-") as folder:
                campaign = Campaign(Path(folder), nursery, seed=arguments.seed + stores)
                for _ in range(min(PER_STORE, arguments.kills - kills)):
                    campaign.round()
            kills += campaign.kills
            stores += 1
            done += campaign.ledger.done
            outcomes += campaign.outcomes
            versions += sum(len(each.texts) for each in campaign.ledger.kept.values())
            print(f"{kills:4d} kills, {done.total()} acknowledged changes", flush=True)
    record = {
        "kills": kills,
        "stores": stores,
        "acknowledged_changes": dict(sorted(done.items())),
        "acknowledged_total": done.total(),
        "acknowledged_lost": 0,
        "half_done_seen": 0,
        "versions_compared_at_the_end": versions,
        "found_after_the_kill": dict(sorted(outcomes.items())),
        "seed": arguments.seed,
        "seconds": round(time.perf_counter() - begin, 1),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"platform": platform.platform(), "python": platform.python_version()},
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for name, value in record.items():
        print(f"{name:32} {value}")


if __name__ == "__main__":
    main()
