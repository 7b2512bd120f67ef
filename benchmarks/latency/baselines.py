"""The bare parts on the same data: a matrix, a full-text table, Milvus Lite, one row of SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memos_core.protocols import Vectors

TOP = 50
_CUBE = "0" * 32
_BATCH = 5000
_PRAGMAS = (  # those of the store itself
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA cache_size=-32768",
    "PRAGMA mmap_size=268435456",
    "PRAGMA temp_store=MEMORY",
)


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """What a store's catalog holds as keys: analysed terms and float32 vectors, row by row."""

    terms: list[str]
    vectors: Vectors

    @classmethod
    def of(cls, catalog: Path) -> Stored:
        with closing(_opened(catalog)) as connection:
            rows = connection.execute(
                "SELECT lexical.terms, vectors.data FROM lexical "
                "JOIN vectors ON vectors.memory_seq = lexical.rowid ORDER BY lexical.rowid"
            ).fetchall()
        halves = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.float16)
        return cls([row[0] for row in rows], halves.astype(np.float32).reshape(len(rows), -1))


def scan(matrix: Vectors, vector: Vectors) -> NDArray[np.intp]:
    """Return the places of the best by exact search in numpy, unordered."""
    likeness = matrix @ vector
    top = min(TOP, len(likeness))
    return np.argpartition(likeness, len(likeness) - top)[-top:]


class FullText:
    """FTS5 alone, in a file of its own, without a cube to filter by."""

    def __init__(self, path: Path, terms: Sequence[str]) -> None:
        self._connection = _opened(path)
        self._connection.execute(
            "CREATE VIRTUAL TABLE lexical USING fts5(terms, tokenize='unicode61 remove_diacritics 0')"
        )
        with self._connection:
            self._connection.executemany("INSERT INTO lexical(terms) VALUES (?)", ((each,) for each in terms))

    def search(self, terms: Sequence[str]) -> list[Any]:
        """Return the best that have any of the terms, best first."""
        wanted = " OR ".join(f'"{term}"' for term in terms)
        return self._connection.execute(
            "SELECT rowid, bm25(lexical) AS score FROM lexical WHERE lexical MATCH ? ORDER BY score LIMIT ?",
            (wanted, TOP),
        ).fetchall()

    def close(self) -> None:
        self._connection.close()


class BareInsert:
    """One durable row per call: text and vector, write-ahead log, synchronous=FULL."""

    def __init__(self, path: Path) -> None:
        self._connection = _opened(path)
        self._connection.execute("CREATE TABLE bare (id INTEGER PRIMARY KEY, text TEXT, vector BLOB)")

    def insert(self, text: str, vector: bytes) -> None:
        with self._connection:
            self._connection.execute("INSERT INTO bare(text, vector) VALUES (?, ?)", (text, vector))

    def close(self) -> None:
        self._connection.close()


class RawMilvus:
    """Milvus Lite as a user of pymilvus has it: a key, a cube field and a vector, flushed."""

    def __init__(self, folder: Path, matrix: Vectors, *, kind: str) -> None:
        from pymilvus import DataType, MilvusClient  # noqa: PLC0415 - 1.7 s

        self._name = f"raw_{kind.lower()}"
        self._client: Any = MilvusClient(str(folder / "raw.db"))
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("pk", DataType.INT64, is_primary=True)
        schema.add_field("cube", DataType.VARCHAR, max_length=32)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=matrix.shape[1])
        index = self._client.prepare_index_params()
        built = {"M": 16, "efConstruction": 200} if kind == "HNSW" else {}
        index.add_index("vector", index_type=kind, metric_type="COSINE", params=built)
        self._client.create_collection(self._name, schema=schema, index_params=index)
        for start in range(0, len(matrix), _BATCH):
            self._client.insert(
                self._name,
                [
                    {"pk": start + at, "cube": _CUBE, "vector": vector}
                    for at, vector in enumerate(matrix[start : start + _BATCH])
                ],
            )
        self._client.flush(self._name)

    def search(self, vector: Vectors) -> Any:
        """Return the best of the cube, best first."""
        return self._client.search(
            self._name,
            data=[vector],
            anns_field="vector",
            filter=f'cube == "{_CUBE}"',
            limit=TOP,
            search_params={"metric_type": "COSINE"},
        )

    def close(self) -> None:
        self._client.close()


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    return connection
