"""KV states in a `.memcube` file. They go along as they are, and come in where they can be of use.

A state cannot be checked against the text that it was made from. So none is taken unless whoever
loads names the engines that it is for, and thereby says that the file is trusted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any, Final

from memos_core.activation.keeper import KIND
from memos_core.core import Core
from memos_core.cube import CubeHeader, Principal, Right
from memos_core.errors import FormatError
from memos_core.governance import access_group
from memos_core.interchange.archive import Archive, Packer
from memos_core.interchange.manifest import Part
from memos_core.memory import checked_within
from memos_core.segment import EngineIdentity, Origin, SegmentHeader, segment_header
from memos_core.tiers.kv import container
from memos_core.vault import artifacts
from memos_core.vault.artifacts import Artifact
from memos_core.vault.view import View

SEGMENT_LIMIT: Final = 16 << 30  # bytes
_CHUNK: Final = 1 << 20


def packed(core: Core, view: View, cube: CubeHeader, packer: Packer) -> int:
    """Put the cube's states into a file, those that whoever entered may know of; return how many.

    One whose file is damaged or gone is left out: it is derived.
    """
    count = 0
    for each in artifacts.listed(view.connection, cube, kind=KIND):
        if each.stale is not None or not _is_sound(core, each):
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
    wanted = {engine.digest for engine in engines}
    parts = [p for p in archive.manifest.parts if p.kind == KIND and p.facts.get("engine") in wanted]
    if not parts:
        return 0
    with core.catalog.read() as view:
        cube = view.enter(cube_id, principal, Right.WRITE)
    renaming = _Renaming(archive, cube, principal, ids)
    kept = 0
    for part in sorted(parts, key=lambda part: renaming.header(part).start):
        header = renaming.here(part)
        if header is None:
            continue
        data = container.renamed(archive.read(part, limit=SEGMENT_LIMIT), header)
        kept += core.derived.store(
            cube.id,
            key=header.key,
            kind=KIND,
            engine=header.identity.digest,
            data=data,
            facts={
                "parent": header.parent,
                "start": header.start,
                "tokens": len(header.ids),
                "kind": header.kind,
                "form": header.form,
                "identity": asdict(header.identity),
            },
            build_seconds=_seconds(part),
            sources=header.sources,
        )
    return kept


class _Renaming:
    """Headers of the file's states as they have to be in this cube."""

    def __init__(
        self, archive: Archive, cube: CubeHeader, principal: Principal, ids: Mapping[str, str]
    ) -> None:
        self._archive, self._ids = archive, ids
        manifest = archive.manifest
        there = CubeHeader(
            id=manifest.cube,
            name=manifest.name,
            owner=manifest.owner,
            created_at=manifest.made_at,
            change=0,
        )
        self._open_there = access_group(there, ())
        self._open, self._private = access_group(cube, ()), access_group(cube, [principal.name])
        self._headers: dict[str, SegmentHeader] = {}
        self._keys = {"": ""}

    def header(self, part: Part) -> SegmentHeader:
        """Return the header that a state's file carries."""
        if part.path not in self._headers:
            data = self._archive.read(part, limit=SEGMENT_LIMIT)
            found = container.header_in(data)
            if (found.key, found.identity.digest) != (part.facts.get("key"), part.facts.get("engine")):
                raise FormatError(f"{part.path} is another state than the manifest says")
            self._headers[part.path] = found
        return self._headers[part.path]

    def here(self, part: Part) -> SegmentHeader | None:
        """Return the header under which a state may be kept here; None where it is of no use."""
        old = self.header(part)
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
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        checked_within(value, 0, 10**9, what="build_seconds")
    return float(value)
