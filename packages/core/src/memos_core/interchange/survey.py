"""The first look at a file: all of it is read and checked, and what lacks vectors gets them."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Final

import numpy as np

from memos_core.core import Core
from memos_core.errors import FormatError
from memos_core.interchange.archive import Archive
from memos_core.interchange.incoming import Incoming, incoming, link_rows, record_rows
from memos_core.protocols import Embedder
from memos_core.reader.keys import keys_of, terms_of
from memos_core.vault.draft import Keys

log = logging.getLogger(__name__)

_BATCH: Final = 256  # memories embedded at once
_SAMPLE: Final = 16  # memories whose vectors are made here, too, and compared
_EVERY: Final = 509
_ALIKE: Final = 0.98  # cosine of what equal texts give on two machines, and more


@dataclass(slots=True, kw_only=True)
class Survey:
    """What the first look found: the ids, and the vectors that were made, in the order of the memories.

    `spool` is a file without a name: it goes with the process. `made` has the number of vectors of each
    memory that got some here, 0 for the others.
    """

    model: str | None  # None for a file without memories
    dimensions: int
    theirs: bool  # whether the file's vectors are used
    spool: IO[bytes]
    made: array[int] = field(default_factory=lambda: array("I"))
    ids: set[str] = field(default_factory=set)

    @property
    def embedded(self) -> int:
        """How many memories got their vectors here."""
        return sum(count > 0 for count in self.made)

    def keyed(self, core: Core, archive: Archive) -> Iterator[tuple[Incoming, Keys]]:
        """Yield what the file holds once more, with its keys."""
        self.spool.seek(0)
        counts = iter(self.made)
        for each in incoming(archive, redaction=core.redaction, vectors=self.theirs):
            count = next(counts, None)
            if count is None or (count == 0) == (each.vectors is None):
                raise FormatError("the file was changed while it was loaded: load it again")
            vectors = each.vectors
            if vectors is None:
                data = self.spool.read(count * self.dimensions * 2)
                vectors = np.frombuffer(data, np.float16).reshape(count, self.dimensions)
            yield (
                each,
                Keys(terms=terms_of(each.draft), vectors=vectors.astype(np.float32), model=str(self.model)),
            )


def surveyed(core: Core, archive: Archive, spool: IO[bytes]) -> Survey:
    """Read and check the whole file, and embed what has to be; vectors that are made go to `spool`."""
    manifest = archive.manifest
    if not manifest.counts.get("memories"):
        survey = Survey(model=None, dimensions=0, theirs=False, spool=spool)
        _take(core, archive, survey, embedder=None)
        return survey
    embedder = core.embedder()
    model = (embedder.identity, embedder.dimensions)
    theirs = model == (manifest.embedder, manifest.dimensions)
    survey = Survey(model=model[0], dimensions=model[1], theirs=theirs, spool=spool)
    if not _take(core, archive, survey, embedder=embedder):
        log.warning("vectors are not those of their texts and are made anew", extra={"file": manifest.name})
        spool.seek(0)
        spool.truncate()
        survey = Survey(model=model[0], dimensions=model[1], theirs=False, spool=spool)
        _take(core, archive, survey, embedder=embedder)
    return survey


def _take(core: Core, archive: Archive, survey: Survey, *, embedder: Embedder | None) -> bool:
    """Fill in the survey; return whether the file's vectors, if it has any, are those of its texts."""
    lacking: list[tuple[int, Incoming]] = []
    sample: list[Incoming] = []
    for number, each in enumerate(incoming(archive, redaction=core.redaction, vectors=survey.theirs)):
        if each.memory["id"] in survey.ids:
            raise FormatError(f"the file has two memories {each.memory['id']!r}")
        survey.ids.add(each.memory["id"])
        survey.made.append(0)
        if each.vectors is None:
            lacking.append((number, each))
        elif number < _SAMPLE // 2 or (number % _EVERY == 0 and len(sample) < _SAMPLE):
            sample.append(each)
        if len(lacking) == _BATCH:
            _embed(lacking, survey, embedder)
            lacking = []
    _embed(lacking, survey, embedder)
    _check_links(archive, survey.ids)
    _check_records(archive, survey.ids)
    _check_rest(archive)
    return embedder is None or _is_honest(sample, embedder)


def _embed(lacking: list[tuple[int, Incoming]], survey: Survey, embedder: Embedder | None) -> None:
    """Make these memories' vectors; without an embedder there are none to make."""
    if embedder is None or not lacking:
        return
    made = keys_of([each.draft for _, each in lacking], embedder)
    for (number, _), keys in zip(lacking, made, strict=True):
        survey.spool.write(keys.packed())
        survey.made[number] = len(keys.vectors)


def _is_honest(sample: list[Incoming], embedder: Embedder) -> bool:
    """Return whether these memories' vectors are what their texts give here."""
    if not sample:
        return True
    made = keys_of([each.draft for each in sample], embedder)
    return all(
        bool((np.sum(keys.vectors * each.vectors.astype(np.float32), axis=1) >= _ALIKE).all())
        for each, keys in zip(sample, made, strict=True)
        if each.vectors is not None
    )


def _check_links(archive: Archive, ids: set[str]) -> None:
    """Raise unless each link joins two memories of the file, once, and successors make no circle."""
    seen: set[tuple[str, str, str]] = set()
    ways: dict[str, dict[str, list[str]]] = {"supersedes": {}, "derived_from": {}}
    for link in link_rows(archive):
        edge = (link["source"], link["relation"], link["target"])
        if edge in seen or not {link["source"], link["target"]} <= ids:
            raise FormatError(f"links.jsonl has a link {edge!r} twice, or of no memory of the file")
        seen.add(edge)
        if link["relation"] in ways:
            ways[link["relation"]].setdefault(link["source"], []).append(link["target"])
    for relation, way in ways.items():
        if _has_circle(way):
            raise FormatError(f"links.jsonl has memories that go in a circle by {relation!r}")


def _has_circle(edges: dict[str, list[str]]) -> bool:
    """Return whether some way along the edges comes back to where it began."""
    waiting = dict.fromkeys(edges, 0) | {end: 0 for ends in edges.values() for end in ends}
    for ends in edges.values():
        for end in ends:
            waiting[end] += 1
    free = [node for node, count in waiting.items() if count == 0]
    passed = 0
    while free:
        passed += 1
        for end in edges.get(free.pop(), ()):
            waiting[end] -= 1
            if waiting[end] == 0:
                free.append(end)
    return passed < len(waiting)


def _check_records(archive: Archive, ids: set[str]) -> None:
    keys: set[str] = set()
    behind: set[str] = set()
    for row in record_rows(archive):
        memory = row["memory"]
        if row["key"] in keys or memory in behind or (memory is not None and memory not in ids):
            raise FormatError(
                f"records.jsonl has the key {row['key']!r} twice, or a memory that is not its own"
            )
        keys.add(row["key"])
        behind |= {memory} - {None}


def _check_rest(archive: Archive) -> None:
    """Raise unless every other part is what the manifest says; what is in it, this reader may not know."""
    known = {"memories", "versions", "sources", "links", "records"}
    for part in archive.manifest.parts:
        if part.kind not in known:
            for _ in archive.chunks(part):
                pass
