"""A cube becomes a file: one snapshot of what its principal may see, written beside and renamed."""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import Row

from memos_core.core import Core
from memos_core.cube import CubeHeader, Principal, Right
from memos_core.errors import BackendError, InvalidInput
from memos_core.interchange import adapters, lines, segments, shards
from memos_core.interchange.archive import Packer
from memos_core.interchange.manifest import KINDS, NO_TERMS, Dump, Manifest, Terms
from memos_core.interchange.sealing import SealingWriter
from memos_core.interchange.signing import SigningKey
from memos_core.reader.drafts import message_digest
from memos_core.vault import outgoing
from memos_core.vault.draft import record_digest, statement_digest
from memos_core.vault.view import View

MAKER: Final = "memos-suite-core"
_PART: Final = re.compile(r"\..+\.(\d+)-[0-9a-f]{8}\.part")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How a file is wanted; everything is checked already."""

    path: Path
    name: str | None = None  # None for the cube's own
    sign: SigningKey | None = None
    passphrase: str | None = None
    vectors: bool = True
    segments: bool = True
    adapters: bool = True
    terms: Terms = NO_TERMS
    version: int | None = None
    overwrite: bool = False
    right: Right = Right.READ
    verb: str = "dump"


def dumped(core: Core, principal: Principal, cube_id: str, wish: Wish) -> Dump:
    """Write the file and its line in the audit; return what was written.

    The line comes before the file has its name: a file that is there was noted.
    """
    core.check_open()
    core.recaller.write_uses()
    core.derived.write_uses()
    with _beside(wish) as (file, temporary):
        with core.reading(principal, cube_id, wish.right) as (view, cube):
            manifest = _written(core, view, cube, wish, file)
        file.flush()
        os.fsync(file.fileno())
        size = temporary.stat().st_size
        with core.catalog.write(principal) as tx:
            tx._note(tx.enter(cube_id, principal, wish.right), wish.verb, detail=manifest.digest)
    return Dump(path=wish.path, size=size, manifest=manifest)


@contextmanager
def _beside(wish: Wish) -> Generator[tuple[IO[bytes], Path]]:
    """Open a file beside the wanted one for the block, and give it its name at the end."""
    target = wish.path
    if target.exists() and (not wish.overwrite or not target.is_file()):
        raise InvalidInput(f"{target} exists: choose another name, or pass overwrite=True for a file")
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part")
    try:
        _sweep(target)
        with ExitStack() as undo:
            undo.callback(temporary.unlink, missing_ok=True)
            with os.fdopen(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                yield file, temporary
            temporary.replace(target)
            undo.pop_all()
    except OSError as exc:
        raise BackendError(
            f"{target} was not written ({exc.strerror}): check the folder and its free space"
        ) from exc


def _sweep(target: Path) -> None:
    """Delete what processes that are gone left half-written of the same file."""
    for path in target.parent.glob(".*.part"):
        found = _PART.fullmatch(path.name)
        if found and path.name.startswith(f".{target.name}.") and not _lives(int(found[1])):
            path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
    return True


def _written(core: Core, view: View, cube: CubeHeader, wish: Wish, file: IO[bytes]) -> Manifest:
    """Write every part, the manifest and the signature; return the manifest."""
    with ExitStack() as closing:
        out: Any = file
        if wish.passphrase is not None:
            out = closing.enter_context(SealingWriter(file, passphrase=wish.passphrase))
        packer = Packer(out)
        counts = {kind: _lines(packer, kind, _LINES[kind](view, cube)) for kind in KINDS}
        record = view.embedder_record() if wish.vectors and counts["memories"] else None
        if record is not None:
            _vectors(packer, view, cube, model=record.identity, dimensions=record.dimensions)
        counts["segments"] = segments.packed(core, view, cube, packer) if wish.segments else 0
        if wish.adapters and (taught := adapters.packed(core, view, cube, packer)):
            counts["adapters"] = taught
        manifest = Manifest(
            name=wish.name or cube.name,
            cube=cube.id,
            owner=cube.owner,
            made_at=view.now,
            made_by=MAKER,
            embedder=record.identity if record else None,
            dimensions=record.dimensions if record else None,
            counts=counts,
            parts=packer.parts,
            terms=wish.terms,
            version=wish.version,
            signer=wish.sign.public if wish.sign else None,
        )
        data = packer.finish(manifest, sign=wish.sign)
        return _named(manifest, hashlib.sha256(data).hexdigest())


def _named(manifest: Manifest, digest: str) -> Manifest:
    fields = {name: getattr(manifest, name) for name in manifest.__slots__}
    return Manifest(**{**fields, "digest": digest})


def _lines(packer: Packer, kind: str, made: Iterator[bytes]) -> int:
    count = 0
    with packer.part(f"{kind}.jsonl", kind) as add:
        while some := list(islice(made, 500)):
            add(b"".join(some))
            count += len(some)
    return count


def _memories(view: View, cube: CubeHeader) -> Iterator[bytes]:
    for row in outgoing.memory_rows(view, cube):
        by, name = known_by(row)
        yield lines.of_memory(row._asdict(), by=by, name=name)


def known_by(row: Row[Any]) -> tuple[str | None, str | None]:
    """Return by what a memory is known again, and the name of the message or record that it is."""
    if row.digest == statement_digest(row.text, kind=row.kind, at=row.event_at):
        return "statement", None
    if row.key is not None and row.digest == record_digest(row.key):
        return "record", row.key
    return ("message", row.message_id) if _is_message(row) else (None, None)


def _is_message(row: Row[Any]) -> bool:
    said = message_digest(
        row.text,
        session=row.session,
        speaker=row.speaker or "",
        at=row.event_at,
        message_id=row.message_id,
    )
    return bool(row.speaker) and row.digest == said


def _versions(view: View, cube: CubeHeader) -> Iterator[bytes]:
    for row in outgoing.version_rows(view, cube):
        yield lines.of_version(row._asdict(), memory=row.memory_id, present=row.present)


def _sources(view: View, cube: CubeHeader) -> Iterator[bytes]:
    for row in outgoing.source_rows(view, cube):
        yield lines.of_source(row._asdict(), memory=row.of, present=row.present, said=_is_message(row))


def _links(view: View, cube: CubeHeader) -> Iterator[bytes]:
    return (lines.of_link(row._asdict()) for row in outgoing.link_rows(view, cube))


def _records(view: View, cube: CubeHeader) -> Iterator[bytes]:
    return (lines.of_record(row._asdict()) for row in outgoing.record_rows(view, cube))


_LINES: Final[dict[str, Callable[[View, CubeHeader], Iterator[bytes]]]] = {
    "memories": _memories,
    "versions": _versions,
    "sources": _sources,
    "links": _links,
    "records": _records,
}


def _vectors(packer: Packer, view: View, cube: CubeHeader, *, model: str, dimensions: int) -> None:
    rows = outgoing.vector_rows(view, cube, model)
    number = 0
    while some := list(islice(rows, shards.PER_SHARD)):
        keys = [row.key_count or 0 for row in some]
        data = b"".join(row.data or b"" for row in some)
        with packer.part(
            f"vectors/{number:05}.safetensors", "vectors", packed=False, facts={"memories": len(some)}
        ) as add:
            add(shards.written(keys, data, dimensions=dimensions, embedder=model))
        number += 1
