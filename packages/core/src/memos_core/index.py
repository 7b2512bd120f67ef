"""Which vector index a store uses, opened when it is first needed."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from memos_core.protocols import TextIndex

if TYPE_CHECKING:
    from memos_core.tiers.text.milvus import MilvusIndex


def strings_in(path: Path) -> Iterator[str]:
    """Yield the strings of a file of Milvus Lite's, whose bytes are compressed; of another file nothing."""
    if path.suffix not in (".parquet", ".arrow"):
        return
    from memos_core.tiers.text._milvus_lite import strings_in as read  # noqa: PLC0415 - pyarrow, 0.3 s

    yield from read(path)


class IndexSlot:
    """Milvus Lite in `folder`, the Milvus server at a URI, or an index that was handed over.

    `store` tells this store's collections on a server from those of others. Safe from several threads.
    """

    def __init__(self, given: str | TextIndex | None, *, folder: Path, store: str) -> None:
        self._given, self._folder, self._store = given, folder, store
        self._open: MilvusIndex | None = None
        self._opening = threading.Lock()

    @property
    def exists(self) -> bool:
        """Whether there is an index to ask: one in the folder, or one that was named."""
        return self._given is not None or self._folder.exists()

    def get(self, identity: str, dimensions: int) -> TextIndex:
        """Return the index for vectors by this embedder; the first call opens it (two seconds)."""
        if self._given is not None and not isinstance(self._given, str):
            return self._given
        with self._opening:
            return self._milvus(identity, dimensions)

    def begin_anew(self, identity: str, dimensions: int) -> None:
        """Delete all that the index holds of this embedder's; whoever asks next opens an empty one.

        An index that was handed over is left to who handed it over.
        """
        if self._given is not None and not isinstance(self._given, str):
            return
        with self._opening:
            if self._given is not None:
                self._milvus(identity, dimensions).drop()
            self._release()
            if self._given is None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def scrub(self, identity: str, dimensions: int) -> None:
        """Take what the index deleted out of its files; one that was handed over sees to its own."""
        if not self.exists or (self._given is not None and not isinstance(self._given, str)):
            return
        with self._opening:
            self._milvus(identity, dimensions).scrub()

    def close(self) -> None:
        """Release the index, if it was opened."""
        if self._given is not None and not isinstance(self._given, str):
            self._given.close()
        with self._opening:
            self._release()

    def _milvus(self, identity: str, dimensions: int) -> MilvusIndex:
        from memos_core.tiers.text.milvus import MilvusIndex  # noqa: PLC0415 - brings pymilvus, 1.7 s

        if self._open is None:
            self._open = MilvusIndex(
                str(self._given or self._folder),
                embedder_identity=identity,
                dimensions=dimensions,
                store=self._store,
            )
        return self._open

    def _release(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
