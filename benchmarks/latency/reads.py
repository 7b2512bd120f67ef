"""Recall beside the parts it is made of, beside raw Milvus Lite, and through the index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.latency.baselines import FullText, RawMilvus, Stored, scan
from benchmarks.latency.bench import Bench, K
from benchmarks.latency.timing import Subject, interleaved
from memos_core import MemOS
from memos_core.tiers.text.lexical import terms


class Milvuses:
    """Raw Milvus collections by the name of their series."""

    def __init__(self, folder: Path, stored: Stored, kinds: Sequence[tuple[str, str]]) -> None:
        self.by_name = {name: RawMilvus(folder, stored.vectors, kind=kind) for kind, name in kinds}

    def close(self) -> None:
        for each in self.by_name.values():
            each.close()


def reads(bench: Bench, stored: Stored, full_text: FullText) -> None:
    """Recall beside the parts it is made of; Milvus is not running yet."""
    total = bench.rounds.reads + 10
    cached, fresh, alone = (bench.corpus.questions(total, stream=n) for n in range(3))
    vectors = [bench.embedder.embed_query(question) for question in cached]
    wanted = [list(dict.fromkeys(terms(question))) for question in cached]
    with bench.opened() as (memos, cube):
        _warm(memos, cached)
        bare = interleaved(
            {
                "recall": Subject(lambda n: cube.recall(cached[n], k=K)),
                "numpy_scan": Subject(lambda n: scan(stored.vectors, vectors[n])),
                "fts5": Subject(lambda n: full_text.search(wanted[n])),
            },
            rounds=bench.rounds.reads,
            warm_up=5,
        )
        with bench.embedder.real():
            embedded = interleaved(
                {
                    "recall_fresh": Subject(lambda n: cube.recall(fresh[n], k=K)),
                    "embed_query": Subject(lambda n: bench.real.embed_query(alone[n])),
                },
                rounds=bench.rounds.reads,
            )
    bench.keep(bare | embedded)
    bench.ratio("recall / (numpy scan + FTS5)", bare, ["recall"], ["numpy_scan", "fts5"])
    bench.ratio("fresh recall / embedding", embedded, ["recall_fresh"], ["embed_query"])


def _warm(memos: MemOS, questions: Sequence[str]) -> None:
    """Put the questions' vectors into the cache."""
    embedder = memos._core.embedder()
    for question in questions:
        embedder.embed_query(question)


def reads_beside_milvus(bench: Bench, raw: Milvuses) -> None:
    """Recall with the cube resident, beside searches of raw Milvus Lite."""
    if not raw.by_name:
        return
    questions = bench.corpus.questions(bench.rounds.indexed_reads + 10, stream=5)
    vectors = [bench.embedder.embed_query(question) for question in questions]
    with bench.opened() as (memos, cube):
        _warm(memos, questions)
        subjects = {"recall_beside_milvus": Subject(lambda n: cube.recall(questions[n], k=K))}
        subjects |= {name: Subject(_searching(each, vectors)) for name, each in raw.by_name.items()}
        samples = interleaved(subjects, rounds=bench.rounds.indexed_reads)
    bench.keep(samples)
    for name in raw.by_name:
        bench.ratio(f"recall / raw {name}", samples, ["recall_beside_milvus"], [name])


def _searching(raw: RawMilvus, vectors: Sequence[Any]) -> Callable[[int], object]:
    return lambda number: raw.search(vectors[number])


def reads_through_index(bench: Bench, full_text: FullText, raw: Milvuses) -> None:
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
