"""Looking after a store: measure it, check it, make its index anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from memos_core.core import BLOBS, INDEX, Core
from memos_core.cube import SYSTEM
from memos_core.embed import EmbedderSpec, open_embedder
from memos_core.errors import BackendError
from memos_core.metering import costs
from memos_core.protocols import Embedder
from memos_core.reader.keys import keys_of
from memos_core.scheduler.stats import Cost
from memos_core.vault import chain, keyring, tx_life
from memos_core.vault.tx import Tx

EMBED_BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What a store holds and takes. Sizes are in bytes."""

    cubes: int
    memories: int
    versions: int
    sources: int
    owed: int  # changes that the vector index has not been told
    embedder: str | None
    dimensions: int | None
    catalog_size: int
    index_size: int
    blobs_size: int
    resident_cubes: int
    resident_size: int
    costs: Sequence[Cost] = ()  # what each tier costs on this machine, as far as it was measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that a check-up found. `remedy` is empty where all is well."""

    check: str
    ok: bool
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """The findings of a check-up."""

    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        return all(finding.ok for finding in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reindexed:
    """What a reindex did."""

    embedded: int  # memories that got new vectors
    indexed: int  # memories that the index was told
    embedder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """What upkeep did: memories whose words were erased, and memories that were put away."""

    expired: int
    archived: int


def measured(core: Core) -> Stats:
    """Return what the store holds and takes."""
    core.recaller.write_uses()
    with core.catalog.read() as view:
        counts, record = view.counts(), view.embedder_record()
    return Stats(
        cubes=counts["cubes"],
        memories=counts["memories"],
        versions=counts["versions"],
        sources=counts["sources"],
        owed=counts["outbox"],
        embedder=record.identity if record else None,
        dimensions=record.dimensions if record else None,
        catalog_size=core.catalog.size(),
        index_size=_size(core.folder / INDEX),
        blobs_size=_size(core.folder / BLOBS),
        resident_cubes=core.residents.count(),
        resident_size=core.residents.size(),
        costs=costs(core),
    )


def checkup(core: Core) -> Checkup:
    """Check the catalog, the audit, the keys, the blobs and the index."""
    return Checkup(findings=[_catalog(core), _audit(core), _keys(core), _blobs(core), _index(core)])


def _catalog(core: Core) -> Finding:
    with core.catalog.read() as view:
        found = view.check_integrity()
    return Finding(
        check="catalog",
        ok=found == "ok",
        detail=f"{core.catalog.dialect.NAME} finds it sound" if found == "ok" else found,
        remedy="" if found == "ok" else "restore the folder from a backup",
    )


def _audit(core: Core) -> Finding:
    with core.catalog.read() as view:
        check = chain.verify(view.connection)
    detail = "; ".join(check.findings) or f"{check.head.lines} lines, each sealed by the next"
    remedy = "" if check.ok else "restore the folder from a backup; somebody wrote to it past the library"
    return Finding(check="audit", ok=check.ok, detail=detail, remedy=remedy)


def _keys(core: Core) -> Finding:
    with core.catalog.read() as view:
        record = view.embedder_record()
        lacking = keyring.count_without_keys(view.connection, record.identity) if record else 0
    detail = f"{lacking} memories lack vectors" if lacking else "every memory has its vectors"
    return Finding(check="keys", ok=not lacking, detail=detail, remedy="run reindex" if lacking else "")


def _blobs(core: Core) -> Finding:
    damaged = list(core.blobs.damaged())
    detail = f"damaged: {', '.join(damaged)}" if damaged else "every blob matches its name"
    remedy = "restore them from a backup; what is derived is made anew" if damaged else ""
    return Finding(check="blobs", ok=not damaged, detail=detail, remedy=remedy)


def _index(core: Core) -> Finding:
    with core.catalog.read() as view:
        memories, owed = view.count_indexed(), view.counts()["outbox"]
    if not core.slot.exists:
        ok = owed >= memories
        detail = f"there is none yet, {owed} changes owed"
        return Finding(check="index", ok=ok, detail=detail, remedy="" if ok else "run reindex")
    try:
        found = core.index().count()
    except BackendError as exc:
        return Finding(
            check="index", ok=False, detail=str(exc), remedy="recall goes on without it; run reindex"
        )
    ok = abs(found - memories) <= owed
    detail = f"{found} of {memories} memories, {owed} changes owed"
    return Finding(check="index", ok=ok, detail=detail, remedy="" if ok else "run reindex")


def kept_up(core: Core, *, idle: timedelta | None) -> Upkeep:
    """Expire what is overdue, then archive what rested too long, in many small transactions."""
    core.recaller.write_uses()
    expired = _all_of(core, tx_life.expire_overdue)
    if expired:
        core.derived.scrub()
    archived = _all_of(core, lambda tx: tx_life.archive_rested(tx, idle=idle)) if idle is not None else 0
    return Upkeep(expired=expired, archived=archived)


def _all_of(core: Core, batch: Callable[[Tx], int]) -> int:
    """Do batch after batch until one finds nothing; return how many memories were moved."""
    total = 0
    while True:
        with core.erasing(SYSTEM) as tx:
            done = batch(tx)
        if not done:
            return total
        total += done


def reindexed(core: Core, *, embedder: EmbedderSpec, progress: Callable[[int, int], None]) -> Reindexed:
    """Give every memory its vectors, change over, and tell a new index everything."""
    chosen = core.embedder() if embedder is None else open_embedder(embedder)
    embedded = 0
    while True:
        embedded += _embed_lacking(core, chosen, progress)
        core.rewinder.embed_former(chosen)
        if core.changed_over(chosen, embedder):
            break  # nothing was written between the last batch and the change
    indexed = 0
    of = core.indexer.owed()
    while paid := core.indexer.pay():
        indexed += paid
        progress(indexed, of)
    return Reindexed(embedded=embedded, indexed=indexed, embedder=chosen.identity)


def _embed_lacking(core: Core, embedder: Embedder, progress: Callable[[int, int], None]) -> int:
    """Write the vectors that memories lack by this embedder, batch by batch; return how many."""
    done = 0
    while True:
        with core.catalog.read() as view:
            of = done + keyring.count_without_keys(view.connection, embedder.identity)
            batch = keyring.without_keys(view.connection, embedder.identity, limit=EMBED_BATCH)
        if not batch:
            return done
        keys = keys_of([each.draft for each in batch], embedder)
        with core.catalog.write(SYSTEM) as tx:
            tx.add_vectors(list(zip(batch, keys, strict=True)))
        done += len(batch)
        progress(done, of)


def _size(path: Path) -> int:
    """Return the bytes of a file or of all files below a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for each in [path, *path.rglob("*")]:
        with suppress(FileNotFoundError):
            total += each.stat().st_size if each.is_file() else 0
    return total
