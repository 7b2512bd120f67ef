"""KV states in a `.memcube` file. They go along as they are, and come in where they can be of use.

A state cannot be checked against the text that it was made from. So none is taken unless whoever
loads names the engines that it is for, and thereby says that the file is trusted.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping
from typing import Any, Final

from memos_core.activation.keeper import KIND, facts_of
from memos_core.core import Core
from memos_core.cube import CubeHeader, Principal, Right
from memos_core.errors import BackendError, FormatError
from memos_core.governance import access_group
from memos_core.interchange.archive import Archive, Packer
from memos_core.interchange.manifest import Manifest, Part
from memos_core.segment import EngineIdentity, Origin, SegmentHeader, segment_header
from memos_core.tiers.kv import container
from memos_core.vault import artifacts
from memos_core.vault.artifacts import GIVER, Artifact
from memos_core.vault.view import View

SEGMENT_LIMIT: Final = 16 << 30  # bytes
_CHUNK: Final = 1 << 20
_LONGEST: Final = 1e9  # seconds

log = logging.getLogger(__name__)


def packed(core: Core, view: View, cube: CubeHeader, packer: Packer) -> int:
    """Put the cube's states into a file, those that whoever entered may know of; return how many.

    One whose file is damaged or gone is left out: it is derived. So is one with a system text in it,
    which is nothing of the cube's.
    """
    count = 0
    for each in artifacts.listed(view.connection, cube, kind=KIND, now=view.now):
        if each.stale is not None or GIVER in each.facts or not _is_sound(core, each):
            continue
        path = f"kv/{each.key}.safetensors"
        with (
            packer.part(path, KIND, packed=False, facts=_facts(each)) as add,
            core.derived.path(each).open("rb") as file,
        ):
            while data := file.read(_CHUNK):
                add(data)
        count += 1
    return count


def _is_sound(core: Core, artifact: Artifact) -> bool:
    digest = hashlib.sha256()
    try:
        with core.derived.path(artifact).open("rb") as file:
            while data := file.read(_CHUNK):
                digest.update(data)
    except FileNotFoundError:
        return False
    return digest.hexdigest() == artifact.blob


def _facts(artifact: Artifact) -> dict[str, Any]:
    return {
        "key": artifact.key,
        "engine": artifact.engine,
        "identity": artifact.facts["identity"],
        "build_seconds": artifact.build_seconds,
    }


def check(archive: Archive, engines: Collection[EngineIdentity]) -> None:
    """Raise FormatError unless every state of these engines is sound and the one that the manifest names."""
    for part in _of(archive, engines):
        _header(archive, part)
        _seconds(part)


def _of(archive: Archive, engines: Collection[EngineIdentity]) -> list[Part]:
    wanted = {engine.digest for engine in engines}
    return [p for p in archive.manifest.parts if p.kind == KIND and p.facts.get("engine") in wanted]


def _header(archive: Archive, part: Part) -> SegmentHeader:
    """Return the header that a state's file carries."""
    found = container.header_in(archive.read(part, limit=SEGMENT_LIMIT))
    if (found.key, found.identity.digest) != (part.facts.get("key"), part.facts.get("engine")):
        raise FormatError(f"{part.path} is another state than the manifest says")
    return found


def unpacked(
    core: Core,
    principal: Principal,
    cube_id: str,
    archive: Archive,
    *,
    engines: Collection[EngineIdentity],
    ids: Mapping[str, str],
) -> int:
    """Keep the states of these engines whose memories came in as they are; return how many were kept.

    `ids` tells under which id each memory of the file is here. A state's key names the cube and
    who may read it, so each is named anew.
    """
    headers = {part.path: (_header(archive, part), part) for part in _of(archive, engines)}
    if not headers:
        return 0
    with core.catalog.read() as view:
        cube = view.enter(cube_id, principal, Right.WRITE)
    renaming = _Renaming(archive.manifest, cube, principal, ids)
    kept = 0
    for old, part in sorted(headers.values(), key=lambda each: each[0].start):
        header = renaming.here(old)
        if header is None:
            continue
        data = container.renamed(archive.read(part, limit=SEGMENT_LIMIT), header)
        try:
            kept += _stored(core, cube, header, data, seconds=_seconds(part))
        except BackendError as exc:  # it is derived: the cube is whole without it
            log.warning("a KV segment was not stored", extra={"cause": str(exc)})
            break
    return kept


def _stored(core: Core, cube: CubeHeader, header: SegmentHeader, data: bytes, *, seconds: float) -> bool:
    return core.derived.store(
        cube.id,
        key=header.key,
        kind=KIND,
        engine=header.identity.digest,
        data=data,
        facts=facts_of(header),
        build_seconds=seconds,
        sources=header.sources,
    )


class _Renaming:
    """Headers of the file's states as they have to be in this cube."""

    def __init__(
        self, manifest: Manifest, cube: CubeHeader, principal: Principal, ids: Mapping[str, str]
    ) -> None:
        self._ids = ids
        there = CubeHeader(
            id=manifest.cube,
            name=manifest.name,
            owner=manifest.owner,
            created_at=manifest.made_at,
            change=0,
        )
        self._open_there = access_group(there, ())
        self._open, self._private = access_group(cube, ()), access_group(cube, [principal.name])
        self._keys = {"": ""}

    def here(self, old: SegmentHeader) -> SegmentHeader | None:
        """Return the header under which a state may be kept here; None where it is of no use."""
        if old.parent not in self._keys or not all(each.memory_id in self._ids for each in old.sources):
            return None
        new = segment_header(
            old.identity,
            salt=self._open if old.salt == self._open_there else self._private,
            parent=self._keys[old.parent],
            start=old.start,
            ids=old.ids,
            sources=[Origin(self._ids[each.memory_id], each.version) for each in old.sources],
            kind=old.kind,
            form=old.form,
        )
        self._keys[old.key] = new.key
        return new


def _seconds(part: Part) -> float:
    value = part.facts.get("build_seconds", 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LONGEST:
        raise FormatError(f"{part.path} was made in {value!r} seconds, says the manifest")
    return float(value)
