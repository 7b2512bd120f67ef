"""How fast a cube becomes a file, and a file a cube: `python -m benchmarks.interchange`.

`[--sizes 1000,10000] [--rounds 5]` prints a table and writes `benchmarks/results/interchange.json`.
Memories are made-up turns of some 25 words in sessions of 50, vectors have 384 dimensions and are made by
arithmetic, so that no model is timed. Seconds of computing are what one core needs, whoever else uses the
machine; on a busy one they tell more than the clock does. Megabytes are the unpacked bytes of all parts:
text, history and vectors. Real SQLite where temporary files are; the index is a twin in RAM.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.latency.standin import Arithmetic
from memos_core import Manifest, MemOS, Message, SigningKey, inspected
from memos_core.testing import InMemoryIndex

RESULT = Path(__file__).parent / "results" / "interchange.json"
DIMENSIONS = 384
TURNS = 50  # of a session
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
PASSPHRASE = "a word"
KEY = SigningKey(bytes(32))
WORDS = (
    "harbour ferry key cellar pike tea honey cider Lisbon Porto boxes balcony river walnut cello viola boat "
    "gull net price captain quay dawn invoice month disk engine letter train ticket summer winter friend"
).split()


def opened(folder: Path, dimensions: int = DIMENSIONS) -> MemOS:
    index = InMemoryIndex(dimensions=dimensions)
    return MemOS.open(folder, embedder=Arithmetic(dimensions=dimensions), index=index)


def filled(folder: Path, size: int) -> None:
    """Make a store with a cube of so many turns, every tenth of them revised once."""
    draw = random.Random(size)
    with opened(folder) as memos:
        cube = memos.cube("turns")
        for start in range(0, size, TURNS):
            turns = [
                Message("Ana" if n % 2 else "Bo", f"{n}: " + " ".join(draw.choices(WORDS, k=25)),
                        at=NOON + timedelta(minutes=n))
                for n in range(start, min(size, start + TURNS))
            ]  # fmt: skip
            for memory in cube.ingest(turns, session=f"s{start // TURNS}")[::10]:
                cube.revise(memory.id, memory.text + " again")
        memos.drain()


class Took(NamedTuple):
    """Medians of several calls: seconds on the clock, and of this process's computing."""

    seconds: float
    computing: float


def timed(act: Callable[[], object], rounds: int) -> Took:
    """Return how long a call takes."""
    return middle([once(act) for _ in range(rounds)])


def once(act: Callable[[], object]) -> Took:
    begin, computed = time.perf_counter(), time.process_time()
    act()
    return Took(time.perf_counter() - begin, time.process_time() - computed)


def middle(took: list[Took]) -> Took:
    return Took(*(statistics.median(each) for each in zip(*took, strict=True)))


def measured(folder: Path, size: int, rounds: int) -> list[dict[str, Any]]:
    """Return a row for each way of writing and reading a cube of this size."""
    filled(folder / "store", size)
    files = {
        "plain": {},
        "text only": {"vectors": False},
        "signed and sealed": {"sign": KEY, "passphrase": PASSPHRASE},
    }
    rows = []
    with opened(folder / "store") as memos:
        cube = memos.cube("turns")
        for name, how in files.items():
            path = folder / f"{name}.memcube"
            wrote = timed(lambda p=path, h=how: cube.dump(p, overwrite=True, **h), rounds)
            opens = {"passphrase": PASSPHRASE} if "passphrase" in how else {}
            manifest = inspected(path, **opens)
            rows.append(row(f"dump, {name}", size, wrote, manifest, path))
            rows.append(
                row(
                    f"inspect, {name}",
                    size,
                    timed(lambda p=path, o=opens: inspected(p, **o), rounds),
                    manifest,
                    path,
                )
            )
            rows.append(row(f"load, {name}", size, loads(folder, path, opens, rounds), manifest, path))
    return rows


def loads(folder: Path, path: Path, opens: dict[str, str], rounds: int) -> Took:
    """Return how long it takes to load the file into an empty store."""
    took = []
    for _ in range(rounds):
        with (
            tempfile.TemporaryDirectory(dir=folder) as place,
            closing(opened(Path(place) / "store")) as memos,
        ):
            memos.cube("first").remember("the embedder is loaded")
            memos.drain()
            took.append(once(lambda memos=memos: memos.load(path, **opens)))
    return middle(took)


def row(what: str, size: int, took: Took, manifest: Manifest, path: Path) -> dict[str, Any]:
    return {
        "what": what,
        "memories": size,
        "seconds": round(took.seconds, 4),
        "seconds_of_computing": round(took.computing, 4),
        "mb_per_second": round(manifest.size / 1e6 / took.seconds, 2),
        "mb_per_second_of_computing": round(manifest.size / 1e6 / took.computing, 2),
        "memories_per_second_of_computing": round(size / took.computing),
        "unpacked_mb": round(manifest.size / 1e6, 2),
        "file_mb": round(path.stat().st_size / 1e6, 2),
    }


def main() -> None:
    """Measure every size and write the record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interchange", description=__doc__)
    parser.add_argument("--sizes", default="1000,10000")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for size in map(int, given.sizes.split(",")):
        with tempfile.TemporaryDirectory(prefix="interchange-") as folder:
            rows += measured(Path(folder), size, given.rounds)
        for each in rows[-9:]:
            print(
                " ".join(
                    f"{value:>12}" if not isinstance(value, str) else f"{value:28}" for value in each.values()
                )
            )
    record = {
        "rounds": given.rounds,
        "dimensions": DIMENSIONS,
        "rows": rows,
        "load_average_at_the_end": round(os.getloadavg()[0], 1),
        "cores_of_the_machine": os.cpu_count(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"platform": platform.platform(), "python": platform.python_version()},
    }
    RESULT.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
