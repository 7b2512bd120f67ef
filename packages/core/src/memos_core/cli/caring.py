"""The commands that look after a store: stats, doctor, reindex."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import typer

from memos_core.cli import options
from memos_core.cli.options import DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import as_json as in_json
from memos_core.cli.out import bar, emit, one_line, screen, spinner
from memos_core.cli.place import cubes_to_read, opened
from memos_core.cli.planning import show_costs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from memos_core import Checkup, Stats


def stats(
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Show what the store holds and takes, and your cubes."""
    with opened(store, principal=principal) as memos:
        measured = memos.stats()
        cubes = [
            {"name": cube.name, "owner": cube.owner, "memories": cube.count()}
            for cube in cubes_to_read(memos, None)
        ]
    if as_json:
        emit({**in_json(measured), "store": store, "cubes": measured.cubes, "yours": cubes})
    else:
        _show_stats(store, measured, cubes)


def _show_stats(store: Path, measured: Stats, cubes: Sequence[Mapping[str, object]]) -> None:
    from rich import box  # noqa: PLC0415 - rich, only to show
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    from memos_core.cli.views import count, facts, size  # noqa: PLC0415 - as above

    console = screen()
    disk = f"catalog {size(measured.catalog_size)}, index {size(measured.index_size)}"
    rows = {
        "store": str(store),
        "memories": f"{measured.memories:,} in {count(measured.cubes, 'cube')}",
        "versions": f"{measured.versions:,} from {count(measured.sources, 'source')}",
        "embedder": f"{measured.embedder}, {measured.dimensions} dimensions"
        if measured.embedder
        else "none yet",
        "on disk": disk + (f", blobs {size(measured.blobs_size)}" if measured.blobs_size else ""),
        "index": f"{count(measured.owed, 'change')} owed" if measured.owed else "up to date",
    }
    console.print(facts(dict(rows)))
    if measured.costs:
        console.print()
        show_costs(measured.costs)
    if not cubes:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("your cubes", style="cyan", overflow="fold")
    table.add_column("memories", justify="right", no_wrap=True)
    for cube in cubes:
        table.add_row(Text(one_line(str(cube["name"]))), f"{cube['memories']:,}")
    console.print()
    console.print(table)


def doctor(
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Look for damage; name the remedy for what is found. Exits with 1 if something is wrong."""
    with (
        opened(store, principal=principal) as memos,
        spinner("looking at the catalog, the keys, the blobs and the index", hidden=as_json),
    ):
        checkup = memos.doctor()
    if as_json:
        emit({"ok": checkup.ok, "findings": checkup.findings})
    else:
        _show_checkup(checkup)
    if not checkup.ok:
        raise typer.Exit(1)


def _show_checkup(checkup: Checkup) -> None:
    from rich.text import Text  # noqa: PLC0415 - as above

    console = screen()
    for finding in checkup.findings:
        mark = ("ok   ", "green") if finding.ok else ("WRONG", "bold red")
        console.print(Text.assemble(mark, f"  {finding.check:<8} ", one_line(finding.detail)))
        if finding.remedy:
            console.print(Text.assemble("       ", ("remedy   ", "yellow"), one_line(finding.remedy)))
    console.print("All is well." if checkup.ok else "Something is wrong; see the remedies.", style="bold")


def reindex(
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    embedder: options.Embedder = None,
    as_json: options.AsJson = False,
) -> None:
    """Make the vector index anew, with another embedder if one is named. Interrupted, it goes on later."""
    begin = time.perf_counter()
    with (
        opened(store, principal=principal) as memos,
        bar("vectors, then the index", total=None, hidden=as_json) as progress,
    ):
        done = memos.reindex(embedder=embedder, progress=progress)
    took = time.perf_counter() - begin
    if as_json:
        emit({**in_json(done), "seconds": round(took, 4)})
        return
    from memos_core.cli.views import count, seconds  # noqa: PLC0415 - as above

    console = screen()
    console.print(f"indexed {count(done.indexed, 'memory')} in {seconds(took)}", style="bold")
    embedded = (
        f"{count(done.embedded, 'memory')} got new vectors" if done.embedded else "no vector was missing"
    )
    console.print(f"{embedded}; the embedder is {done.embedder}")
