"""The composition root: which catalog, index, embedder and caches one open folder is made of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from weakref import WeakSet

from memos_core.cube import SYSTEM, CubeHeader, Principal, Right
from memos_core.embed import CachingEmbedder, EmbedderSpec, open_embedder
from memos_core.errors import BackendError, Closed, FormatError, InvalidInput, MigrationNeeded
from memos_core.index import IndexSlot
from memos_core.operator.indexer import Indexer
from memos_core.operator.recall import Recaller
from memos_core.operator.residents import Residents
from memos_core.protocols import Embedder, Extractor, TextIndex
from memos_core.reader.extraction import Extraction
from memos_core.reader.intake import Intake
from memos_core.reader.recording import Recorder
from memos_core.reader.rewinding import Rewinder
from memos_core.redaction import Redaction
from memos_core.scheduler.engines import checked_engine, queue_of
from memos_core.scheduler.worker import Worker
from memos_core.vault import keyring, outbox, queue
from memos_core.vault.blobs import GRACE, Blobs
from memos_core.vault.catalog import Catalog
from memos_core.vault.derived import Derived
from memos_core.vault.engine import catalog_url
from memos_core.vault.lock import FolderLock
from memos_core.vault.settings import ERASED_BYTES, EmbedderRecord
from memos_core.vault.tx import Tx
from memos_core.vault.view import View

CATALOG, INDEX, BLOBS = "catalog.db", "milvus.db", "blobs"
DEFAULT_EMBEDDER = "minilm-int8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a store was opened with, as it was given."""

    catalog: str | None
    embedder: EmbedderSpec
    index: str | TextIndex | None
    jobs: str | None
    clock: Callable[[], datetime]


class Core:
    """Everything behind the handles of one open folder. It is made once and closed once.

    `catalog` is a PostgreSQL database's URL, or None for SQLite in the folder. `index` is a Milvus server's
    URI, an open TextIndex, or None for Milvus Lite in the folder. With both on servers the store is
    shared: other processes may have it open, and nobody holds the folder. `jobs` is who hands out the
    jobs, None for whoever did so before.
    """

    def __init__(
        self,
        folder: Path,
        *,
        catalog: str | None = None,
        embedder: EmbedderSpec,
        index: str | TextIndex | None,
        jobs: str | None = None,
        resident_bytes: int,
        redaction: Redaction,
        clock: Callable[[], datetime],
    ) -> None:
        checked_engine(jobs, on_server=catalog is not None)
        where = folder / CATALOG if catalog is None else catalog_url(catalog)
        self.folder, self.redaction = _prepared(folder, has_catalog=catalog is None), redaction
        self.given = Given(catalog=catalog, embedder=embedder, index=index, jobs=jobs, clock=clock)
        self.is_shared = catalog is not None and isinstance(index, str)
        self._closing = self._closed = False
        self._opening = threading.RLock()
        self._embedder: CachingEmbedder | None = None
        with ExitStack() as undo:
            self._lock = None if self.is_shared else FolderLock(folder)
            undo.callback(self._unlock)
            self.catalog = Catalog(where, clock=clock)
            undo.callback(self.catalog.close)
            self._wanted = self._chosen(embedder)
            store = self._store_id()
            if catalog is not None:
                _check_same(folder, store)
            self.slot = IndexSlot(index, folder=folder / INDEX, store=store)
            self.blobs = Blobs(folder / BLOBS)
            self.derived = Derived(self.catalog, self.blobs, is_shared=self.is_shared)
            self.queue = queue_of(self.catalog, jobs, on_server=catalog is not None)
            self._mend()
            undo.pop_all()
        self.residents = Residents(budget=resident_bytes)
        self.moved: dict[tuple[str, str], float] = {}  # when a plan moved which cube in which tier
        self.indexer = Indexer(self.catalog, index=self.index, model=lambda: self.embedder().identity)
        self.bell = threading.Event()
        self.workers: WeakSet[Worker] = WeakSet()
        self.intake = Intake(self.catalog, embedder=self.embedder)
        self.extraction = Extraction(self.catalog, self.intake, embedder=self.embedder, redaction=redaction)
        self.recorder = Recorder(self.catalog, embedder=self.embedder)
        self.rewinder = Rewinder(self.catalog, embedder=self.embedder)
        self.recaller = Recaller(
            self.catalog,
            embedder=self.embedder,
            residents=self.residents,
            index=self.index,
            indexer=self.indexer,
            ready=self.rewinder.ready,
        )

    def _mend(self) -> None:
        """Clear up what a crash left. Beside others, only what is so old that nobody is at it."""
        if self.is_shared:
            self.derived.sweep(grace=GRACE)  # leases run out by themselves
            return
        self.derived.sweep()
        with self.catalog.connection() as connection:
            outbox.free_all(connection)
            queue.lapse(connection, now=self.catalog.clock(), everything=True)

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closing

    def check_open(self) -> None:
        """Raise Closed after `close`."""
        if self._closed:
            raise Closed

    def close(self) -> None:
        """Stop the workers and the background thread, write down what was counted, release the folder.

        Whatever fails on the way, the folder is released.
        """
        with self._opening:
            if self._closing:
                return
            self._closing = True
        with ExitStack() as last:  # undone from below: the lock goes last
            last.callback(self._unlock)
            last.callback(self.catalog.close)
            last.callback(self.slot.close)
            last.callback(self.derived.close)
            last.callback(self._mark_closed)
            last.callback(self.recaller.write_uses)
            last.callback(self.derived.write_uses)
            last.callback(self.derived.discard)
            last.callback(self.indexer.close)  # without `_opening`: the thread may need it for its batch
            for worker in list(self.workers):
                last.callback(worker.close)

    def _mark_closed(self) -> None:
        self._closed = True

    @contextmanager
    def reading(
        self, principal: Principal, cube_id: str, right: Right = Right.READ
    ) -> Generator[tuple[View, CubeHeader]]:
        """Open a snapshot of the catalog and enter a cube for reading."""
        self.check_open()
        with self.catalog.read() as view:
            yield view, view.enter(cube_id, principal, right)

    @contextmanager
    def erasing(self, principal: Principal) -> Generator[Tx]:
        """Open a transaction that may make artifacts stale; after it, their files and copies go as well."""
        with self.erasing_after(), self.catalog.write(principal) as tx:
            yield tx

    @contextmanager
    def erasing_after(self) -> Generator[None]:
        """Do something that may make artifacts stale; after it, their files and copies go as well."""
        self.check_open()
        with self.indexer.writing():
            yield
            with suppress(Closed):  # it was closed on the way, or the next open does it
                self.derived.discard()

    def forget_in_memory(self, cube_ids: Collection[str]) -> None:
        """Let go of what RAM holds of words that were erased.

        These are keys of these cubes, vectors of queries, and what models have computed last.
        """
        self.residents.drop(cube_ids)
        self.derived.scrub()
        with self._opening:
            if self._embedder is not None:
                self._embedder.forget()

    def settle(self) -> int:
        """Tell the index, delete stale files, overwrite erased bytes; return how many changes were told.

        Raises BackendUnavailable where the index does not answer; what is owed stays owed.
        """
        self.recaller.write_uses()
        self.catalog.scrub()
        if self.is_shared:
            self.derived.sweep(grace=GRACE)  # of a folder of its own nobody else deletes anything
        else:
            self.derived.discard()
        with self.catalog.read() as view:
            bytes_owed = view.setting(ERASED_BYTES)
        told = self.indexer.drain()
        if bytes_owed is not None:
            record = self.recorded_embedder()
            if record is not None:
                with self.indexer.paused():
                    self.slot.scrub(record.identity, record.dimensions)
            self.catalog.settle(ERASED_BYTES, bytes_owed)
        return told

    def extract_with(self, extractor: Extractor) -> None:
        """Let a model read, as a job, whatever is ingested from now on.

        Raises InvalidInput where another extractor was named before.
        """
        with self._opening:
            known = self.extraction.extractor
            if known is not None and known.identity != extractor.identity:
                raise InvalidInput(
                    f"this store is read by {known.identity!r} already, not by {extractor.identity!r}: "
                    f"open it with the one that you want"
                )
            self.extraction.extractor = extractor
            self.intake.follow = self.extraction.order

    # --- what is opened when it is needed ----------------------------------------------------

    def embedder(self) -> Embedder:
        """Return the store's embedder; the first call loads it.

        Raises MigrationNeeded where the store's vectors were made by another one.
        """
        self.check_open()
        with self._opening:
            if self._embedder is not None and self.catalog.is_of_another_embedder(self._embedder.identity):
                self._follow()
            if self._embedder is None:
                if self.given.embedder is None:  # another process may have chosen since this one opened
                    self._wanted = self._chosen(None)
                self._embedder = _cached(self._checked(open_embedder(self._wanted)))
            return self._embedder

    def _follow(self) -> None:
        """Let go of an embedder that the store changed over from, in another process."""
        record = self.recorded_embedder()
        if self._embedder is None or record is None or record.identity == self._embedder.identity:
            return
        self._wanted, self._embedder = self._chosen(self.given.embedder), None
        self.residents.clear()
        self.slot.reopen()

    def changed_over(self, embedder: Embedder, spec: EmbedderSpec) -> bool:
        """Make this the store's embedder, if every memory has vectors by it; return whether.

        The index is begun anew and owed everything from then on, and nothing stays resident.
        `spec` None keeps the way in which the embedder is opened.
        """
        kept = self._wanted if spec is None else spec
        with self.indexer.paused(), self._opening:
            former = self.recorded_embedder()
            with self.catalog.write(SYSTEM) as tx:
                if keyring.count_without_keys(tx.connection, embedder.identity):
                    return False
                tx.switch_embedder(_record(embedder, kept))
            self._wanted, self._embedder = kept, _cached(embedder)
            self.residents.clear()
            if former is not None:
                self.slot.begin_anew(former.identity, former.dimensions)
        return True

    def index(self) -> TextIndex:
        """Return the vector index."""
        embedder = self.embedder()
        return self.slot.get(embedder.identity, embedder.dimensions)

    # --- what is written down about this store -----------------------------------------------

    def _store_id(self) -> str:
        """Return the store's own name, given once."""
        with self.catalog.write(SYSTEM) as tx:
            return tx.store_id()

    def recorded_embedder(self) -> EmbedderRecord | None:
        """Return what made the store's vectors; None in a store that has none yet."""
        with self.catalog.read() as view:
            return view.embedder_record()

    def _chosen(self, given: EmbedderSpec) -> EmbedderSpec:
        """Return the embedder to open: the given one, else the one that the store was made with."""
        record = self.recorded_embedder()
        if given is not None or record is None:
            return given or DEFAULT_EMBEDDER
        if record.spec is None:
            raise MigrationNeeded(
                f"this store was made with the embedder {record.identity!r}, which only you can make: "
                f"pass it as MemOS.open(..., embedder=...)",
                found=record.identity,
                wanted="",
            )
        return record.spec

    def _checked(self, embedder: Embedder) -> Embedder:
        """Return the embedder if the store's vectors are its own; a new store makes it its own."""
        if self.recorded_embedder() is None:
            self._first(embedder)
        record = self.recorded_embedder()
        if record is not None and record.identity != embedder.identity:
            raise MigrationNeeded(
                f"this store's vectors are of {record.identity!r}, not of {embedder.identity!r}: open it "
                f"without `embedder=` and call reindex(embedder=...), or run `memos reindex --embedder ...`",
                found=record.identity,
                wanted=embedder.identity,
            )
        return embedder

    def _first(self, embedder: Embedder) -> None:
        """Write down who makes this store's vectors from now on, unless another process just did."""
        with self.catalog.write(SYSTEM) as tx:
            if tx.embedder_record() is None:
                tx.switch_embedder(_record(embedder, self._wanted))


def _record(embedder: Embedder, spec: EmbedderSpec) -> EmbedderRecord:
    return EmbedderRecord(
        identity=embedder.identity,
        dimensions=embedder.dimensions,
        spec=spec if isinstance(spec, str) else None,
    )


def _cached(embedder: Embedder) -> CachingEmbedder:
    return embedder if isinstance(embedder, CachingEmbedder) else CachingEmbedder(embedder)


ELSEWHERE = "catalog.elsewhere"
"""A file in the folder of a store whose catalog is on a server: it says which store that is."""
_OURS = {CATALOG, INDEX, BLOBS, ELSEWHERE, "lock", "lock.pid"}  # a crash may leave any of them alone


def _prepared(folder: Path, *, has_catalog: bool) -> Path:
    """Make the folder, or see that it is empty or ours, and holds its catalog or none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise BackendError(f"{folder} cannot be made ({exc.strerror}): choose another folder") from exc
    strangers = {path.name for path in folder.iterdir()} - _OURS
    if strangers and not ((folder / CATALOG).exists() or (folder / ELSEWHERE).exists()):
        raise FormatError(f"{folder} holds other files and no MemOS store: choose an empty or a new folder")
    if not has_catalog and (folder / CATALOG).exists():
        raise FormatError(
            f"{folder} has a catalog of its own: open it without `catalog=`, or name a new folder"
        )
    if has_catalog and (folder / ELSEWHERE).exists():
        raise FormatError(f"the catalog of the store in {folder} is on a server: name it, with `catalog=`")
    return folder


def _check_same(folder: Path, store: str) -> None:
    """Note in the folder whose catalog is elsewhere which store it is of; FormatError if of another."""
    note = folder / ELSEWHERE
    try:
        found = note.read_text(encoding="ascii", errors="replace") if note.exists() else ""
        if not found:  # or somebody is about to write the same
            note.write_text(store, encoding="ascii")
    except OSError as exc:
        raise BackendError(
            f"{note} cannot be written ({exc.strerror}): check the folder's permissions"
        ) from exc
    if found not in ("", store):
        raise FormatError(f"{folder} belongs to another store than the catalog: choose its own, or a new one")
