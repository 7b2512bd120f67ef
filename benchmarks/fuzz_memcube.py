"""Load broken `.memcube` files into a real store, over and over: `python -m benchmarks.fuzz_memcube`.

`[--count 100000] [--seed 2026] [--workers 1]` prints a table and writes its record to `benchmarks/results`.
Sound files are changed in their bytes, parts, lines and claims (tests/properties/memcube_mutations.py), most
of them with digests that fit again. Whatever is raised beyond the library's own errors, a file outside the
store, or a store that is damaged ends the run with a traceback, and no result is written.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tests.properties.memcube_campaign import Campaign

RESULT = Path(__file__).parent / "results" / "fuzz_memcube.json"


def share(
    worker: int, workers: int, count: int, seed: int, folder: Path | None, seconds: float
) -> Counter[str]:
    """Load the files whose number is this worker's, for so long; return what became of them."""
    begin = time.perf_counter()
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-", dir=folder) as place,
        Campaign(Path(place), seed=seed) as campaign,
    ):
        for done, number in enumerate(range(worker, count, workers), start=1):
            campaign.round(number)
            if time.perf_counter() - begin > seconds:
                break
            if done % 2000 == 0:
                print(f"worker {worker}: {done:7,d} files, {time.perf_counter() - begin:6.0f} s", flush=True)
        campaign.check()
        return campaign.outcomes


def main() -> None:
    """Run a campaign and write its record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz_memcube", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--folder", type=Path, default=None, help="where stores are made; else a temporary one"
    )
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long")
    given = parser.parse_args()
    begin = time.perf_counter()
    run = partial(
        share,
        workers=given.workers,
        count=given.count,
        seed=given.seed,
        folder=given.folder,
        seconds=60 * given.minutes,
    )
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        outcomes = sum(pool.map(run, range(given.workers)), Counter[str]())
    record = {
        "files": outcomes.total(),
        "crashes": 0,
        "files_outside_the_store": 0,
        "outcomes": dict(outcomes.most_common()),
        "seed": given.seed,
        "workers": given.workers,
        "seconds": round(time.perf_counter() - begin, 1),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"platform": platform.platform(), "python": platform.python_version()},
    }
    RESULT.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for name, value in record.items():
        print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
