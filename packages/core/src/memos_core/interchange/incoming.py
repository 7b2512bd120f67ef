"""What stands in a file, memory by memory, cleaned and checked; nothing is written here."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat

from memos_core.errors import FormatError
from memos_core.interchange import lines, shards
from memos_core.interchange.archive import Archive
from memos_core.interchange.lines import Row
from memos_core.reader.drafts import message_digest
from memos_core.reader.keys import key_texts
from memos_core.redaction import Mode, Redaction
from memos_core.vault.draft import Draft, record_digest, statement_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A memory with its versions and sources. `vectors` are None where they have to be made here.

    `digest` is what the memory is known again by; `draft` is what it is keyed by.
    """

    memory: Row
    versions: list[Row]
    sources: list[Row]
    digest: str
    draft: Draft
    vectors: shards.Half | None


def incoming(archive: Archive, *, redaction: Redaction, vectors: bool) -> Iterator[Incoming]:
    """Yield what the file holds, in its order. `vectors` says whether its vectors are of any use here.

    FormatError where parts disagree with each other; SecretFound where nothing of it may be written.
    """
    given = _vectors(archive) if vectors else repeat(None)
    versions = _Following(archive, "versions", lines.to_version)
    sources = _Following(archive, "sources", lines.to_source)
    count = 0
    for number, memory in _rows(archive, "memories", lines.to_memory):
        keys = next(given, None)
        told, said = versions.of(memory["id"]), sources.of(memory["id"])
        _check_history(memory, told, number=number)
        yield _cleaned(memory, told, said, keys, redaction)
        count += 1
    versions.check_end()
    sources.check_end()
    if vectors and next(given, None) is not None:
        raise FormatError("the file has vectors of more memories than it has")
    _check_count(archive, "memories", count)


def link_rows(archive: Archive) -> Iterator[Row]:
    """Yield the links that stand in the file."""
    count = 0
    for count, row in _rows(archive, "links", lines.to_link):  # noqa: B007 - counted for what follows
        yield row
    _check_count(archive, "links", count)


def record_rows(archive: Archive) -> Iterator[Row]:
    """Yield the records that stand in the file."""
    count = 0
    for count, row in _rows(archive, "records", lines.to_record):  # noqa: B007 - as above
        yield row
    _check_count(archive, "records", count)


def _check_count(archive: Archive, kind: str, found: int) -> None:
    said = archive.manifest.counts.get(kind)
    if said != found:
        raise FormatError(f"the manifest says {said} {kind} and the file has {found}: it was put together")


def _rows(archive: Archive, kind: str, read: Callable[[Row], Row]) -> Iterator[tuple[int, Row]]:
    part = archive.manifest.part(kind)
    for number, data in enumerate(archive.lines(part), start=1):
        yield number, lines.parsed(data, read, part=part.path, number=number)


class _Following:
    """Lines of a part that follow the order of the memories."""

    def __init__(self, archive: Archive, kind: str, read: Callable[[Row], Row]) -> None:
        self._archive, self._kind = archive, kind
        self._rows = _rows(archive, kind, read)
        self._next: Row | None = None
        self._count = 0
        self._step()

    def _step(self) -> None:
        _, self._next = next(self._rows, (0, None))
        self._count += self._next is not None

    def of(self, memory_id: str) -> list[Row]:
        """Return the lines of this memory, which have to be the next ones."""
        found: list[Row] = []
        while self._next is not None and self._next["memory"] == memory_id:
            found.append(self._next)
            self._step()
        return found

    def check_end(self) -> None:
        if self._next is not None:
            raise FormatError(
                f"{self._kind}.jsonl has a line of {self._next['memory']!r}, which is no memory of the file "
                f"or stands in another order there"
            )
        _check_count(self._archive, self._kind, self._count)


def _check_history(memory: Row, versions: list[Row], *, number: int) -> None:
    """Raise unless the versions go up to the present one, which says what the memory says.

    One may be missing: it was erased with whoever had said it.
    """
    numbers = [row["version"] for row in versions]
    if numbers != sorted(set(numbers)) or not versions:
        raise FormatError(f"memories.jsonl, line {number}: its versions do not go up", line=number)
    last = versions[-1]
    if last["version"] != memory["version"] or last["text"] not in (None, memory["text"]):
        raise FormatError(
            f"memories.jsonl, line {number}: the memory is not what its last version is", line=number
        )


def _vectors(archive: Archive) -> Iterator[shards.Half]:
    """Yield the vectors of memory after memory; FormatError where a shard is not what it should be."""
    manifest = archive.manifest
    if manifest.embedder is None or manifest.dimensions is None:
        return
    for part in manifest.parts:
        if part.kind == "vectors":
            count = part.facts.get("memories")
            if type(count) is not int or not 0 <= count <= shards.PER_SHARD:
                raise FormatError(f"{part.path}: a shard holds up to {shards.PER_SHARD} memories")
            data = archive.read(part, limit=shards.SHARD_LIMIT)
            yield from shards.read(
                data, count=count, dimensions=manifest.dimensions, embedder=manifest.embedder
            )


def _cleaned(
    memory: Row, versions: list[Row], sources: list[Row], vectors: shards.Half | None, redaction: Redaction
) -> Incoming:
    """Return what may be written of a memory, with what it is known and found by."""
    for row in (*versions, *sources):
        row["text"] = memory["text"] if row["text"] is None else row["text"]
    if redaction.mode is not Mode.OFF:
        said = (memory["text"], memory["speaker"])
        for row in (memory, *versions, *sources):
            _clean(row, redaction)
        vectors = vectors if said == (memory["text"], memory["speaker"]) else None
    digest = _digest(memory)
    draft = Draft(
        text=memory["text"],
        digest=digest,
        kind=memory["kind"],
        speaker=memory["speaker"],
        event_at=memory["event_at"],
    )
    if vectors is not None and len(vectors) != len(key_texts(draft)):
        vectors = None
    for row in sources:
        row["digest"] = _source_digest(row, otherwise=digest)
    return Incoming(
        memory=memory, versions=versions, sources=sources, digest=digest, draft=draft, vectors=vectors
    )


def _clean(row: Row, redaction: Redaction) -> None:
    row["text"] = redaction.text(row["text"])
    if row.get("speaker") is not None:
        row["speaker"] = redaction.name(row["speaker"])
    if "tags" in row:
        row["kind"], row["tags"] = (
            redaction.text(row["kind"]),
            list(dict.fromkeys(map(redaction.text, row["tags"]))),
        )


def _digest(memory: Row) -> str:
    """Return what a memory is known again by; what cannot be known again gets a digest of its own."""
    match memory["by"]:
        case "statement":
            return statement_digest(memory["text"], kind=memory["kind"], at=memory["event_at"])
        case "record" if memory["name"] is not None:
            return record_digest(memory["name"])
        case "message" if memory["speaker"] is not None:
            return _message_digest(memory, memory["name"])
        case _:
            return uuid.uuid4().hex


def _source_digest(source: Row, *, otherwise: str) -> str:
    if not source.pop("said") or source["speaker"] is None:
        return otherwise
    return _message_digest(source, source["message_id"])


def _message_digest(row: Row, message_id: str | None) -> str:
    return message_digest(
        row["text"],
        session=row["session"],
        speaker=row["speaker"],
        at=row["event_at"],
        message_id=message_id,
    )
