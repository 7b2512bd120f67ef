"""What is made from memories, on disk: bytes before row, row before use, stale before gone."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakSet

from memos_core import adapter
from memos_core.cube import SYSTEM, CubeHeader
from memos_core.errors import BackendError, Closed, MemOSError, NotFound
from memos_core.segment import Origin
from memos_core.vault import artifacts, meters
from memos_core.vault.artifacts import Artifact, Made
from memos_core.vault.blobs import Blobs
from memos_core.vault.catalog import Catalog

log = logging.getLogger(__name__)

EVICTED = "evicted"  # the reason that is none of the memory's: it lacks room, or somebody wants it gone
USES_HELD = 64  # uses counted in RAM before they are written down


class Holder(Protocol):
    """Something that holds artifacts in RAM, by key."""

    def drop(self, keys: Collection[str]) -> object:
        """Let go of these at once."""
        ...

    def scrub(self) -> object:
        """Overwrite what working memory, which nobody reads any more, has left of anything."""
        ...


Seer = Callable[[], Mapping[str, float]]


class Derived:
    """The store's artifacts. Safe from several threads. After `close` every verb raises Closed.

    Whoever keeps artifacts in RAM registers and is told what has to go. Whoever foresees what is asked
    registers in `seers`: something that returns the uses a second to expect right now, by cube.

    What another process of a shared store erased has no row any more. This one compares what it was
    shown with the rows for every answer, and whenever it deletes or sweeps something, and lets go of the
    rest: of the copies in RAM, and of the files in this folder.
    """

    def __init__(self, catalog: Catalog, blobs: Blobs, *, is_shared: bool = False) -> None:
        self._catalog, self._blobs, self._is_shared = catalog, blobs, is_shared
        self._holders: WeakSet[Holder] = WeakSet()
        self._registering = threading.RLock()  # whoever is collected meanwhile may end an answer
        self.seers: list[Seer] = []
        self._uses: dict[str, tuple[int, float]] = {}
        self._counting = threading.Lock()
        self._storing = threading.Lock()  # a file without a row yet is not an orphan
        self._shown: dict[str, str] = {}  # files by key, of what somebody here may hold in RAM
        self._owed: set[str] = set()  # files that others erased, and that are still here
        self._showing = threading.Lock()
        self._closed = False

    def store(
        self,
        cube_id: str,
        *,
        key: str,
        kind: str,
        engine: str,
        data: bytes,
        facts: Mapping[str, Any],
        build_seconds: float,
        sources: Sequence[Origin],
        is_import: bool = False,
    ) -> bool:
        """Keep an artifact; return whether it was kept.

        It is not if a source changed while it was made, or if it is there already. Raises
        BackendError if the disk does not take it, NotFound if the cube is gone; then nothing is left of
        it. What it took to train an adapter is noted, kept or not, unless that was done in another store
        (`is_import`).
        """
        with self._storing:
            self._check_open()
            blob = self._blobs.put(data)
            made = Made(
                key=key,
                kind=kind,
                engine=engine,
                blob=blob,
                size=len(data),
                facts=facts,
                build_seconds=build_seconds,
                sources=sources,
            )
            kept = False
            try:
                with self._catalog.write(SYSTEM) as tx:
                    kept = artifacts.record(tx.connection, tx.header(cube_id), made, now=tx.now)
                    if kind == adapter.KIND and not is_import:
                        meters.note_training(tx.connection, build_seconds, now=tx.now)
            finally:
                if not kept and not self._is_known(blob):
                    self._blobs.delete(blob)
            return kept

    def _is_known(self, blob: str) -> bool:
        with self._catalog.read() as view:
            return blob in artifacts.blobs_in_use(view.connection)

    def servable(self, cube: CubeHeader, keys: Sequence[str]) -> dict[str, Artifact]:
        """Return by key those of the cube's artifacts that may be served."""
        with self._catalog.read() as view:
            found = artifacts.servable(view.connection, cube, keys, now=view.now)
        with self._showing:
            self._check_open()  # `close` has told the holders to let go, and will not again
            self._shown |= {key: each.blob for key, each in found.items()}
        return found

    def notice(self) -> None:
        """Let go of what others erased; in a store of one process there is nothing like that."""
        shown = self._was_shown()
        if not shown and not self._owed:
            return
        with self._catalog.read() as view:
            gone = shown.keys() - artifacts.alive(view.connection, shown)
        self._let_go({key: shown[key] for key in gone})

    def _was_shown(self) -> dict[str, str]:
        """Return, before a snapshot is opened, what others may have erased: in it all the rest has a row."""
        with self._showing:
            return dict(self._shown) if self._is_shared else {}

    def _let_go(self, gone: Mapping[str, str]) -> None:
        """Drop what others erased or evicted, from RAM and from this folder; `gone` are files by key.

        A file that a stale row still names is looked at again: whoever deletes the row may not reach it.
        """
        if gone:
            self._forget(gone)
            self._drop(gone)
            self.scrub()
        if not gone and not self._owed:
            return
        with self._storing:
            with self._catalog.read() as view:
                known = artifacts.blobs_in_use(view.connection)
            files = self._owed.union(gone.values())
            self._owed = {blob for blob in files if blob in known or not self._deleted(blob)}

    def register(self, holder: Holder) -> None:
        """Tell whoever holds artifacts in RAM what has to go, as long as it lives."""
        with self._registering:
            self._holders.add(holder)

    def _told(self) -> list[Holder]:
        with self._registering:
            return list(self._holders)

    def _drop(self, keys: Collection[str]) -> None:
        for holder in self._told():
            holder.drop(keys)

    def scrub(self) -> None:
        """Overwrite what working memory has left of words that were erased, stored or not."""
        for holder in self._told():
            holder.scrub()

    def _deleted(self, blob: str) -> bool:
        """Delete a file; return whether it is gone."""
        try:
            self._blobs.delete(blob)
        except OSError as exc:
            log.warning("a stale file was not deleted yet", extra={"blob": blob, "cause": str(exc)})
            return False
        return True

    def _forget(self, keys: Collection[str]) -> None:
        with self._showing:
            for key in keys:
                self._shown.pop(key, None)

    def path(self, artifact: Artifact) -> Path:
        """Return where an artifact's file is."""
        return self._blobs.path(artifact.blob)

    def refuse(self, keys: Collection[str], *, reason: str) -> int:
        """Never serve these again, and delete them; return how many there were."""
        with self._catalog.connection() as connection:
            marked = artifacts.outdate_keys(connection, keys, reason=reason)
        self.discard()
        return marked

    def unread(self, keys: Collection[str], cause: MemOSError) -> None:
        """Delete artifacts whose files turned out to be damaged or gone.

        A file that cannot be read now (too many are open, its owner is another) may be sound: the artifact
        stays. So it does in a shared store where there is none: it may lie in another process' folder.
        """
        if isinstance(cause, BackendError) or (self._is_shared and isinstance(cause, NotFound)):
            return
        try:
            self.refuse(keys, reason="damaged")
        except BackendError as exc:  # it is found damaged again
            log.warning("a damaged file was not deleted yet", extra={"cause": str(exc)})

    def discard(self) -> int:
        """Delete what is stale, from RAM and disk, then its rows; return how many.

        What the disk does not let go of stays owed, and is never served meanwhile.
        """
        shown = self._was_shown()
        with self._catalog.read() as view:
            gone = artifacts.stale(view.connection)
            lost = shown.keys() - artifacts.alive(view.connection, shown) - {each.key for each in gone}
        self._let_go({key: shown[key] for key in lost})
        if not gone:
            self._drop_erased_cubes()
            return 0
        keys = [each.key for each in gone]
        self._forget(keys)  # before they are dropped: whoever comes to hold one later was shown it later
        self._drop(keys)
        if any(each.stale != EVICTED for each in gone):
            self.scrub()
        deleted = [each.key for each in gone if self._deleted(each.blob)]
        try:
            with self._catalog.connection() as connection:
                artifacts.remove(connection, deleted)
            self._drop_erased_cubes()
        except BackendError as exc:  # the files are gone; that the rows are not yet does no harm
            log.warning("rows of deleted files stay for now", extra={"cause": str(exc)})
        return len(deleted)

    def _drop_erased_cubes(self) -> None:
        """Delete the rows of erased cubes, once no file is left that was made from one."""
        with self._catalog.read() as view:
            waiting = artifacts.erased_cubes(view.connection)
        if waiting:
            with self._catalog.connection() as connection:
                artifacts.drop_cubes(connection, waiting)

    def sweep(self, *, grace: float = -1.0) -> None:
        """Delete every file that no row knows, and what is stale.

        With `grace`, only files that are older than so many seconds: somebody else may be writing one.
        """
        with self._storing:
            self._check_open()
            with self._catalog.read() as view:
                known = artifacts.blobs_in_use(view.connection)
            self._blobs.sweep(known, grace=grace)
        self.discard()

    def used(self, key: str, *, seconds: float) -> None:
        """Count one use of an artifact, that spared so many seconds."""
        with self._counting:
            times, saved = self._uses.get(key, (0, 0.0))
            self._uses[key] = (times + 1, saved + seconds)
            full = sum(times for times, _ in self._uses.values()) >= USES_HELD
        if full:
            self.write_uses()

    def write_uses(self) -> None:
        """Write the uses counted so far to the rows."""
        with self._counting:
            uses, self._uses = self._uses, {}
        if not uses:
            return
        try:
            with self._catalog.connection() as connection:
                artifacts.count_uses(connection, uses, now=self._catalog.clock())
        except (BackendError, Closed) as exc:  # neither a full disk nor a closed store makes an answer fail
            log.warning("uses of artifacts were not written down", extra={"cause": str(exc)})

    def close(self) -> None:
        """Wait for what is being stored, and store nothing more: the folder may be another's from now on.

        What is held of it in RAM goes: nobody would tell the holders what was erased meanwhile.
        """
        with self._storing, self._showing:
            self._closed = True
            shown, self._shown = self._shown, {}
        self._drop(shown)
        self.scrub()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed

    def soon(self) -> Mapping[str, float] | None:
        """Return by cube the uses a second to expect right now, 0 for others; None where nobody foresees."""
        if not (seers := list(self.seers)):
            return None
        found = defaultdict[str, float](float)
        for seer in seers:
            for cube, rate in seer().items():
                found[cube] += rate
        return found

    def fit(self, kind: str, choose: Callable[[Sequence[Artifact], float], Collection[str]]) -> int:
        """Evict what `choose` picks among a tier's artifacts, at a time since 1970; return how many."""
        self.write_uses()
        now = self._catalog.clock().timestamp()
        with self._catalog.read() as view:
            keys = choose(artifacts.of_kind(view.connection, kind), now)
        return self.refuse(keys, reason=EVICTED) if keys else 0
