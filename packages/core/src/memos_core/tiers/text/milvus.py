"""The vector index in Milvus: the same class for a folder (Milvus Lite) and for a server.

A memory has one row per key. Row `n` of a memory is stored under `hash(id):n`, and row 0 says how
many there are, so whatever a memory has is found by primary key, never by a scan. That holds at
any moment because of the order of effects: surplus rows go first, then the new rows are written
from 0 upwards. A crash in between leaves a memory with fewer keys, which the debt that the
catalog still owes repairs.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

from memos_core.errors import BackendUnavailable, Closed, InvalidInput
from memos_core.protocols import Candidate, IndexEntry, Vectors
from memos_core.tiers.text._entries import checked_cubes, checked_entries, checked_query
from memos_core.tiers.text._milvus_errors import translated
from memos_core.tiers.text._milvus_lite import Lite, acquire
from memos_core.tiers.text._milvus_rows import (
    INTEGERS,
    LENGTHS,
    calls,
    collapsed,
    condition_of,
    owner,
    pk_of,
    rows_of,
)

_FORMAT = 1  # part of a collection's name: two layouts never meet
_CONNECT_S, _READ_S, _WRITE_S = 10.0, 5.0, 60.0  # pymilvus repeats failing calls until then
_KEYS_A_CALL = 1000
_MOST_HITS = 16_384  # a server returns no more


class MilvusIndex:
    """A TextIndex in Milvus. `uri` is a path ending in `.db`, or a server's http://host:19530.

    Vectors of two embedders never meet, nor do two stores on one server: each pair has a collection
    of its own, named by a hash of `store`, `embedder_identity` and `dimensions`. Milvus Lite scans
    rows in Python until they are flushed, so after every `flush_rows` changed rows, and at the end,
    they are.

    Raises BackendUnavailable if the server does not answer, if another process holds the folder
    or it cannot be made, and from then on when the folder was removed; open the index again then.
    """

    def __init__(
        self,
        uri: str,
        *,
        embedder_identity: str,
        dimensions: int,
        store: str = "",
        token: str | None = None,
        flush_rows: int = 1000,
    ) -> None:
        from pymilvus import MilvusClient  # noqa: PLC0415 - 1.7 s

        if dimensions < 1 or flush_rows < 1:
            raise InvalidInput(f"dimensions={dimensions} and flush_rows={flush_rows} must both be positive")
        self._dimensions, self._flush_rows = dimensions, flush_rows
        self._collection = _collection_name(store, embedder_identity, dimensions)
        self._unflushed, self._closed = 0, False
        with ExitStack() as undo, translated():
            self._lite: Lite | None = None
            if uri.endswith(".db"):
                self._lite = acquire(Path(uri))
                undo.callback(self._lite.release)
            self._gate = self._lite.gate if self._lite else nullcontext()
            self._writing = self._lite.writing if self._lite else threading.Lock()
            address = self._lite.uri if self._lite else uri
            self._client: Any = MilvusClient(address, token=token or "", timeout=_CONNECT_S, dedicated=True)
            undo.callback(self._client.close)
            self._prepare()
            self._resources = undo.pop_all()

    def upsert(self, entries: Sequence[IndexEntry]) -> None:
        """Store these memories, replacing every key they had.

        InvalidInput, with nothing written, if one of them cannot be stored. What fits in one call
        (16 MiB of rows) Milvus takes whole or not at all.
        """
        checked = checked_entries(entries, dimensions=self._dimensions)
        with self._writing:
            former = self._former_keys(entry.id for entry in checked)
            self._delete_keys(
                pk_of(entry.id, n)
                for entry in checked
                for n in range(len(entry.vectors), former.get(owner(entry.id), 0))
            )
            for rows in calls(row for entry in checked for row in rows_of(entry)):
                self._call(self._client.upsert, data=rows, timeout=_WRITE_S)
                self._changed(len(rows))

    def delete(self, ids: Sequence[str]) -> None:
        """Remove these memories; unknown ids are no error."""
        with self._writing:
            former = self._former_keys(ids)
            self._delete_keys(f"{owner}:{n}" for owner, keys in former.items() for n in range(keys))

    def search(
        self,
        vector: Vectors,
        *,
        cubes: Sequence[str],
        limit: int,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Candidate]:
        """Return at most `limit` memories of these cubes, best first; `score` is the cosine, -1 to 1.

        More keys than that are asked for, and again more, until enough memories are among them.
        """
        question = checked_query(vector, dimensions=self._dimensions)
        condition = condition_of(checked_cubes(cubes), since, until)
        if limit < 1 or not cubes:
            return []
        fetch = min(2 * limit, _MOST_HITS)
        while True:
            hits = self._hits(question, condition, fetch)
            found = collapsed(hits)
            if len(found) >= limit or len(hits) < fetch or fetch == _MOST_HITS:
                return found[:limit]
            fetch = min(4 * fetch, _MOST_HITS)

    def count(self) -> int:
        """Return how many memories (not keys) are stored."""
        with self._writing:  # between the two questions nothing may change
            return self._rows_where("") - self._rows_where("key > 0")

    def scrub(self) -> None:
        """Take what was deleted out of the files, too; of a server's files the server disposes."""
        with self._writing:
            if self._closed:
                raise Closed
            if self._lite is None:
                self._call(self._client.compact, timeout=_WRITE_S)
                return
            with translated(), self._gate:
                self._lite.scrub(self._collection)
                self._unflushed = 0

    def drop(self) -> None:
        """Delete the collection with all that is in it. Only `close` may follow."""
        with self._writing:
            self._call(self._client.drop_collection, timeout=_WRITE_S)
            self._unflushed = 0

    def close(self) -> None:
        """Flush, disconnect, and with the folder's last handle unlock it. Closing twice is no error."""
        with self._writing:
            if self._closed:
                return
            with self._resources:  # even if the flush fails
                if self._unflushed and self._lite and self._lite.present:
                    self._call(self._client.flush, timeout=_WRITE_S)
                self._closed = True

    def _prepare(self) -> None:
        if self._call(self._client.has_collection, timeout=_CONNECT_S):
            self._call(self._client.load_collection, timeout=_WRITE_S)
        else:
            self._create()
        if self._lite:  # a crash leaves rows that were never flushed
            self._call(self._client.flush, timeout=_WRITE_S)

    def _create(self) -> None:
        """Make the collection, with exact search in it.

        HNSW loses most of a cube that lies apart from the question, because the graph's search ends
        among rows that the filter forbids. Recall at 20, one cube of 100 in 10,000 clustered rows:
        0.17 on Lite, 0.20 to 0.69 on a server. Lite needs no index to be exact; a server needs one.
        """
        index = None
        if not self._lite:
            index = self._client.prepare_index_params()
            index.add_index("vector", index_type="FLAT", metric_type="COSINE")
        self._call(
            self._client.create_collection,
            schema=_schema(self._dimensions),
            index_params=index,
            consistency_level="Strong",
            timeout=_WRITE_S,
        )

    def _call(self, method: Callable[..., Any], **arguments: Any) -> Any:
        """Return what this method of the client answers about our collection."""
        if self._closed:
            raise Closed
        with translated(), self._gate:
            if self._lite and not self._lite.present:
                raise BackendUnavailable(
                    f"{self._lite.folder} was removed: close the index and open it again"
                )
            return method(self._collection, **arguments)

    def _hits(self, vector: Vectors, condition: str, fetch: int) -> list[dict[str, Any]]:
        answer = self._call(
            self._client.search,
            data=[vector],
            anns_field="vector",
            filter=condition,
            limit=fetch,
            output_fields=["id", "version"],
            search_params={"metric_type": "COSINE"},
            consistency_level="Strong",
            timeout=_READ_S,
        )
        return list(answer[0])

    def _former_keys(self, ids: Iterable[str]) -> dict[str, int]:
        """Return how many keys these memories have, by the hash of their id, where they have any."""
        found: dict[str, int] = {}
        for pks in _chunks(pk_of(memory_id, 0) for memory_id in ids):
            rows = self._call(
                self._client.get,
                ids=pks,
                output_fields=["keys"],
                consistency_level="Strong",
                timeout=_READ_S,
            )
            found |= {row["pk"].removesuffix(":0"): row["keys"] for row in rows}
        return found

    def _delete_keys(self, pks: Iterable[str]) -> None:
        for some in _chunks(pks):
            self._call(self._client.delete, ids=some, timeout=_WRITE_S)
            self._changed(len(some))

    def _changed(self, rows: int) -> None:
        self._unflushed += rows
        if self._lite and self._unflushed >= self._flush_rows:
            self._call(self._client.flush, timeout=_WRITE_S)
            self._unflushed = 0

    def _rows_where(self, condition: str) -> int:
        answer = self._call(
            self._client.query,
            filter=condition,
            output_fields=["count(*)"],
            consistency_level="Strong",
            timeout=_WRITE_S,
        )
        return int(answer[0]["count(*)"])


def _collection_name(store: str, identity: str, dimensions: int) -> str:
    digest = hashlib.sha256(f"{_FORMAT}\0{dimensions}\0{store}\0{identity}".encode())
    return f"memos_{digest.hexdigest()[:32]}"


def _schema(dimensions: int) -> Any:
    from pymilvus import DataType, MilvusClient  # noqa: PLC0415 - loaded by the constructor

    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    for name, length in LENGTHS.items():
        schema.add_field(name, DataType.VARCHAR, is_primary=name == "pk", max_length=length)
    for name in INTEGERS:
        schema.add_field(name, DataType.INT64)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimensions)
    return schema


def _chunks(pks: Iterable[str]) -> Iterator[list[str]]:
    every = list(pks)
    for start in range(0, len(every), _KEYS_A_CALL):
        yield every[start : start + _KEYS_A_CALL]
