"""The commands for idle time: `memos consolidate`, `memos undo`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from memos_core.cli import options
from memos_core.cli.options import DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import as_json as in_json
from memos_core.cli.out import emit, one_line, screen, spinner
from memos_core.cli.place import cubes_to_read, opened

if TYPE_CHECKING:
    from memos_core import Action, Consolidation, MemCube


def consolidate(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be done; write nothing.")
    ] = False,
    changes: Annotated[int, typer.Option("--changes", min=0, metavar="N", help="At most so many.")] = 500,
    seconds: Annotated[float, typer.Option("--seconds", min=0, metavar="S", help="Look for so long.")] = 60.0,
    rest: Annotated[
        str | None, typer.Option("--rest", metavar="TIME", help="Archive what nobody used for so long: 180d.")
    ] = None,
    quiet: Annotated[
        str | None, typer.Option("--quiet", metavar="TIME", help="A session is over after so long: 7d.")
    ] = None,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Bring together what a cube holds: merge what says the same, link what changed, make gists, archive."""
    from memos_core import Allowance, Consolidating  # noqa: PLC0415 - the library

    usual = Consolidating()
    settings = Consolidating(
        rest=options.duration(rest, option="--rest") or usual.rest,
        quiet=options.duration(quiet, option="--quiet") or usual.quiet,
    )
    budget = Allowance(seconds=seconds, changes=changes)
    with opened(store, principal=principal) as memos, spinner("consolidating", hidden=as_json):
        runs = [
            (each, each.consolidate(settings, dry_run=dry_run, budget=budget))
            for each in cubes_to_read(memos, cube)
        ]
        if as_json:
            emit({"runs": [{**in_json(run), "cube": each.name} for each, run in runs]})
            return
        for each, run in runs:
            _show(each, run)


def undo(
    run: Annotated[int, typer.Argument(metavar="RUN", help="The number that `memos consolidate` told.")],
    cube: Annotated[str, typer.Option("--cube", metavar="NAME", help="In which cube.")],
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Take a run of `memos consolidate` back."""
    with opened(store, principal=principal) as memos:
        undone = cubes_to_read(memos, cube)[0].undo(run)
    if as_json:
        emit(undone)
        return
    screen().print(
        f"run {run} undone: {len(undone.restored)} brought back, {len(undone.archived)} put away, "
        f"{undone.unlinked} links taken back"
    )


def _show(cube: MemCube, run: Consolidation) -> None:
    if not run:
        screen().print(f"{one_line(cube.name)}: nothing to do")
        return
    done = "would be done" if run.dry_run else f"done; `memos undo {run.run} --cube …` takes it back"
    left = f", {run.left:,} more are left" if run.left else ""
    screen().print(f"{one_line(cube.name)}: {len(run.actions):,} {done}{left}", style="bold", soft_wrap=True)
    for action in run.actions:
        screen().print(f"  {action.act}: {action.reason} ({_ids(action)})", soft_wrap=True)


def _ids(action: Action) -> str:
    told = [each[:8] for each in action.sources[:4]]
    more = [f"and {len(action.sources) - 4} more"] if len(action.sources) > 4 else []
    into = [] if action.into is None else [f"-> {action.into[:8]}"]
    return " ".join([*told, *more, *into])
