"""One durable memory at a time, and many at once."""

from __future__ import annotations

import statistics
import time
from contextlib import closing

from benchmarks.latency.baselines import BareInsert
from benchmarks.latency.bench import Bench, K, at_rest
from benchmarks.latency.corpus import TURNS
from benchmarks.latency.timing import Subject, interleaved, timed, without_collector
from memos_core import Message

BATCH = 256


def writes(bench: Bench) -> None:
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


def batches(bench: Bench) -> None:
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


def writes_with_index_awake(bench: Bench) -> None:
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
