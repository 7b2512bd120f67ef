"""Opening a store in a fresh process: how long until the first answer, and how much memory.

Run as `python -m benchmarks.latency.reopening FOLDER RESIDENT_BYTES`; prints one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.latency.machine import rss

CUBE = "talk"
_QUESTION = "What did they say about the city and the music?"


def reopened(folder: Path, *, resident_bytes: int) -> dict[str, Any]:
    """Return what a fresh process measures."""
    command = [sys.executable, "-m", __spec__.name, str(folder), str(resident_bytes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measured(folder: Path, *, resident_bytes: int) -> dict[str, float]:
    """Import, open, recall twice; return seconds and bytes."""
    begin = time.perf_counter()
    from benchmarks.latency.standin import Arithmetic  # noqa: PLC0415 - its import is measured
    from memos_core import MemOS  # noqa: PLC0415
    from memos_core.embed import open_embedder  # noqa: PLC0415

    imported, imported_rss = time.perf_counter(), rss()
    embedder = Arithmetic(dimensions=384)
    ready = time.perf_counter()
    with MemOS.open(folder, embedder=embedder, resident_bytes=resident_bytes) as memos:
        cube = memos.cube(CUBE)
        opened = time.perf_counter()
        cube.recall(_QUESTION)
        first, first_rss = time.perf_counter(), rss()
        cube.recall(_QUESTION)
        second = time.perf_counter()
        resident = memos.stats().resident_size
        before = rss()
        open_embedder(None).embed_query(_QUESTION)
        return {
            "import_s": imported - begin,
            "open_s": opened - ready,
            "first_recall_s": first - opened,
            "second_recall_s": second - first,
            "rss_imported": imported_rss,
            "rss_first_recall": first_rss,
            "rss_of_default_embedder": rss() - before,
            "resident_size": resident,
        }


if __name__ == "__main__":
    print(json.dumps(measured(Path(sys.argv[1]), resident_bytes=int(sys.argv[2]))))
