"""Where a command works: the open store, its cubes, a memory by the beginning of its id."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from memos_core.cli.options import moment
from memos_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from datetime import datetime

    from memos_core import MemCube, MemOS


PURPOSE: ContextVar[str] = ContextVar("PURPOSE", default="")
"""What the command is run for, as `memos --purpose WORD` says; every command opens the store for it."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the catalog and the index are that are not in the folder, and who hands out the jobs."""

    catalog: str | None = None
    index: str | None = None
    jobs: str | None = None


SERVERS: ContextVar[Servers] = ContextVar("SERVERS", default=Servers())  # noqa: B039 - a value
"""As `memos --catalog URL --index URL --jobs WORD` says; every command opens the store with them."""


class Place(NamedTuple):
    """A memory by its whole id, the cube it is in, and in which state it was looked for."""

    cube: MemCube
    id: str
    state: str | None = None


@contextmanager
def opened(
    store: Path,
    *,
    principal: str,
    make: bool = False,
    embedder: str | None = None,
    redact: str | None = None,
) -> Generator[MemOS]:
    """Open the store for the block. Only with `make` is a new one made."""
    folder = store.expanduser()
    if not make and not (folder.is_file() or (folder.is_dir() and any(folder.iterdir()))):
        raise NotFound("store", str(store))
    from memos_core import MemOS, Principal  # noqa: PLC0415 - half a second that --help need not wait for

    who = Principal(principal, purpose=PURPOSE.get())
    servers = SERVERS.get()
    with MemOS.open(
        folder,
        principal=who,
        catalog=servers.catalog,
        embedder=embedder,
        index=servers.index,
        jobs=servers.jobs,
        redaction=redact,
    ) as memos:
        yield memos


def cubes_to_read(memos: MemOS, name: str | None) -> Sequence[MemCube]:
    """Return the cube of this name, or, without a name, every cube of the principal.

    "ana/notes" is the cube "notes" of Ana's, where the principal has none that is called so.
    """
    mine = [cube for cube in memos.cubes() if cube.owner == memos.principal.name]
    if name is None:
        return mine
    named = [cube for cube in mine if cube.name == name]
    if not named and "/" in name:
        owner, _, theirs = name.partition("/")
        return [memos.cube(theirs, owner=owner)]
    if not named:
        raise NotFound("cube", name)
    return named


def past_of(cubes: Sequence[MemCube], text: str | None) -> str | datetime | None:
    """Return the state of the past that was typed: a label of the one cube's, or else a time."""
    if text is None or (len(cubes) == 1 and any(each.label == text for each in cubes[0].snapshots())):
        return text
    try:
        return moment(text, option="--at")
    except InvalidInput as exc:
        whose = cubes[0].name if len(cubes) == 1 else None
        remedy = f"the cube {whose!r} has no snapshot of this label" if whose else "name the cube with --cube"
        raise InvalidInput(f"--at {text!r} is no ISO 8601 time, and {remedy}") from exc


def find(memos: MemOS, prefix: str, *, cube: str | None, states: Sequence[str | None] = (None,)) -> Place:
    """Return the one memory whose id begins so, in the cube or in all of the principal's.

    `states` are looked through until one has it; None is whatever is in sight.
    """
    found: list[Place] = []
    for state, each in product(states, cubes_to_read(memos, cube)):
        if found and found[-1].state != state:
            break
        try:
            found.append(Place(each, each.find(prefix, state=state), state))
        except NotFound:
            continue
    if not found:
        raise NotFound("memory", prefix)
    if len(found) > 1:
        names = ", ".join(repr(place.cube.name) for place in found)
        raise InvalidInput(f"memories in {names} start with {prefix!r}: give more of the id, or --cube")
    return found[0]
