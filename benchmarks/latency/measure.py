"""One store of one size, measured from the first memory to the last reopening."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.latency.baselines import BareInsert, FullText, RawMilvus, Stored, scan
from benchmarks.latency.corpus import TURNS, Corpus
from benchmarks.latency.reopening import CUBE, reopened
from benchmarks.latency.standin import Switched
from benchmarks.latency.timing import (
    Samples,
    Subject,
    interleaved,
    paired_ratio,
    percentiles,
    timed,
    without_collector,
)
from memos_core import MemCube, MemOS, Message
from memos_core.core import BLOBS, CATALOG, INDEX
from memos_core.memos import RESIDENT_BYTES
from memos_core.protocols import Embedder
from memos_core.tiers.text.lexical import terms

BATCH = 256
K = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """How many samples are taken."""

    reads: int = 100
    indexed_reads: int = 30
    writes: int = 60
    batches: int = 5
    reopenings: int = 3
    milvus: bool = True  # raw Milvus beside


@dataclass(slots=True, kw_only=True)
class Bench:
    """A folder with one cube, and what was found out about it."""

    folder: Path
    size: int
    embedder: Switched
    real: Embedder
    corpus: Corpus
    rounds: Rounds
    say: Callable[[str], None]
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @contextmanager
    def opened(self, *, resident_bytes: int = RESIDENT_BYTES) -> Generator[tuple[MemOS, MemCube]]:
        with MemOS.open(self.store, embedder=self.embedder, resident_bytes=resident_bytes) as memos:
            yield memos, memos.cube(CUBE)

    def keep(self, samples: Samples) -> None:
        """Put the percentiles of these series into the result."""
        self.result.setdefault("ms", {}).update({name: percentiles(each) for name, each in samples.items()})

    def ratio(self, name: str, samples: Samples, over: Sequence[str], under: Sequence[str]) -> None:
        self.result.setdefault("ratios", {})[name] = round(paired_ratio(samples, over, under), 3)


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
    milvus = [("FLAT", "milvus_flat"), ("HNSW", "milvus_hnsw")] if bench.rounds.milvus else []
    with (
        closing(FullText(bench.folder / "fts.db", stored.terms)) as full_text,
        closing(_Milvuses(bench.folder, stored, milvus)) as raw,
    ):
        bench.say("recall")
        _reads(bench, stored, full_text, raw)
        bench.say("recall through the index")
        _indexed_reads(bench, full_text, raw)
    bench.say("add")
    _writes(bench)
    _batches(bench)
    _with_index_awake(bench)
    return bench.result


# --- load ------------------------------------------------------------------------------------


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


@contextmanager
def at_rest(memos: MemOS) -> Generator[None]:
    """Keep the background thread from telling the index meanwhile, so that one thing is measured."""
    with memos._core.indexer.paused():
        yield


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


# --- reads -----------------------------------------------------------------------------------


class _Milvuses:
    """Raw Milvus collections by the name of their series."""

    def __init__(self, folder: Path, stored: Stored, kinds: Sequence[tuple[str, str]]) -> None:
        self.by_name = {name: RawMilvus(folder, stored.vectors, kind=kind) for kind, name in kinds}

    def close(self) -> None:
        for each in self.by_name.values():
            each.close()


def _reads(bench: Bench, stored: Stored, full_text: FullText, raw: _Milvuses) -> None:
    total = bench.rounds.reads + 10
    cached = bench.corpus.questions(total, stream=0)
    fresh = bench.corpus.questions(total, stream=1)
    alone = bench.corpus.questions(total, stream=2)
    vectors = [bench.embedder.embed_query(question) for question in cached]
    wanted = [list(dict.fromkeys(terms(question))) for question in cached]
    with bench.opened() as (memos, cube):
        for question in cached:
            memos._core.embedder().embed_query(question)  # into the cache
        subjects = {
            "recall": Subject(lambda n: cube.recall(cached[n], k=K)),
            "recall_fresh": Subject(lambda n: cube.recall(fresh[n], k=K)),
            "embed_query": Subject(lambda n: bench.real.embed_query(alone[n])),
            "numpy_scan": Subject(lambda n: scan(stored.vectors, vectors[n])),
            "fts5": Subject(lambda n: full_text.search(wanted[n])),
        } | {name: Subject(_searching(each, vectors)) for name, each in raw.by_name.items()}
        with bench.embedder.real():
            samples = interleaved(subjects, rounds=bench.rounds.reads, warm_up=5)
    bench.keep(samples)
    bench.ratio("recall / (numpy scan + FTS5)", samples, ["recall"], ["numpy_scan", "fts5"])
    bench.ratio("fresh recall / embedding", samples, ["recall_fresh"], ["embed_query"])
    for name in raw.by_name:
        bench.ratio(f"recall / raw {name}", samples, ["recall"], [name])


def _searching(raw: RawMilvus, vectors: Sequence[Any]) -> Callable[[int], object]:
    return lambda number: raw.search(vectors[number])


def _indexed_reads(bench: Bench, full_text: FullText, raw: _Milvuses) -> None:
    """Recall without anything resident: the indexes propose."""
    questions = bench.corpus.questions(bench.rounds.indexed_reads + 10, stream=3)
    vectors = [bench.embedder.embed_query(question) for question in questions]
    wanted = [list(dict.fromkeys(terms(question))) for question in questions]
    flat = {name: each for name, each in raw.by_name.items() if name == "milvus_flat"}
    with bench.opened(resident_bytes=0) as (_memos, cube):
        subjects = {
            "recall_not_resident": Subject(lambda n: cube.recall(questions[n], k=K)),
            "fts5_beside_not_resident": Subject(lambda n: full_text.search(wanted[n])),
        } | {f"{name}_beside_not_resident": Subject(_searching(each, vectors)) for name, each in flat.items()}
        samples = interleaved(subjects, rounds=bench.rounds.indexed_reads, warm_up=2)
    bench.keep(samples)
    if flat:
        under = ["milvus_flat_beside_not_resident", "fts5_beside_not_resident"]
        bench.ratio("recall, not resident / (raw Milvus + FTS5)", samples, ["recall_not_resident"], under)


# --- writes ----------------------------------------------------------------------------------


def _writes(bench: Bench) -> None:
    """One durable memory at a time, with its real embedding, beside a bare row and an embedding."""
    total = bench.rounds.writes + 10
    stated, said, bare, alone, after = (bench.corpus.statements(total, stream=n) for n in range(5))
    question = bench.corpus.questions(1, stream=4)[0]
    blobs = [bytes(2 * bench.real.dimensions)] * total
    with (
        closing(BareInsert(bench.folder / "bare.db")) as table,
        bench.opened() as (memos, cube),
        at_rest(memos),
        bench.embedder.real(),
    ):
        cube.recall(question)
        subjects = {
            "remember": Subject(lambda n: cube.remember(stated[n])),
            "ingest_one": Subject(lambda n: cube.ingest([Message("Ada", said[n])], session="writes")),
            "bare_insert": Subject(lambda n: table.insert(bare[n], blobs[n])),
            "embed_one": Subject(lambda n: bench.real.embed([alone[n]])),
            "recall_after_add": Subject(
                lambda _: cube.recall(question, k=K), prepare=lambda n: cube.remember(after[n])
            ),
        }
        samples = interleaved(subjects, rounds=bench.rounds.writes)
    bench.keep(samples)
    for name in ("remember", "ingest_one"):
        bench.ratio(
            f"{name} / (bare SQLite insert + embedding)", samples, [name], ["bare_insert", "embed_one"]
        )


def _batches(bench: Bench) -> None:
    """Messages by 256 with real embeddings; what embedding takes of it is read off the embedder."""
    seconds: list[float] = []
    shares: list[float] = []
    with bench.opened() as (memos, cube), at_rest(memos), bench.embedder.real(), without_collector():
        for number in range(bench.rounds.batches + 1):
            texts = bench.corpus.statements(BATCH, stream=100 + number)
            messages = [Message("Ada" if n % 2 else "Bruno", text) for n, text in enumerate(texts)]
            bench.embedder.spent = 0.0
            taken = timed(Subject(lambda n, m=messages: cube.ingest(m, session=f"batch {n}")), number)  # type: ignore[misc]
            if number:  # the first warms up
                seconds.append(taken)
                shares.append(bench.embedder.spent / taken)
        per_session = _embedding_per_text(bench, TURNS)
    bench.keep({"ingest_256": seconds})
    share = statistics.median(shares)
    bench.result["batch"] = {
        "ms_per_memory": round(1e3 * statistics.median(seconds) / BATCH, 4),
        "ms_per_memory_without_embedding": round(1e3 * statistics.median(seconds) * (1 - share) / BATCH, 4),
        "embedding_ms_per_text_by_session": round(1e3 * per_session, 4),
    }
    rest = bench.result["load"]["ms_per_memory_without_embedding"] / 1e3
    bench.result.setdefault("ratios", {}).update(
        {
            "embedding's share of an ingest of 256": round(share, 4),
            "embedding's share of loading by sessions of 20": round(per_session / (per_session + rest), 4),
        }
    )


def _embedding_per_text(bench: Bench, count: int) -> float:
    """Return the median seconds per text of the real embedder, asked for `count` texts at once."""
    found = [
        timed(Subject(lambda n: bench.real.embed(bench.corpus.statements(count, stream=200 + n))), number)
        for number in range(bench.rounds.batches * 2)
    ]
    return statistics.median(found) / count


def _with_index_awake(bench: Bench) -> None:
    """One memory at a time while the background thread tells the index about the ones before."""
    texts = bench.corpus.statements(bench.rounds.writes + 10, stream=6)
    with bench.opened() as (memos, cube), bench.embedder.real():
        while memos.lag():
            memos.drain()
        samples = interleaved(
            {
                "remember_index_awake": Subject(
                    lambda n: cube.remember(texts[n]), prepare=lambda _: time.sleep(0.02)
                )
            },
            rounds=bench.rounds.writes,
        )
    bench.keep(samples)
