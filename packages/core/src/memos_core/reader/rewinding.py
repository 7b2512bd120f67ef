"""Going back: keys that nobody kept are made outside the transaction, then everything commits at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from memos_core.cube import SYSTEM, CubeHeader, Principal, Right
from memos_core.memory import Memory
from memos_core.protocols import Embedder
from memos_core.reader.keys import keys_of
from memos_core.timeline import At, Rollback
from memos_core.vault import former, keyring, pasts, tx_back
from memos_core.vault.catalog import Catalog
from memos_core.vault.former import Unkept
from memos_core.vault.view import View

BATCH = 256  # versions embedded at once


class Rewinder:
    """Brings former versions back. `embedder` is called when something must be embedded."""

    def __init__(self, catalog: Catalog, *, embedder: Callable[[], Embedder]) -> None:
        self._catalog, self._embedder = catalog, embedder
        self._whole: set[tuple[str, int, str]] = set()  # cube, state, model: what lacks no key any more

    def ready(self, principal: Principal, ids: Sequence[str], at: At) -> None:
        """See that a past state of these cubes can be ranked: make the keys that nobody kept.

        That is the keys of versions that an earlier release wrote over, or another embedder. They
        are kept from then on, so this embeds each once, and only what changed since.
        """
        embedder = self._embedder()
        while True:
            with self._catalog.read() as view:
                members = pasts.entered(view, principal, ids, at).members
                states = {(each.id, pasts.change_at(each), embedder.identity): each for each in members}
                fresh = [cube for state, cube in states.items() if state not in self._whole]
                batch = [each for cube in fresh for each in _lacking(view, cube, embedder.identity)]
            if not batch:
                self._whole.update(states)
                return
            self._make(batch, embedder)

    def embed_former(self, embedder: Embedder) -> None:
        """Make the keys by this embedder that earlier versions of any memory lack."""
        while True:
            with self._catalog.read() as view:
                batch = former.lacking_anywhere(view.connection, embedder.identity, limit=BATCH)
            if not batch:
                return
            self._make(batch, embedder)

    def revert(self, principal: Principal, cube_id: str, memory_id: str, version: int) -> Memory:
        """Write a new version of a memory that says what an earlier one said."""
        embedder = self._embedder()
        with self._catalog.read() as view:
            unkept = _unkept(view, view.enter(cube_id, principal, Right.WRITE), memory_id, version, embedder)
        if unkept is not None:
            self._make([unkept], embedder)
        with self._catalog.write(principal) as tx:
            cube = tx.open(cube_id)
            lacking = _unkept(tx, cube, memory_id, version, embedder)
            if lacking is None and tx.is_embedded_by(embedder.identity):
                return tx_back.revert(tx, cube, memory_id, version)
        return self.revert(principal, cube_id, memory_id, version)  # the store changed between the two looks

    def rollback(self, principal: Principal, cube_id: str, at: At) -> Rollback:
        """Give a cube the state again that it had."""
        while True:
            self.ready(principal, [cube_id], at)
            embedder = self._embedder()
            with self._catalog.write(principal) as tx:
                cube = tx.open(cube_id, Right.ADMIN)
                to = pasts.change_of(tx, cube, at)
                past = replace(cube, at=to)
                if tx.is_embedded_by(embedder.identity) and not _lacking(tx, past, embedder.identity):
                    return tx_back.rollback(tx, cube, to)

    def _make(self, batch: Sequence[Unkept], embedder: Embedder) -> None:
        keys = keys_of([each.draft for each in batch], embedder)
        with self._catalog.write(SYSTEM) as tx:
            former.write(tx.connection, zip(batch, keys, strict=True))


def _lacking(view: View, cube: CubeHeader, model: str) -> list[Unkept]:
    if cube.at is None:
        return []
    changed = keyring.changed_since(view.connection, cube, cube.at)
    return former.lacking(view, cube, model, changed, limit=BATCH)


def _unkept(view: View, cube: CubeHeader, memory_id: str, version: int, embedder: Embedder) -> Unkept | None:
    row = view.memory_row(cube, memory_id)
    then = tx_back.version_row(view, row, version)
    return former.unkept_version(view.connection, row, then, embedder.identity)
