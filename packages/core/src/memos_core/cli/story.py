"""`memos demo`: an innkeeper who remembers, told in six short chapters."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memos_core.cli import options
from memos_core.cli.options import DEFAULT_PRINCIPAL
from memos_core.cli.out import emit
from memos_core.errors import InvalidInput

if TYPE_CHECKING:
    from memos_core.cli.telling import Teller

CUBE = "herons-elbow"


def demo(
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="PATH", help="Keep the store here; else it is temporary."),
    ] = None,
    principal: options.As = DEFAULT_PRINCIPAL,
    embedder: options.Embedder = None,
    as_json: options.AsJson = False,
) -> None:
    """Tell a story: an inn, nine people, a month of talk, and what is remembered of it."""
    from memos_core.cli.telling import Teller  # noqa: PLC0415 - rich and the library

    with _folder(store) as folder:
        teller = Teller(quiet=as_json)
        outcome = _told(teller, folder, principal=principal, embedder=embedder)
        teller.farewell(store)
    if as_json:
        emit(outcome)


@contextmanager
def _folder(store: Path | None) -> Generator[Path]:
    if store is not None:
        yield store.expanduser()
        return
    with tempfile.TemporaryDirectory(prefix="memos-demo-") as folder:
        yield Path(folder)


def _told(teller: Teller, folder: Path, *, principal: str, embedder: str | None) -> dict[str, object]:
    """Play the chapters in order; return what happened in each."""
    from memos_core import MemOS  # noqa: PLC0415 - the whole library
    from memos_core.cli import chapters  # noqa: PLC0415 - as above

    with MemOS.open(folder, principal=principal, embedder=embedder) as memos:
        if any(cube.name == CUBE for cube in memos.cubes()):
            raise InvalidInput(f"{folder} holds this story already: give demo another --store")
        cube = memos.cube(CUBE)
        teller.introduction()
        kept = chapters.keep(teller, memos, cube)
        asked = chapters.ask(teller, cube)
        changed = chapters.change(teller, cube)
        forgotten = chapters.forget(teller, memos, cube)
    survived = chapters.survive(teller, folder, CUBE, principal=principal)
    return {
        "kept": kept,
        "asked": asked,
        "changed": changed,
        "forgotten": forgotten,
        "survived": survived,
    }
