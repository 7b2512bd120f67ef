"""Adapters in a `.memcube` file: they go along as they are, and come in where their model is served.

As with KV states, none can be checked against the text that it was made from; none is taken unless
whoever loads names the engine that it is for, and thereby says that the file is trusted.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from memos_core.adapter import KIND, AdapterHeader, Base, adapter_key, base_of, to_json
from memos_core.core import Core
from memos_core.cube import CubeHeader, Principal, Right
from memos_core.errors import BackendError, FormatError
from memos_core.interchange.archive import Archive, Packer
from memos_core.interchange.manifest import Part
from memos_core.segment import EngineIdentity, Origin
from memos_core.vault import artifacts
from memos_core.vault.artifacts import Artifact
from memos_core.vault.view import View

if TYPE_CHECKING:
    from memos_core.tiers.lora.layout import Packed

LIMIT: Final = 2 << 30  # bytes of one adapter
_LONGEST: Final = 1e9  # seconds

log = logging.getLogger(__name__)


def packed(core: Core, view: View, cube: CubeHeader, packer: Packer) -> int:
    """Put the cube's adapters into a file, those that whoever entered may know of; return how many.

    One whose file is damaged or gone is left out: it is derived.
    """
    count = 0
    for each in artifacts.listed(view.connection, cube, kind=KIND, now=view.now):
        if each.stale is not None:
            continue
        try:
            data = core.blobs.get(each.blob)
        except (FormatError, BackendError) as exc:
            log.warning("an adapter was left out of a dump", extra={"cause": str(exc)})
            continue
        with packer.part(f"lora/{each.key}.safetensors", KIND, packed=False, facts=_facts(each)) as add:
            add(data)
        count += 1
    return count


def _facts(artifact: Artifact) -> dict[str, Any]:
    header = artifact.facts["header"]
    return {"key": artifact.key, "base": header["base"], "build_seconds": artifact.build_seconds}


def check(archive: Archive, engines: Collection[EngineIdentity]) -> None:
    """Raise FormatError unless every adapter for these engines is sound and as the manifest says."""
    for part in _of(archive, engines):
        _read(archive, part)
        _seconds(part)


def _of(archive: Archive, engines: Collection[EngineIdentity]) -> list[Part]:
    wanted = [base_of(engine) for engine in engines]
    return [part for part in archive.manifest.parts if part.kind == KIND and _base(part) in wanted]


def _base(part: Part) -> Base | None:
    try:
        return Base(**part.facts["base"])
    except (KeyError, TypeError):
        return None


def _read(archive: Archive, part: Part) -> Packed:
    from memos_core.tiers.lora import layout  # noqa: PLC0415 - an extra

    found = layout.unpack(archive.read(part, limit=LIMIT))
    if (found.header.key, found.header.base) != (part.facts.get("key"), _base(part)):
        raise FormatError(f"{part.path} is another adapter than the manifest says")
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
    """Keep the adapters for these engines all of whose memories came in as they are; return how many.

    `ids` tells under which id each memory of the file is here. An adapter's key names the cube and
    the memories, so each is named anew.
    """
    from memos_core.tiers.lora import layout  # noqa: PLC0415 - an extra

    parts = _of(archive, engines)
    if not parts:
        return 0
    with core.catalog.read() as view:
        cube = view.enter(cube_id, principal, Right.WRITE)
    kept = 0
    for part in parts:
        found = _read(archive, part)
        header = _here(found.header, cube, ids)
        if header is None:
            continue
        try:
            kept += core.derived.store(
                cube.id,
                key=header.key,
                kind=KIND,
                engine=header.base.weights,
                data=layout.pack(found.weights, header),
                facts={"header": json.loads(to_json(header))},
                build_seconds=_seconds(part),
                sources=header.sources,
                is_import=True,
            )
        except BackendError as exc:  # it is derived: the cube is whole without it
            log.warning("an adapter was not stored", extra={"cause": str(exc)})
            break
    return kept


def _here(old: AdapterHeader, cube: CubeHeader, ids: Mapping[str, str]) -> AdapterHeader | None:
    """Return the header under which an adapter may be kept here; None where a source did not come in."""
    if not old.sources or not all(each.memory_id in ids for each in old.sources):
        return None
    sources = tuple(Origin(ids[each.memory_id], each.version) for each in old.sources)
    key = adapter_key(base=old.base, cube=cube.id, sources=sources, syllabus=old.syllabus, recipe=old.recipe)
    return replace(old, key=key, cube=cube.id, sources=sources)


def _seconds(part: Part) -> float:
    value = part.facts.get("build_seconds", 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LONGEST:
        raise FormatError(f"{part.path} was made in {value!r} seconds, says the manifest")
    return float(value)
