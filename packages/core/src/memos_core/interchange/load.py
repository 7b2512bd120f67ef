"""A file becomes a cube, or part of one: looked through twice, written in one transaction."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from memos_core.core import Core
from memos_core.cube import CubeHeader, Principal
from memos_core.errors import Forbidden, FormatError, NotFound
from memos_core.governance import NEEDS
from memos_core.interchange import adapters, segments
from memos_core.interchange.archive import Archive
from memos_core.interchange.arriving import Arriving, Tally
from memos_core.interchange.fates import OnConflict
from memos_core.interchange.incoming import link_rows, record_rows
from memos_core.interchange.manifest import USUAL_BOUNDS, Bounds, Load, Manifest
from memos_core.interchange.survey import Survey, surveyed
from memos_core.redaction import Mode
from memos_core.segment import EngineIdentity
from memos_core.vault import tx_load
from memos_core.vault.tx import Tx
from memos_core.vault.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be loaded, and where to; everything is checked already.

    `name` None is the name of the cube in the file. `place` is the store that the file is from, and
    `expect` what it said of the file: name, version and digest. With `follows`, what came from that
    place before and was left as it was gives way, and what the file has no more goes.
    """

    path: Path
    name: str | None = None
    owner: Principal | str | None = None
    on_conflict: OnConflict = OnConflict.FAIL
    verify_key: str | None = None
    passphrase: str | None = None
    bounds: Bounds = USUAL_BOUNDS
    engines: Collection[EngineIdentity] = ()
    place: str | None = None
    expect: tuple[str, int, str] | None = None
    follows: bool = False


def inspected(
    path: Path,
    *,
    verify_key: str | None = None,
    passphrase: str | None = None,
    bounds: Bounds = USUAL_BOUNDS,
) -> Manifest:
    """Return what a file says about itself, once every byte of it was found to be what it says."""
    with Archive(path, bounds=bounds, passphrase=passphrase, verify_key=verify_key) as archive:
        for part in archive.manifest.parts:
            for _ in archive.chunks(part):
                pass
        return archive.manifest


def loaded(core: Core, principal: Principal, order: Order) -> Load:
    """Load a file: all of it, or nothing. Killed on its way, it leaves nothing and can be run again."""
    core.check_open()
    with Archive(
        order.path, bounds=order.bounds, passphrase=order.passphrase, verify_key=order.verify_key
    ) as archive:
        _check_expected(archive.manifest, order)
        _check_audience(archive.manifest, principal)
        with core.catalog.read() as view:
            _target(view, principal, order, archive.manifest)
        segments.check(archive, order.engines)
        adapters.check(archive, order.engines)
        cube, tally, embedded = _settled(core, principal, order, archive)
        ids = _as_they_are(core, tally)
        kept = segments.unpacked(core, principal, cube.id, archive, engines=order.engines, ids=ids)
        taught = adapters.unpacked(core, principal, cube.id, archive, engines=order.engines, ids=ids)
    return Load(
        cube=cube.name,
        cube_id=cube.id,
        owner=cube.owner,
        added=tally.added,
        replaced=tally.replaced,
        same=tally.same,
        skipped=tally.skipped,
        expired=tally.expired,
        forgotten=tally.forgotten,
        withdrawn=tally.withdrawn,
        embedded=embedded,
        links=tally.links,
        records=tally.records,
        segments=kept,
        adapters=taught,
        renamed={there: here for there, here in tally.ids.items() if there != here},
        manifest=archive.manifest,
    )


def _settled(
    core: Core, principal: Principal, order: Order, archive: Archive
) -> tuple[CubeHeader, Tally, int]:
    """Look through the file and write it, again where the store got another embedder meanwhile."""
    while True:
        with tempfile.TemporaryFile(dir=core.folder) as spool:
            survey = surveyed(core, archive, spool)
            done = _written(core, principal, order, archive, survey)
        if done is not None:
            return (*done, survey.embedded)


def _as_they_are(core: Core, tally: Tally) -> dict[str, str]:
    """Return under which id each memory is here whose words are the file's: states are made from words."""
    if core.redaction.mode is not Mode.OFF:
        return {}
    as_they_are = tally.written | tally.alike
    return {there: here for there, here in tally.ids.items() if there in as_they_are}


def _check_expected(manifest: Manifest, order: Order) -> None:
    if order.expect not in (None, (manifest.name, manifest.version, manifest.digest)):
        raise FormatError(
            f"this is {manifest.name!r}, version {manifest.version}, and not what was asked for"
        )


def _check_audience(manifest: Manifest, principal: Principal) -> None:
    audience = manifest.terms.audience
    if audience and principal.name not in audience:
        raise Forbidden(principal.name, verb="load", what=f"a file that is for {', '.join(audience)}")


def _target(view: View, principal: Principal, order: Order, manifest: Manifest) -> CubeHeader | None:
    """Return the cube to load into, entered; None where it has to be made. NotFound for another's."""
    owner, name = str(order.owner or principal), order.name or manifest.name
    header = view.find_cube(owner, name)
    if header is not None:
        try:
            return view.enter(header.id, principal, NEEDS["load"])
        except NotFound as exc:
            raise NotFound("cube", name) from exc
    if owner != principal.name:
        raise NotFound("cube", name)
    return None


def _written(
    core: Core, principal: Principal, order: Order, archive: Archive, survey: Survey
) -> tuple[CubeHeader, Tally] | None:
    """Write everything in one transaction; None where the vectors are of another embedder by now."""
    with core.erasing(principal) as tx:
        if survey.model is not None and not tx.is_embedded_by(survey.model):
            return None
        there = _target(tx, principal, order, archive.manifest)
        cube = tx.create_cube(order.name or archive.manifest.name) if there is None else there
        cube = tx.counted(cube)
        arriving = Arriving(
            tx,
            cube,
            digest=archive.manifest.digest,
            on_conflict=order.on_conflict,
            redaction=core.redaction,
            is_new=there is None,
            touched=tx_load.touched(tx, cube) if order.follows else None,
        )
        arriving.memories(survey.keyed(core, archive))
        if order.follows and order.place is not None:
            arriving.withdraw(order.place, survey.ids)
        arriving.links(link_rows(archive))
        arriving.records(record_rows(archive))
        _note(tx, cube, order, archive.manifest)
        return cube, arriving.tally


def _note(tx: Tx, cube: CubeHeader, order: Order, manifest: Manifest) -> None:
    facts = {
        "digest": manifest.digest,
        "name": manifest.name,
        "owner": manifest.owner,
        "signer": manifest.signer,
        "place": order.place,
        "version": manifest.version,
    }
    tx_load.remember_import(tx, cube, facts)
