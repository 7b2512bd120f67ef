"""The commands of a memory's life: activate, archive, restore, freeze, unfreeze, copy; and upkeep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memos_core.cli import options
from memos_core.cli.incoming import text_of
from memos_core.cli.options import DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import emit, memory_json, plain, screen, spinner
from memos_core.cli.place import Place, find, opened

if TYPE_CHECKING:
    from memos_core import Memory


def activate(
    id: options.Id,  # noqa: A002 - the argument's word
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Mark a memory as in use, as its first recall does."""
    _step(id, lambda place: place.cube.activate(place.id), cube, store, principal, as_json=as_json)


def archive(
    id: options.Id,  # noqa: A002 - the argument's word
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Put a memory away; nobody finds it until it is restored. `list --state archived` shows it."""
    _step(id, lambda place: place.cube.archive(place.id), cube, store, principal, as_json=as_json)


def restore(
    id: options.Id,  # noqa: A002 - the argument's word
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Bring an archived memory back."""
    _step(id, lambda place: place.cube.restore(place.id), cube, store, principal, as_json=as_json)


def freeze(
    id: options.Id,  # noqa: A002 - the argument's word
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Keep a memory as it is: it can be read and copied, not written, forgotten or expired."""
    _step(id, lambda place: place.cube.freeze(place.id), cube, store, principal, as_json=as_json)


def unfreeze(
    id: options.Id,  # noqa: A002 - the argument's word
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Let a frozen memory be written again."""
    _step(id, lambda place: place.cube.unfreeze(place.id), cube, store, principal, as_json=as_json)


def copy(
    id: options.Id,  # noqa: A002 - the argument's word
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="Other words for the copy.")] = None,
    redact: options.Redact = None,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Write a new memory that is derived from another, which stays as it is, frozen or not."""
    words = None if text is None else text_of(text)
    with spinner("copying", hidden=as_json):
        _step(
            id,
            lambda place: place.cube.copy(place.id, words),
            cube,
            store,
            principal,
            as_json=as_json,
            redact=redact,
        )


def upkeep(
    archive_after: Annotated[
        str | None,
        typer.Option("--archive-after", metavar="TIME", help="Archive what nobody used for so long: 90d."),
    ] = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Erase the words of what is overdue, in every cube; archive what has rested."""
    idle = options.duration(archive_after, option="--archive-after")
    with opened(store, principal=principal) as memos:
        done = memos.upkeep(archive_after=idle)
    if as_json:
        emit(done)
        return
    from memos_core.cli.views import count  # noqa: PLC0415 - brings rich, which --json never needs

    screen().print(f"expired {count(done.expired, 'memory')}, archived {count(done.archived, 'memory')}")


def _step(
    prefix: str,
    take: Callable[[Place], Memory],
    cube: str | None,
    store: Path,
    principal: str,
    *,
    as_json: bool,
    redact: str | None = None,
) -> None:
    with opened(store, principal=principal, redact=redact) as memos:
        place = find(memos, prefix, cube=cube, states=(None, "archived"))
        memory = take(place)
    if as_json:
        emit(memory_json(memory, place.cube.name))
        return
    from memos_core.cli.views import short  # noqa: PLC0415 - brings rich, which --json never needs

    screen().print(f"{short(memory.id)} is {memory.state}: {plain(memory.text)}")
