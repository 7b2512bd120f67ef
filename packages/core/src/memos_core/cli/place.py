"""Where a command works: the open store, its cubes, a memory by the beginning of its id."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from memos_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from memos_core import MemCube, MemOS


class Place(NamedTuple):
    """A memory by its whole id, and the cube it is in."""

    cube: MemCube
    id: str


@contextmanager
def opened(
    store: Path, *, principal: str, make: bool = False, embedder: str | None = None
) -> Generator[MemOS]:
    """Open the store for the block. Only with `make` is a new one made."""
    folder = store.expanduser()
    if not make and not (folder.is_file() or (folder.is_dir() and any(folder.iterdir()))):
        raise NotFound("store", str(store))
    from memos_core import MemOS  # noqa: PLC0415 - half a second that --help need not wait for

    with MemOS.open(folder, principal=principal, embedder=embedder) as memos:
        yield memos


def cubes_to_read(memos: MemOS, name: str | None) -> Sequence[MemCube]:
    """Return the cube of this name, or, without a name, every cube of the principal."""
    mine = [cube for cube in memos.cubes() if cube.owner == memos.principal.name]
    if name is None:
        return mine
    named = [cube for cube in mine if cube.name == name]
    if not named:
        raise NotFound("cube", name)
    return named


def find(memos: MemOS, prefix: str, *, cube: str | None) -> Place:
    """Return the one memory whose id begins so, in the cube or in all of the principal's."""
    found: list[Place] = []
    for each in cubes_to_read(memos, cube):
        try:
            found.append(Place(each, each.find(prefix)))
        except NotFound:
            continue
    if not found:
        raise NotFound("memory", prefix)
    if len(found) > 1:
        names = ", ".join(repr(place.cube.name) for place in found)
        raise InvalidInput(f"memories in {names} start with {prefix!r}: give more of the id, or --cube")
    return found[0]
