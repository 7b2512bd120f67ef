"""A store and its KV segments: what was computed of its cubes, looked after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from memos_core import kv
from memos_core.core import Core
from memos_core.cube import Principal
from memos_core.kv import Segment, Verified
from memos_core.memcube import MemCube


class SegmentVerbs:
    """The verbs of `MemOS` that look after KV segments; `Runtime.build` and every chat make them."""

    _core: Core
    principal: Principal

    def segments(self, cube: MemCube | None = None) -> Sequence[Segment]:
        """Return the stored KV segments of a cube, or of every cube that you may read, oldest first."""
        self._core.check_open()
        ids = self._readable_ids() if cube is None else [cube.id]
        return kv.listed(self._core, self.principal, ids)

    def _readable_ids(self) -> list[str]:
        with self._core.catalog.read() as view:
            return [header.id for header in view.cubes_of(self.principal)]

    def evict(self, segments: Iterable[Segment]) -> int:
        """Delete KV segments from RAM and disk; return how many. They are made anew when needed."""
        self._core.check_open()
        return kv.evicted(self._core, self.principal, list(segments))

    def pin(self, segment: Segment, *, pinned: bool = True) -> None:
        """Keep a KV segment on the disk whatever its budget says, or let it go again."""
        self._core.check_open()
        kv.pin(self._core, self.principal, segment, pinned=pinned)

    def verify_segments(
        self, segments: Iterable[Segment], *, progress: Callable[[int, int], None] | None = None
    ) -> Verified:
        """Compare the files of KV segments with their checksums; delete what is damaged.

        What is deleted is made anew when needed. `progress(done, of)` is called after each.
        """
        self._core.check_open()
        return kv.verified(self._core, self.principal, list(segments), progress or _unseen)


def _unseen(_done: int, _of: int) -> None:
    """Show nothing."""
