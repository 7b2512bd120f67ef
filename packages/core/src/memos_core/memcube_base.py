"""What every face of a cube stands on: the open store, the cube's header, and who is asking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memos_core.cube import CubeHeader, Principal

if TYPE_CHECKING:
    from memos_core.core import Core


class Handle:
    """A cube as one principal holds it. The faces of `MemCube` are made of it."""

    def __init__(self, core: Core, header: CubeHeader, principal: Principal) -> None:
        self._core, self._id, self._principal = core, header.id, principal
        self._header = header

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, owner={self.owner!r})"

    @property
    def id(self) -> str:
        return self._id

    @property
    def name(self) -> str:
        return self._header.name

    @property
    def owner(self) -> str:
        return self._header.owner

    @property
    def stamp(self) -> str:
        """Names what the principal saw in the cube when this handle was made.

        Equal stamps mean equal contents: what was recalled under one may be shown again under the
        other, unless a memory's time has come to its end in between.
        """
        return _stamp(self._header)


def _stamp(cube: CubeHeader) -> str:
    """Return the stamp; what a fork shares changes with the cube that it was made from."""
    own = f"{cube.id}:{cube.change}:{cube.access.audience}"
    return own if cube.base is None else f"{own}|{_stamp(cube.base.cube)}"
