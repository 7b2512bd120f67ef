"""A cube through time: what snapshots, the past, rollbacks, forks and merges cost as a cube grows.

`python -m benchmarks.cube [--sizes 1000 10000 100000] [--rounds 7] [--changed 100]` prints a table and writes
`benchmarks/results/cube.json`. Real SQLite; the embedder is the hashing twin at 384 dimensions and the
index the one in memory, for none of the verbs asks them anything that depends on their kind.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.latency.corpus import Corpus
from benchmarks.latency.machine import machine
from benchmarks.latency.timing import Subject, timed, without_collector
from memos_core import MemCube, MemOS
from memos_core.testing import HashEmbedder, InMemoryIndex

RESULT = Path(__file__).parent / "results" / "cube.json"
DIMENSIONS = 384
_BATCH = 1000  # messages in a transaction while the cube is filled


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--changed", type=int, default=100)
    options.add_argument("--result", type=Path, default=RESULT)
    given = options.parse_args()
    rows = []
    for size in given.sizes:
        rows.append(measured(size, rounds=given.rounds, changed=given.changed))
        print(" ".join(f"{name}={value}" for name, value in rows[-1].items()), flush=True)
    record = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "changed_memories": given.changed,
        "rounds": given.rounds,
        "embedder": f"hashing, {DIMENSIONS} dimensions",
        "method": "Medians in milliseconds. Bytes: what one call adds to the write-ahead log, in pages. "
        "Between the states of diff, rollback and merge lie as many revised memories as are named above. The "
        "first recall of a past state loads its keys, the next ones find them in RAM; the present one is "
        "there for comparison.",
        "rows": rows,
    }
    given.result.parent.mkdir(parents=True, exist_ok=True)
    given.result.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def measured(size: int, *, rounds: int, changed: int) -> dict[str, Any]:
    """Return the figures of a cube of so many memories."""
    with tempfile.TemporaryDirectory(prefix="memos-cube-") as folder, opened(Path(folder)) as memos:
        cube = filled(memos, size)
        cube.recall("What did they say about the water?")
        with without_collector():
            return {"memories": size, **_figures(memos, cube, rounds=rounds, changed=changed)}


def opened(folder: Path) -> MemOS:
    return MemOS.open(
        folder,
        embedder=HashEmbedder(dimensions=DIMENSIONS),
        index=InMemoryIndex(dimensions=DIMENSIONS),
        resident_bytes=4 << 30,
    )


def filled(memos: MemOS, size: int) -> MemCube:
    cube = memos.cube("filled")
    corpus = Corpus(seed=2026)
    for session in corpus.sessions(size):
        cube.ingest(session.messages, session=session.name)
    memos.drain()
    return cube


def _figures(memos: MemOS, cube: MemCube, *, rounds: int, changed: int) -> dict[str, Any]:
    numbers, log, ask = count(), memos._core.folder / "catalog.db", "What about the water and the house?"
    some = [memory.id for memory in cube.list(limit=changed)]
    found: dict[str, Any] = {
        "snapshot_ms": _median(rounds, lambda n: cube.snapshot(f"taken {n}")),
        "snapshot_bytes": _written(log, lambda: cube.snapshot("then")),
        "recall_ms": _median(rounds, lambda _: cube.recall(ask)),
    }
    twig = _revised(cube.fork("twig"), some, numbers)
    found["merge_ms"] = _once(lambda: cube.merge(twig, on_conflict="ours"))
    found["diff_ms"] = _median(rounds, lambda _: cube.diff("then"))
    found["past_first_ms"] = _once(lambda: cube.recall(ask, at="then"))
    found["past_recall_ms"] = _median(rounds, lambda _: cube.recall(ask, at="then"))
    found["rollback_ms"] = _once(lambda: cube.rollback("then"))
    found["fork_ms"] = _median(rounds, lambda n: cube.fork(f"fork {n}"))
    found["fork_bytes"] = _written(log, lambda: cube.fork("fresh"))
    fresh = memos.cube("fresh")
    found["fork_first_ms"] = _once(lambda: fresh.recall(ask))
    found["fork_recall_ms"] = _median(rounds, lambda _: fresh.recall(ask))
    return found


def _revised(cube: MemCube, ids: Sequence[str], numbers: count[int]) -> MemCube:
    for memory_id in ids:
        cube.revise(memory_id, f"other words about the harbour, number {next(numbers)}")
    return cube


def _once(run: Callable[[], object]) -> float:
    return round(1e3 * timed(Subject(lambda _: run())), 2)


def _median(rounds: int, run: Callable[[int], object]) -> float:
    return round(1e3 * statistics.median(timed(Subject(run), number) for number in range(rounds)), 2)


def _written(path: Path, run: Callable[[], object]) -> int:
    """Return the bytes that a call adds to the write-ahead log."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    run()
    log = path.with_name(path.name + "-wal")
    return log.stat().st_size if log.exists() else 0


if __name__ == "__main__":
    main()
