"""What a memory stands on: a store as one principal sees it, and the cubes of it that were opened."""

from __future__ import annotations

from autogen_memos.waiting import awaited
from memos_core import Closed, MemCube, MemOS


class Standing:
    """The store of one memory object. `lent` is a share in it that is to be given back."""

    def __init__(self, memos: MemOS) -> None:
        self.memos = memos
        self.lent: MemOS | None = None
        self._cubes: dict[tuple[str, str | None], MemCube] = {}
        self._ended = False

    def cube(self, name: str, owner: str | None = None) -> MemCube:
        """Return a cube, one's own or somebody else's; Closed after `end`."""
        if self._ended:
            raise Closed
        if (name, owner) not in self._cubes:
            self._cubes[name, owner] = self.memos.cube(name, owner=owner)
        return self._cubes[name, owner]

    async def end(self) -> None:
        """Refuse every cube from now on, and give the share back. Twice is no error."""
        self._ended = True
        lent, self.lent = self.lent, None
        if lent is not None:
            await awaited(None, lent.close)
