"""The record of a run as Markdown tables: a column per size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Size = dict[str, Any]  # the figures of one size, as JSON has them

SERIES = {
    "remember": "`remember`, durable, with its embedding",
    "ingest_one": "`ingest` of one message, likewise",
    "remember_index_awake": "`remember` while the index is told of the ones before",
    "ingest_256": "`ingest` of 256 messages, with their embeddings",
    "ingest_session_without_embedding": "`ingest` of a session of 20, without embedding",
    "recall": "`recall`, k = 10, the query's vector cached",
    "recall_fresh": "`recall` of a fresh query",
    "recall_after_add": "`recall` right after an add, vector cached",
    "recall_not_resident": "`recall` with nothing resident, vector cached",
    "numpy_scan": "bare: numpy scan, top 50",
    "fts5": "bare: FTS5, the same terms, top 50",
    "milvus_flat": "bare: Milvus Lite, FLAT, top 50",
    "milvus_hnsw": "bare: Milvus Lite, HNSW, top 50",
    "bare_insert": "bare: one durable SQLite row",
    "embed_one": "bare: one text embedded",
    "embed_query": "bare: one query embedded",
}
AIMS = {
    "recall / (numpy scan + FTS5)": "≤ 3 from 10,000",
    "remember / (bare SQLite insert + embedding)": "≤ 3",
    "ingest_one / (bare SQLite insert + embedding)": "≤ 3",
    "embedding's share of an ingest of 256": "≥ 0.90",
}


def rendered(record: dict[str, Any]) -> str:
    """Return the three tables: ratios, milliseconds, and what is paid once."""
    sizes: list[Size] = list(record["sizes"].values())
    return "\n\n".join([_ratios(sizes), _series(sizes), _once(sizes)])


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column is text and whose others are figures."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _ratios(sizes: Sequence[Size]) -> str:
    names = list(dict.fromkeys(name for size in sizes for name in size["ratios"]))
    rows = [
        [
            _spelt(name),
            *(f"{size['ratios'][name]:.2f}" if name in size["ratios"] else "" for size in sizes),
            AIMS.get(name, ""),
        ]
        for name in names
    ]
    return markdown(["ratio", *_heads(sizes), "aim"], rows)


def _spelt(name: str) -> str:
    for series in ("remember", "ingest_one"):
        name = name.replace(f"{series} /", f"{SERIES[series].split(',')[0]} /")
    return name.replace("milvus_flat", "Milvus Lite, FLAT").replace("milvus_hnsw", "Milvus Lite, HNSW")


def _series(sizes: Sequence[Size]) -> str:
    rows = [
        [title, *(_spread(size["ms"].get(name)) for size in sizes)]
        for name, title in SERIES.items()
        if any(name in size["ms"] for size in sizes)
    ]
    return markdown(["milliseconds, p50 / p95", *_heads(sizes)], rows)


def _spread(values: dict[str, float] | None) -> str:
    return "" if values is None else f"{_short(values['p50'])} / {_short(values['p95'])}"


def _once(sizes: Sequence[Size]) -> str:
    reads: list[tuple[str, Callable[[Size], str]]] = [
        (
            "adding a memory in bulk, without embedding, ms",
            lambda s: _short(s["load"]["ms_per_memory_without_embedding"]),
        ),
        ("... by 256, ms", lambda s: _short(s["batch"]["ms_per_memory_without_embedding"])),
        ("telling the index of one, in bulk, ms", lambda s: _short(s["load"]["drain_ms_per_memory"])),
        ("opening a store in a fresh process, s", lambda s: _short(s["reopen"]["resident"]["open_s"])),
        (
            "its first recall, which makes the cube resident, s",
            lambda s: _short(s["reopen"]["resident"]["first_recall_s"]),
        ),
        (
            "its first recall through the index, s",
            lambda s: _short(s["reopen"]["not_resident"]["first_recall_s"]),
        ),
        ("resident memory after the import, MiB", lambda s: _mib(s["reopen"]["resident"]["rss_imported"])),
        (
            "... after the first recall, cube resident, MiB",
            lambda s: _mib(s["reopen"]["resident"]["rss_first_recall"]),
        ),
        (
            "... after the first recall through the index, MiB",
            lambda s: _mib(s["reopen"]["not_resident"]["rss_first_recall"]),
        ),
        (
            "... of the default embedder on top, MiB",
            lambda s: _mib(s["reopen"]["resident"]["rss_of_default_embedder"]),
        ),
        ("catalog on disk, bytes a memory", lambda s: f"{s['disk']['bytes_per_memory']['catalog.db']:,.0f}"),
        ("index on disk, bytes a memory", lambda s: f"{s['disk']['bytes_per_memory']['milvus.db']:,.0f}"),
    ]
    rows = [[title, *(read(size) for size in sizes)] for title, read in reads]
    return markdown(["paid once, or kept", *_heads(sizes)], rows)


def _heads(sizes: Sequence[Size]) -> list[str]:
    return [f"{size['memories']:,}" for size in sizes]


def _short(value: float) -> str:
    """Return a figure with about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _mib(size: float) -> str:
    return f"{size / 2**20:,.0f}"
