"""One store of one size, measured from the first memory to the last."""

from __future__ import annotations

import sqlite3
import statistics
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.latency.baselines import FullText, Stored
from benchmarks.latency.bench import Bench, at_rest
from benchmarks.latency.corpus import TURNS
from benchmarks.latency.reads import Milvuses, reads, reads_beside_milvus, reads_through_index
from benchmarks.latency.reopening import reopened
from benchmarks.latency.timing import without_collector
from benchmarks.latency.writes import batches, writes, writes_with_index_awake
from memos_core.core import BLOBS, CATALOG, INDEX
from memos_core.memos import RESIDENT_BYTES


def measure(bench: Bench) -> dict[str, Any]:
    """Return every figure of one size."""
    bench.result["memories"] = bench.size
    bench.say("load")
    _load(bench)
    _disk(bench)
    bench.say("reopen")
    _reopen(bench)
    bench.say("bare parts")
    stored = Stored.of(bench.store / CATALOG)
    with closing(FullText(bench.folder / "fts.db", stored.terms)) as full_text:
        bench.say("recall")
        reads(bench, stored, full_text)
        bench.say("raw Milvus")
        milvus = [("FLAT", "milvus_flat"), ("HNSW", "milvus_hnsw")] if bench.rounds.milvus else []
        with closing(Milvuses(bench.folder, stored, milvus)) as raw:
            bench.say("recall beside it")
            reads_beside_milvus(bench, raw)
            bench.say("recall through the index")
            reads_through_index(bench, full_text, raw)
    bench.say("add")
    writes(bench)
    batches(bench)
    writes_with_index_awake(bench)
    return bench.result


def _load(bench: Bench) -> None:
    """Ingest everything session by session with cheap vectors, then tell the index."""
    sessions = bench.corpus.sessions(bench.size)
    seconds: list[float] = []
    with bench.opened() as (memos, cube):
        bench.embedder.spent = 0.0
        with at_rest(memos), without_collector():
            for session in sessions:
                begin = time.perf_counter()
                cube.ingest(session.messages, session=session.name)
                seconds.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        while memos.lag():
            memos.drain()
        drained = time.perf_counter() - begin
    rest = sum(seconds) - bench.embedder.spent
    bench.keep({"ingest_session_without_embedding": seconds})
    bench.result["load"] = {
        "turns_per_ingest": TURNS,
        "seconds_without_embedding": round(rest, 2),
        "ms_per_memory_without_embedding": round(1e3 * rest / bench.size, 4),
        "drain_seconds": round(drained, 2),
        "drain_ms_per_memory": round(1e3 * drained / bench.size, 4),
    }


def _disk(bench: Bench) -> None:
    parts = {name: _bytes(bench.store / name) for name in (CATALOG, INDEX, BLOBS)}
    bench.result["disk"] = {
        "bytes": parts,
        "bytes_per_memory": {name: round(size / bench.size, 1) for name, size in parts.items()},
        "catalog_tables": _tables(bench.store / CATALOG),
    }


def _bytes(path: Path) -> int:
    return sum(each.stat().st_size for each in [path, *path.rglob("*")] if each.is_file())


def _tables(catalog: Path) -> dict[str, int]:
    """Return bytes by table with its indexes, where this SQLite can tell; else nothing."""
    with closing(sqlite3.connect(catalog)) as connection:
        try:
            rows = connection.execute(
                "SELECT coalesce(s.tbl_name, d.name), sum(d.pgsize) FROM dbstat d "
                "LEFT JOIN sqlite_schema s ON s.name = d.name GROUP BY 1 ORDER BY 2 DESC"
            ).fetchall()
        except sqlite3.OperationalError:
            return {}
    found: dict[str, int] = {}
    for name, size in rows:
        owner = "lexical" if name.startswith("lexical") else name
        found[owner] = found.get(owner, 0) + size
    return found


def _reopen(bench: Bench) -> None:
    """Open it in fresh processes, with the cube resident and through the index; keep the medians."""
    for name, resident_bytes in (("resident", RESIDENT_BYTES), ("not_resident", 0)):
        found = [reopened(bench.store, resident_bytes=resident_bytes) for _ in range(bench.rounds.reopenings)]
        bench.result.setdefault("reopen", {})[name] = {
            key: round(statistics.median(each[key] for each in found), 4) for key in found[0]
        }
