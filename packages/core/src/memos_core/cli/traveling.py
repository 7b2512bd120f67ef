"""The commands of a cube through time: snapshot, snapshots, diff, rollback, fork, merge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from memos_core.cli import options
from memos_core.cli.options import DEFAULT_CUBE, DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import emit, one_line, plain, screen
from memos_core.cli.place import cubes_to_read, opened

if TYPE_CHECKING:
    from memos_core import Diff

Label = Annotated[str, typer.Argument(metavar="LABEL", help="A snapshot's label.")]


def snapshot(
    label: Label,
    drop: Annotated[bool, typer.Option("--drop", help="Let go of the label instead.")] = False,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Give the cube's present state a label. It copies nothing."""
    with opened(store, principal=principal) as memos:
        target = cubes_to_read(memos, cube or DEFAULT_CUBE)[0]
        if drop:
            target.drop_snapshot(label)
            document: object = {"dropped": label}
        else:
            document = target.snapshot(label)
    if as_json:
        emit(document)
    else:
        screen().print(f"{'dropped' if drop else 'took'} {one_line(label)}")


def snapshots(
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Show the cube's snapshots, oldest first."""
    with opened(store, principal=principal) as memos:
        found = cubes_to_read(memos, cube or DEFAULT_CUBE)[0].snapshots()
    if as_json:
        emit({"snapshots": found})
        return
    for each in found:
        screen().print(f"{one_line(each.label)}  {each.at:%Y-%m-%d %H:%M}  by {one_line(each.by)}")


def diff(
    label: Label,
    to: Annotated[str | None, typer.Argument(metavar="LABEL", help="Until here, instead of now.")] = None,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Show what changed in a cube since a snapshot, or between two."""
    with opened(store, principal=principal) as memos:
        found = cubes_to_read(memos, cube or DEFAULT_CUBE)[0].diff(label, to)
    if as_json:
        emit(found)
    else:
        _show(found)


def rollback(
    label: Label,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Bring a cube back to a snapshot. What was written since goes to the archive; nothing is lost."""
    with opened(store, principal=principal) as memos:
        done = cubes_to_read(memos, cube or DEFAULT_CUBE)[0].rollback(label)
    if as_json:
        emit(done)
        return
    told = {
        "revised": done.revised,
        "moved": done.moved,
        "archived": done.archived,
        "left frozen": done.frozen,
        "erased since": done.gone,
    }
    screen().print(", ".join(f"{name} {len(each)}" for name, each in told.items() if each) or "no change")


def fork(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new cube's name.")],
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Make a cube of yours that begins as this one is now, and shares it."""
    with opened(store, principal=principal) as memos:
        source = cubes_to_read(memos, cube or DEFAULT_CUBE)[0]
        made = source.fork(name)
        document = {"id": made.id, "name": made.name, "of": source.name, "memories": made.count()}
    if as_json:
        emit(document)
    else:
        screen().print(f"{one_line(name)} shares {document['memories']} with {one_line(source.name)}")


def merge(
    other: Annotated[
        str, typer.Argument(metavar="NAME", help="A fork of the cube, or what it is a fork of.")
    ],
    on_conflict: Annotated[
        str, typer.Option("--on-conflict", metavar="WORD", help="report, ours, theirs or keep_both.")
    ] = "report",
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Take over what a fork changed. Where both sides changed one, nothing is done, unless you say how."""
    with opened(store, principal=principal) as memos:
        target = cubes_to_read(memos, cube or DEFAULT_CUBE)[0]
        done = target.merge(cubes_to_read(memos, other)[0], on_conflict=on_conflict)
    if as_json:
        emit(done)
        return
    console = screen()
    if not done.applied:
        for each in done.conflicts:
            sides = {"base": each.base, "ours": each.ours, "theirs": each.theirs}
            for side, memory in sides.items():
                console.print(f"{side:>6}: {plain(memory.text) if memory else '(gone)'}", soft_wrap=True)
        console.print(f"{len(done.conflicts)} in conflict: nothing was changed; say --on-conflict")
        return
    console.print(f"added {len(done.added)}, revised {len(done.revised)}, moved {len(done.moved)}")


def _show(found: Diff) -> None:
    console = screen()
    for memory in found.added:
        console.print(f"+ {plain(memory.text)}", soft_wrap=True)
    for each in found.revised:
        console.print(plain(each.text_diff) or f"~ {plain(each.after.text)}", soft_wrap=True)
    for moved in found.moved:
        console.print(
            f"{moved.before.state} > {moved.after.state}: {plain(moved.after.text)}", soft_wrap=True
        )
    for gone in found.gone:
        console.print(f"- {gone.why}: {gone.memory_id}")
    if not found:
        console.print("nothing changed")
