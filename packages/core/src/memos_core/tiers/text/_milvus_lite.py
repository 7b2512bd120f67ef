"""Milvus Lite in this process: one server per folder, shared by its handles, gone with the last.

pymilvus would start it as well, but hides why a folder cannot be opened, never lets go of the
folder or the threads, and listens on a TCP port without a password. Here the socket is a file
that only this user can reach (except on Windows, where it is a port of the loopback address).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import finalize

from memos_core.errors import BackendUnavailable

THREADS = "memos-milvus-lite"  # prefix of the server's thread names
_WORKERS = 4  # it is Python under one lock: eight searching threads are no faster than one
_MESSAGE_BYTES = 256 << 20

_open: dict[Path, Lite] = {}
_opening = threading.Lock()


@dataclass(kw_only=True, eq=False)
class Lite:
    """A served folder.

    `gate` admits one call at a time (a search beside a flush would miss rows), `writing` one change
    of several calls.
    """

    folder: Path
    uri: str
    database: Any
    server: Any
    pool: ThreadPoolExecutor
    socket_folder: Path
    identity: tuple[int, int] | None  # device and inode of the lock file
    users: int = 1
    gate: threading.Lock = field(default_factory=threading.Lock)
    writing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def present(self) -> bool:
        """Whether the folder is still the one that was opened. Lite itself writes on into nothing."""
        return _identity(self.folder) == self.identity

    def scrub(self, name: str) -> int:
        """Write each data file of a collection that holds deleted rows anew, without them; return how many.

        Lite does so by itself only when it has several files of one size, and its server's call for
        it does nothing; what is called here is what its own background worker calls.
        """
        found = [each for (_, known), each in self.database._collections.items() if known == name]
        return sum(_scrubbed(collection) for collection in found)

    def release(self) -> None:
        """Let go of one use; the last stops the server and unlocks the folder."""
        with _opening:
            self.users -= 1
            if self.users:
                return
            if _open.get(self.folder) is self:
                del _open[self.folder]
            self._stop()

    def _stop(self) -> None:
        self.server.stop(grace=None).wait()
        if self.present:
            self.database.close()
        else:
            self._abandon()
        self.pool.shutdown(wait=True)
        shutil.rmtree(self.socket_folder, ignore_errors=True)

    def _abandon(self) -> None:
        """Close without a flush, which would write into whatever stands at the path by now."""
        for collection in self.database._collections.values():  # Lite has no public way
            collection._bg_executor.shutdown(wait=True)
            collection._wal.wal_dir = str(self.socket_folder)  # where it looks for files to delete
            collection._wal.close_and_delete()
        self.database._release_lock()


def _scrubbed(collection: Any) -> int:
    """Compact one file at a time: a file holds at most 100,000 rows, all of them would not fit in RAM."""
    collection.flush()
    collection._wait_for_bg()
    rewritten = 0
    with collection._maintenance_lock:
        manifest, deleted = collection._manifest, collection._delta_index
        for partition in manifest.list_partitions():
            place = Path(collection._data_dir) / "partitions" / partition
            for file in list(manifest.get_data_files(partition)):
                if _has_deleted(place / file, collection._pk_name, deleted):
                    collection._compaction_mgr._compact_files(
                        partition, str(place), [file], manifest, deleted
                    )
                    rewritten += 1
        collection._compaction_mgr._gc_tombstones(manifest, deleted)
        collection._refresh_segment_cache()
    return rewritten


def _has_deleted(path: Path, pk: str, deleted: Any) -> bool:
    from pyarrow import parquet  # noqa: PLC0415 - comes with Lite

    table = parquet.read_table(path, columns=[pk, "_seq"])
    pairs = zip(table.column(pk).to_pylist(), table.column("_seq").to_pylist(), strict=True)
    return any(deleted.is_deleted(key, seq) for key, seq in pairs)


def strings_in(path: Path) -> Iterator[str]:
    """Yield every string that a file of Lite's holds; its files are compressed, so that bytes tell little.

    A file of another kind, or a log that was cut off while it was written, yields what can be read.
    """
    import pyarrow as pa  # noqa: PLC0415 - comes with Lite
    from pyarrow import ipc, parquet  # noqa: PLC0415 - as above

    try:
        if path.suffix == ".parquet":
            yield from _strings(parquet.read_table(path))
        elif path.suffix == ".arrow":
            with pa.memory_map(str(path)) as file, ipc.open_stream(file) as stream:
                for batch in stream:
                    yield from _strings(pa.Table.from_batches([batch]))
    except (pa.ArrowInvalid, OSError):
        return


def _strings(table: Any) -> Iterator[str]:
    import pyarrow as pa  # noqa: PLC0415 - comes with Lite

    for column in table.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            yield from (value for value in column.to_pylist() if value)


def acquire(folder: Path) -> Lite:
    """Return the server of this folder, started if need be; pair it with `release()`.

    BackendUnavailable if another process holds the folder or it cannot be created.
    """
    folder = folder.absolute()
    with _opening:
        lite = _open.get(folder)
        if lite is not None and lite.present:
            lite.users += 1
            return lite
        lite = _open[folder] = _start(folder)
        return lite


def _start(folder: Path) -> Lite:
    from milvus_lite.db import MilvusLite  # noqa: PLC0415 - 1 s
    from milvus_lite.exceptions import DataDirLockedError  # noqa: PLC0415 - loads milvus_lite

    try:
        database = MilvusLite(str(folder))
    except DataDirLockedError as exc:
        raise BackendUnavailable(
            f"{folder} is in use by another process: close it there, give this process a folder of its "
            f"own, or run a Milvus server and pass its address to both"
        ) from exc
    except OSError as exc:
        raise BackendUnavailable(f"{folder} cannot be opened: {exc}") from exc
    return _serve(folder, database)


def _serve(folder: Path, database: Any) -> Lite:
    import grpc  # type: ignore[import-untyped]  # noqa: PLC0415 - only Lite needs it here
    from milvus_lite.adapter.grpc.servicer import MilvusServicer  # noqa: PLC0415 - loads pymilvus
    from pymilvus.grpc_gen import milvus_pb2_grpc  # noqa: PLC0415 - 1.7 s

    sizes = [(f"grpc.max_{way}_message_length", _MESSAGE_BYTES) for way in ("receive", "send")]
    pings = [("grpc.http2.max_ping_strikes", 0)]  # the client pings while we compute, and is not hung up on
    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix=THREADS)
    server = grpc.server(pool, options=sizes + pings)
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(MilvusServicer(database), server)
    socket_folder = Path(tempfile.mkdtemp(prefix="memos-"))  # mode 0700
    try:
        uri = _listen(server, socket_folder)
    except RuntimeError as exc:
        database.close()
        pool.shutdown()
        shutil.rmtree(socket_folder, ignore_errors=True)
        raise BackendUnavailable(f"Milvus Lite cannot listen in {socket_folder}: {exc}") from exc
    server.start()
    lite = Lite(
        folder=folder,
        uri=uri,
        database=database,
        server=server,
        pool=pool,
        socket_folder=socket_folder,
        identity=_identity(folder),
    )
    finalize(lite, shutil.rmtree, socket_folder, ignore_errors=True)  # at exit, if nobody closes it
    return lite


def _listen(server: Any, socket_folder: Path) -> str:
    if sys.platform == "win32":
        return f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    uri = f"unix:{socket_folder / 'milvus.sock'}"
    server.add_insecure_port(uri)
    return uri


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = (folder / "LOCK").stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
