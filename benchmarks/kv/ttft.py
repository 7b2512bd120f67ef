"""What a stored prefix saves on the CPU, to the first token: `benchmarks/results/kv_ttft.json`.

`python -m benchmarks.kv.ttft [--lengths 128,1024] [--queries 16,32] [--rounds 5] [--quick]`

SmolLM2-135M-Instruct on the transformers engine in fp32. A cube's memories are planned, templated and
cut into segments as the Runtime does it; a row attaches the first so many tokens of that prompt and
computes the last so many of it. What is timed:

- full: everything is computed, nothing attached;
- build: the segments are computed one after the other, packed, and written to the disk durably;
- hot: the states are in RAM. On the CPU the device is the host, so that warm (states in the host's
  RAM, below the device's) is the same thing; either way they are copied into the call's own cache;
- cached: nothing is in RAM but the files' bytes in the system's page cache; checksums are compared;
- cold: likewise, with the page cache emptied of these files before each run.

Then one row through the whole Runtime, with a real cube on the disk.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.kv.stored import Stored, Way, chain, rows
from benchmarks.kv.told import filled, prompted
from benchmarks.kv.ttft_runtime import through_runtime
from benchmarks.kv.ttft_table import rendered
from benchmarks.latency.machine import machine
from benchmarks.latency.standin import Arithmetic
from memos_core import MemOS
from memos_core.inference import AnyEngine
from memos_core.tiers.kv.hf import HfEngine
from memos_core.vault.blobs import Blobs

RESULT = Path(__file__).parents[1] / "results" / "kv_ttft.json"
MODEL = "smollm2-135m"
LENGTHS, QUERIES, ROUNDS = (128, 256, 512, 1024, 2048, 4096), (16, 32, 128), 5
RUNTIME_AT = (1024, 32)  # tokens of memories and of the question
HOT_AIM, COLD_AIM, USES_AIM = 15.0, 8.0, 2.0
_DESCRIPTION = "The time to a first token on the CPU, with and without a stored prefix."
Say = Callable[[str], None]


def measured(
    engine: AnyEngine,
    *,
    lengths: Sequence[int],
    queries: Sequence[int],
    rounds: int,
    runtime_at: tuple[int, int],
    folder: Path,
    say: Say,
) -> dict[str, Any]:
    """Return the figures of a run; stores and segments are made in `folder`."""
    with opened(folder / "many") as memos:
        question = "Which room does Ysolde sleep in? " * (max(queries) // 6)
        prompt = filled(engine, memos.cube("many"), tokens=max(lengths), question=question)
    found: list[dict[str, Any]] = []
    for length in sorted(lengths):
        say(f"{length:,} tokens of memories")
        stored = Stored(
            engine=engine,
            blobs=Blobs(folder / f"segments-{length}"),
            headers=chain(engine, prompt.ids, [*(cut for cut in prompt.cuts if cut < length), length]),
        )
        stored.build()
        tails = [prompt.ids[-query:] for query in queries]
        found += rows(stored, _ways(stored), tails, rounds=rounds)
        stored.forget()
    if not all(row["same_first_token"] for row in found):
        raise RuntimeError("an attached prefix gave another first token than a full prefill: nothing to time")
    say("through the whole Runtime")
    tokens, query = runtime_at
    with opened(folder / "small") as memos:
        cube = memos.cube("small")
        asked = prompted(engine, cube, tokens=tokens, query=query)
        whole = through_runtime(engine, memos, cube, asked, rounds=rounds)
    from_disk = whole["from_disk"] and all(row["from_disk"] for row in found)
    return {"from_disk": from_disk, "rows": found, "runtime": whole, "aims": _aims(found)}


def opened(folder: Path) -> MemOS:
    """Return a store; what is embedded is never looked at, since the whole cube stands in the prompt."""
    return MemOS.open(folder, embedder=Arithmetic(dimensions=64))


def _ways(stored: Stored[Any]) -> dict[str, Way]:
    return {
        "full": Way(list),
        "hot": Way(lambda: stored.states),
        "cached": Way(stored.read),
        "cold": Way(stored.read, stored.uncache),
    }


def _aims(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what was aimed at beside what was reached; [] where that row was not measured."""
    at = [row for row in found if (row["memory_tokens"], row["query_tokens"]) == RUNTIME_AT]
    return [
        {"what": what, "aim": aim, "reached": reached}
        for row in at
        for what, aim, reached in (
            ("hot, times faster than full", f"≥ {HOT_AIM:g}", row["gain"]["hot"]["p50"]),
            ("cold, times faster than full", f"≥ {COLD_AIM:g}", row["gain"]["cold"]["p50"]),
            ("uses that repay a build, hot", f"≤ {USES_AIM:g}", row["uses_to_repay"]["hot"]),
            ("uses that repay a build, cold", f"≤ {USES_AIM:g}", row["uses_to_repay"]["cold"]),
        )
    ]


def main(given: Sequence[str] | None = None) -> None:
    """Measure and write the record."""
    arguments = _arguments(given)
    logging.getLogger("memos_core").setLevel(logging.ERROR)
    begin = time.perf_counter()

    def say(what: str) -> None:
        print(f"{time.perf_counter() - begin:6.0f} s  {what}", file=sys.stderr, flush=True)

    engine = HfEngine.open(MODEL, dtype="float32", device="cpu")
    record: dict[str, Any] = {
        "command": " ".join(["python -m benchmarks.kv.ttft", *(sys.argv[1:] if given is None else given)]),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "model": "SmolLM2-135M-Instruct",
        "dtype": "float32",
        "threads": torch.get_num_threads(),
        "rounds": arguments.rounds,
    }
    record["machine"]["versions"] |= {name: version(name) for name in ("torch", "transformers")}
    with tempfile.TemporaryDirectory(prefix="ttft-", dir=arguments.folder) as folder:
        record |= measured(
            engine,
            lengths=arguments.lengths,
            queries=arguments.queries,
            rounds=arguments.rounds,
            runtime_at=(128, 16) if arguments.quick else RUNTIME_AT,
            folder=Path(folder),
            say=say,
        )
    record["seconds"] = round(time.perf_counter() - begin)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(rendered(record))


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kv.ttft", description=_DESCRIPTION)
    parser.add_argument("--lengths", type=numbers, default=list(LENGTHS), help="tokens of memories")
    parser.add_argument("--queries", type=numbers, default=list(QUERIES), help="tokens behind them")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help="two short rows, one round: does it run?")
    parser.add_argument("--folder", type=Path, default=None, help="where files are made; a real disk")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args(given)
    if arguments.quick:
        arguments.lengths, arguments.queries, arguments.rounds = [64, 128], [16], 1
    return arguments


def numbers(text: str) -> list[int]:
    """Return numbers that are written with commas between them."""
    return [int(each) for each in text.split(",")]


if __name__ == "__main__":
    main()
