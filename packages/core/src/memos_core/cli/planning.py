"""The commands that plan and measure: plan, calibrate."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from memos_core.cli import options
from memos_core.cli.kv import opened_runtime
from memos_core.cli.options import DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import emit, one_line, screen, spinner
from memos_core.cli.place import opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memos_core import Cost, Planned, Runtime

Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="A model whose states are planned: smollm2-135m, a path, …"),
]
Engine = Annotated[str, typer.Option("--engine", metavar="WORD", help="transformers or llama.cpp.")]


def plan(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the moves and why; do none.")] = False,
    policy: Annotated[
        str, typer.Option("--policy", metavar="WORD", help="cost, lru, lfu or label:CUBE.")
    ] = "cost",
    ram: Annotated[int | None, typer.Option("--ram", min=0, metavar="BYTES", help="For keys in RAM.")] = None,
    disk: Annotated[
        int | None, typer.Option("--disk", min=0, metavar="BYTES", help="For states on the disk.")
    ] = None,
    training: Annotated[
        float | None, typer.Option("--training", min=0, metavar="SECONDS", help="For training, a day.")
    ] = None,
    archive_after: Annotated[
        str | None,
        typer.Option("--archive-after", metavar="TIME", help="Archive what nobody used for so long: 90d."),
    ] = None,
    consolidate: Annotated[
        bool, typer.Option("--consolidate", help="Bring together what belongs together: memos consolidate.")
    ] = False,
    model: Model = None,
    engine: Engine = "transformers",
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT", help="The system text that you will chat with.")
    ] = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Do the moves between the tiers that pay now, as far as they can be done here. Each says why.

    Keys that are loaded live as long as the process; states need --model.
    """
    from memos_core import Budget, Consolidating  # noqa: PLC0415 - the library

    idle = options.duration(archive_after, option="--archive-after")
    with opened(store, principal=principal) as memos, _model(model, engine, hidden=as_json) as runtime:
        budget = None
        if (ram, disk, training) != (None, None, None):
            budget = Budget(ram=ram, disk=disk, training=training)
        found = memos.plan(
            runtime=runtime,
            policy=policy,
            budget=budget,
            system=system,
            archive_after=idle,
            consolidate=Consolidating() if consolidate else None,
            dry_run=dry_run,
        )
    if as_json:
        emit(found)
    else:
        _show(found, dry_run=dry_run)


def calibrate(
    model: Model = None,
    engine: Engine = "transformers",
    anew: Annotated[bool, typer.Option("--anew", help="Measure again what was measured before.")] = False,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Measure what each tier costs on this machine, once. `memos stats` shows it, refreshed by use."""
    with (
        opened(store, principal=principal) as memos,
        _model(model, engine, hidden=as_json) as runtime,
        spinner("measuring", hidden=as_json),
    ):
        found = memos.calibrate(runtime, anew=anew)
    if as_json:
        emit({"costs": found})
    else:
        show_costs(found)


@contextmanager
def _model(model: str | None, engine: str, *, hidden: bool) -> Generator[Runtime | None]:
    if model is None:
        yield None
        return
    with opened_runtime(model, engine=engine, form="exact", hidden=hidden) as runtime:
        yield runtime


def _show(found: Planned, *, dry_run: bool) -> None:
    from rich import box  # noqa: PLC0415 - rich, only to show
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    from memos_core.cli.views import count  # noqa: PLC0415 - as above

    console = screen()
    if not found.moves:
        console.print("Nothing to do: everything is where it costs least.")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("move", style="cyan", no_wrap=True)
    table.add_column("cube", overflow="fold")
    table.add_column("tier", no_wrap=True)
    table.add_column("saves", justify="right", no_wrap=True)
    table.add_column("frees", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for move in found.moves:
        table.add_row(
            move.kind.value,
            Text(one_line(move.name)),
            move.tier.value,
            f"{move.saves:.2g} s" if move.saves else "",
            _bytes(move.frees),
            Text(one_line(move.reason)),
        )
    console.print(table)
    console.print(
        f"{count(len(found.moves), 'move')}, none done"
        if dry_run
        else f"{len(found.done)} of {len(found.moves)} done"
    )


def _bytes(frees: int) -> str:
    from memos_core.cli.views import size  # noqa: PLC0415 - rich, only to show

    if not frees:
        return ""
    return size(frees) if frees > 0 else f"-{size(-frees)}"


def show_costs(costs: Sequence[Cost]) -> None:
    """Print what each tier costs, a row each."""
    from rich import box  # noqa: PLC0415 - rich, only to show
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("tier", style="cyan", no_wrap=True)
    table.add_column("a unit", no_wrap=True)
    for name in ("to write", "to read", "bytes", "of"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("model", overflow="ellipsis", no_wrap=True)
    for cost in costs:
        table.add_row(
            cost.tier.value,
            cost.unit,
            _seconds(cost.write),
            _seconds(cost.read),
            f"{cost.size:,.0f}",
            f"{cost.samples:,.0f}",
            Text(one_line(cost.model)[:12]),
        )
    screen().print(table)


def _seconds(value: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return "0" if value == 0 else f"{value / 1e-9:.3g} ns"
