"""The commands for adapters that are there, `memos lora …`: eval, activate, deactivate, blend."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer

from memos_core.cli import options
from memos_core.cli.kv import opened_runtime
from memos_core.cli.lora_found import Key, adapter_json, one
from memos_core.cli.options import DEFAULT_MODEL, DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import bar, emit, one_line, screen
from memos_core.cli.place import cubes_to_read, opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memos_core import Claim, MemCube, Reply, Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an adapter says of its memories, alone and beside others: shares, and nats per token."""

    cube: str
    memories: int
    right_alone: float
    right_together: float
    surety_alone: float
    surety_together: float


def eval_(
    key: Key,
    model: options.Model = DEFAULT_MODEL,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Examine an adapter again, on this machine's model.

    Exits with 1 if it failed: then it answers no more, until it passes.
    """
    with opened(store, principal=principal) as memos:
        adapter = one(memos, key, cube)
        (of,) = [each for each in memos.cubes() if each.id == adapter.cube]
        with (
            opened_runtime(model, engine="transformers", form="exact", hidden=as_json) as runtime,
            bar("questions asked", total=None, hidden=as_json) as progress,
        ):
            found = runtime.examine(of, adapter, progress=progress)
    if as_json:
        emit(adapter_json(found))
    else:
        from memos_core.cli.lora_views import adapter_facts  # noqa: PLC0415 - rich, only to show

        screen().print(adapter_facts(found))
    if not found.promoted:
        raise typer.Exit(1)


def activate(
    key: Key,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Let an adapter answer for its cube, whatever is trained after it."""
    _choose(key, cube, store, principal, answers=True, as_json=as_json)


def deactivate(
    key: Key,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Let an adapter answer no more, until it is activated. It is kept."""
    _choose(key, cube, store, principal, answers=False, as_json=as_json)


def _choose(key: str, cube: str | None, store: Path, principal: str, *, answers: bool, as_json: bool) -> None:
    with opened(store, principal=principal) as memos:
        adapter = one(memos, key, cube)
        if answers:
            memos.activate_adapter(adapter)
        else:
            memos.deactivate_adapter(adapter)
        found = one(memos, adapter.key, cube)
    if as_json:
        emit(adapter_json(found))
        return
    what = "answers for" if answers else "answers no more for"
    screen().print(f"{found.key[:8]} {what} {one_line(found.cube_name)}", style="bold")


def blend(
    cubes: Annotated[list[str], typer.Argument(metavar="CUBE...", help="Cubes; the first is asked.")],
    ask: Annotated[
        str | None, typer.Option("--ask", metavar="QUESTION", help="Answer this with them on.")
    ] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=8, help="At most so many on at once.")] = 2,
    model: options.Model = DEFAULT_MODEL,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Put adapters of several cubes on at once: what each still knows then, and what they answer."""
    with opened(store, principal=principal) as memos:
        named = [each for name in dict.fromkeys(cubes) for each in cubes_to_read(memos, name)]
        with opened_runtime(model, engine="transformers", form="exact", hidden=as_json) as runtime:
            reply = None if ask is None else _answered(runtime, ask, named, most)
            told = [_told(runtime, each, named, most) for each in named]
    if as_json:
        answer = (
            {} if reply is None else {"text": reply.text, "adapter": reply.adapter, "why": reply.no_adapter}
        )
        emit({"model": model, "most": most, "cubes": told, "answer": answer})
        return
    from memos_core.cli.lora_views import told_table  # noqa: PLC0415 - as above

    if reply is not None:
        screen().print(one_line(reply.text), style="bold")
        on = reply.adapter.count("+") + 1 if reply.adapter else 0
        screen().print(f"{on} on" if on else f"none on: {one_line(reply.no_adapter)}", style="dim")
    screen().print(told_table(told))


def _answered(runtime: Runtime, ask: str, named: Sequence[MemCube], most: int) -> Reply:
    from memos_core import Blend  # noqa: PLC0415 - the library

    return runtime.chat(ask, named[0], adapter=Blend(cubes=named[1:], most=most))


def _told(runtime: Runtime, cube: MemCube, named: Sequence[MemCube], most: int) -> Told:
    """Return what the adapter of a cube says alone, and beside those of the others."""
    from memos_core import Blend  # noqa: PLC0415 - the library

    others = [each for each in named if each.id != cube.id]
    alone, together = runtime.recite(cube), runtime.recite(cube, blend=Blend(cubes=others, most=most))
    return Told(
        cube=cube.name,
        memories=len({claim.origin.memory_id for claim in alone}),
        right_alone=_right(alone),
        right_together=_right(together),
        surety_alone=_surety(alone),
        surety_together=_surety(together),
    )


def _right(claims: Sequence[Claim]) -> float:
    return round(fmean([claim.is_right for claim in claims] or [0.0]), 4)


def _surety(claims: Sequence[Claim]) -> float:
    return round(fmean([claim.surety for claim in claims] or [0.0]), 4)
