"""How long a memory takes. Prints tables and writes `benchmarks/results/latency.json`.

`python -m benchmarks.latency [--sizes 1000,10000,100000] [--embedder minilm-int8] [--quick]`
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.latency.bench import Bench, Rounds
from benchmarks.latency.corpus import Corpus
from benchmarks.latency.machine import machine
from benchmarks.latency.measure import measure
from benchmarks.latency.standin import Switched
from benchmarks.latency.table import rendered
from memos_core.embed import open_embedder

RESULT = Path(__file__).parents[1] / "results" / "latency.json"
QUICK = Rounds(reads=20, indexed_reads=5, writes=10, batches=2, reopenings=1)


def main() -> None:
    arguments = _arguments()
    logging.getLogger("memos_core").setLevel(logging.ERROR)
    real = open_embedder(arguments.embedder)
    real.embed_query("load the weights")
    sizes = [int(each) for each in arguments.sizes.split(",")] if not arguments.quick else [1000]
    record: dict[str, Any] = {
        "command": "python -m benchmarks.latency " + " ".join(sys.argv[1:]),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "embedder": real.identity,
        "seed": arguments.seed,
        "quick": arguments.quick,
        "sizes": {},
    }
    begin = time.perf_counter()
    for size in sizes:
        folder = Path(tempfile.mkdtemp(prefix="latency-", dir=arguments.folder))
        bench = Bench(
            folder=folder,
            size=size,
            embedder=Switched(real),
            real=real,
            corpus=Corpus(seed=arguments.seed),
            rounds=QUICK if arguments.quick else Rounds(),
            say=lambda what, n=size: print(  # type: ignore[misc]
                f"{time.perf_counter() - begin:6.0f} s  {n:,} memories: {what}", file=sys.stderr, flush=True
            ),
        )
        try:
            record["sizes"][str(size)] = measure(bench)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    record["seconds"] = round(time.perf_counter() - begin)
    record["command"] = record["command"].strip()
    arguments.result.parent.mkdir(parents=True, exist_ok=True)
    arguments.result.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(rendered(record))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000", help="memories of each store")
    parser.add_argument("--embedder", default="minilm-int8")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--quick", action="store_true", help="1,000 memories and few rounds: does it run?")
    parser.add_argument("--folder", type=Path, default=None, help="where the stores are made; a real disk")
    parser.add_argument("--result", type=Path, default=RESULT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
