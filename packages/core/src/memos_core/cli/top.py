"""`memos top`: cubes, tiers, the queue and what goes on, again and again until Ctrl-C."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memos_core.cli import options
from memos_core.cli.options import DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import as_json as in_json
from memos_core.cli.out import emit, one_line, screen
from memos_core.cli.place import PURPOSE, SERVERS

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from rich.console import Group

    from memos_core.overview import MoveView, Overview, Rates, TierSize
    from memos_core.vault.onlooker import Onlooker

_STATES = ("waiting", "delayed", "running", "dead", "done")
_LINES = 30  # cubes shown; the rest is summed up
_MOVES = 5  # of the last ones, and of the next


def top(
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end.")] = False,
    every: Annotated[
        float, typer.Option("--every", min=0.2, max=3600.0, metavar="SECONDS", help="Between two looks.")
    ] = 2.0,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Watch the store: cubes, what each tier holds, the queue, moves. Reads only, beside whoever has it open.

    With --json, one document: a frame, and after `--every` seconds the rates, or none with --once.
    """
    with _onlooker(store) as catalog:
        if as_json or once:
            _once(catalog, principal, every=None if once else every, as_json=as_json)
            return
        try:
            _watch(catalog, principal, every)
        except KeyboardInterrupt:  # the way out
            return


def _onlooker(store: Path) -> Onlooker:
    from memos_core.core import CATALOG  # noqa: PLC0415 - the library
    from memos_core.vault.engine import catalog_url  # noqa: PLC0415 - as above
    from memos_core.vault.onlooker import Onlooker  # noqa: PLC0415 - as above

    server = SERVERS.get().catalog
    return Onlooker(store.expanduser() / CATALOG if server is None else catalog_url(server))


def _look(catalog: Onlooker, principal: str) -> Overview:
    from memos_core.cube import Principal  # noqa: PLC0415 - as above
    from memos_core.vault.sizes import overview  # noqa: PLC0415 - as above

    with catalog.read() as view:
        return overview(view, Principal(principal, purpose=PURPOSE.get()))


def _once(catalog: Onlooker, principal: str, *, every: float | None, as_json: bool) -> None:
    from memos_core.overview import rates  # noqa: PLC0415 - as above

    before = None
    if every is not None:
        before = _look(catalog, principal)
        time.sleep(every)
    seen = _look(catalog, principal)
    going = rates(before, seen)
    if as_json:
        emit({**_document(seen), "rates": in_json(going)})
        return
    screen().print(_frame(seen, going))


def _document(seen: Overview) -> dict[str, Any]:
    document: dict[str, Any] = in_json(seen)
    return document


def _watch(catalog: Onlooker, principal: str, every: float) -> None:
    from rich.live import Live  # noqa: PLC0415 - only to show

    from memos_core.overview import rates  # noqa: PLC0415 - the library

    seen, going, console = _look(catalog, principal), None, screen()
    if not console.is_terminal:
        while True:  # frame after frame, for a pipe
            console.print(_frame(seen, going))
            time.sleep(every)
            before, seen = seen, _look(catalog, principal)
            going = rates(before, seen)
    with Live(_frame(seen, going), console=console, screen=True, auto_refresh=False) as live:
        live.refresh()
        while True:
            time.sleep(every)
            before, seen = seen, _look(catalog, principal)
            live.update(_frame(seen, rates(before, seen)), refresh=True)


# --- a frame ---------------------------------------------------------------------------------


def _frame(seen: Overview, going: Rates | None) -> Group:
    from rich import box  # noqa: PLC0415 - only to show
    from rich.console import Group  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    head = Text(f"memos top  {seen.at:%Y-%m-%d %H:%M:%S} UTC  {one_line(seen.principal)}", style="bold")
    queue = Text("queue: " + ", ".join(f"{seen.jobs.get(state, 0):,} {state}" for state in _STATES))
    if seen.jobs.get("dead", 0):
        queue.stylize("red")
    rate = (
        ""
        if going is None
        else (f"a second: {going.changes:.1f} changes, {going.hits:.1f} hits, {going.jobs:.1f} jobs done")
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("cube", overflow="ellipsis", no_wrap=True, max_width=24)
    for name in ("memories", "text", "kv", "lora", "hits", "owed", "jobs"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in seen.cubes[:_LINES]:
        name = each.name if each.owner == seen.principal else f"{each.owner}/{each.name}"
        table.add_row(
            one_line(name),
            f"{each.text.count:,}",
            _bytes(each.text.size),
            _tier(each.kv),
            _tier(each.lora),
            f"{each.hits:,}",
            f"{each.owed:,}" if each.owed else "-",
            _pending(each.jobs),
        )
    more = len(seen.cubes) - _LINES
    told = [Text(f"and {more:,} more cubes")] if more > 0 else []
    doing = [
        Text(f"running: {one_line(each.kind)} {one_line(each.cube or 'the store')}{_progress(each)}")
        for each in seen.running
    ]
    moves = [Text(_move(each, "moved", seen.at)) for each in seen.moved[:_MOVES]]
    moves += [Text(_move(each, "next", seen.at)) for each in seen.planned[:_MOVES]]
    rated = [Text(rate)] if rate else []
    return Group(head, queue, *rated, table if seen.cubes else Text("no cubes"), *told, *doing, *moves)


def _move(move: MoveView, word: str, now: datetime) -> str:
    """Return a move in a line: what, of which cube, what it saves, how long ago, and why."""
    what = f"{word}: {move.kind} {one_line(move.cube)} ({move.tier})"
    saves = [f"saves {move.saves:.2g} s"] if move.saves else []
    if move.frees:
        saves.append(f"{'frees' if move.frees > 0 else 'takes'} {_bytes(abs(move.frees))}")
    ago = max(0, int((now - move.at).total_seconds()))
    since = f"{ago} s ago" if word == "moved" else f"planned {ago} s ago"
    return ", ".join([what, *saves, since]) + f": {one_line(move.reason)}"


def _tier(tier: TierSize) -> str:
    return f"{tier.count:,} · {_bytes(tier.size)}" if tier.count else "-"


def _pending(jobs: Any) -> str:
    if jobs is None:
        return "?"
    waiting = sum(jobs.get(state, 0) for state in ("waiting", "delayed", "running"))
    dead = jobs.get("dead", 0)
    return (f"{waiting:,}" if waiting else "-") + (f" ({dead:,} dead)" if dead else "")


def _progress(running: Any) -> str:
    return "" if running.done is None or not running.of else f" {running.done:,}/{running.of:,}"


def _bytes(size: int) -> str:
    from rich.filesize import decimal  # noqa: PLC0415 - only to show

    return decimal(size)
