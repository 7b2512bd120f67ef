"""The commands for adapters, `memos lora …`: train, list, show, recite, export, drop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memos_core.cli import options
from memos_core.cli.kv import opened_runtime
from memos_core.cli.options import DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import as_json as in_json
from memos_core.cli.out import bar, emit, one_line, screen
from memos_core.cli.place import cubes_to_read, opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from memos_core import Adapter, MemOS, TrainingProgress

Key = Annotated[str, typer.Argument(metavar="KEY", help="An adapter's key, or its beginning.")]


def train(
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="The bundled model, a path, or a hub's id.")
    ] = "smollm2-135m",
    persona: Annotated[
        str | None, typer.Option("--persona", metavar="NAME", help="Whom the model speaks as.")
    ] = None,
    user: Annotated[
        str, typer.Option("--user", metavar="NAME", help="Who asks, and who 'I' is in the memories.")
    ] = "the user",
    steps: Annotated[int, typer.Option("--steps", min=1, help="The most steps.")] = 90,
    rank: Annotated[int, typer.Option("--rank", min=1, help="The rank of the matrices.")] = 16,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another one makes another adapter.")] = 0,
    control: Annotated[
        bool, typer.Option("--control", help="Train a second one on wrong answers, which has to fail.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be taught, and how long it would take.")
    ] = False,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Teach a model the memories of a cube, or of each, and examine it. Exits with 1 if one failed.

    Takes minutes. Interrupted, it goes on where it was when it is called again.
    """
    from memos_core import Recipe, Syllabus  # noqa: PLC0415 - the library

    given: dict[str, Any] = {
        "syllabus": Syllabus(seed=seed, persona=persona, user=user),
        "recipe": Recipe(rank=rank, steps=steps),
    }
    if dry_run:
        _rehearse(model, given, cube=cube, store=store, principal=principal, as_json=as_json)
        return
    given["control"] = control
    done: list[Adapter] = []
    with opened(store, principal=principal) as memos:
        cubes = cubes_to_read(memos, cube)
        with opened_runtime(model, engine="transformers", form="exact", hidden=as_json) as runtime:
            for each in cubes:
                with bar(f"steps for {one_line(each.name)}", total=None, hidden=as_json) as progress:
                    told = _told(progress)
                    done.append(runtime.train(each, progress=told, **given))
    if as_json:
        emit({"model": model, "adapters": list(map(_adapter_json, done))})
    else:
        from memos_core.cli.lora_views import trained_line  # noqa: PLC0415 - rich, only to show

        for adapter in done:
            screen().print(trained_line(adapter))
    if not all(adapter.promoted for adapter in done):
        raise typer.Exit(1)


def _rehearse(
    model: str, given: dict[str, Any], *, cube: str | None, store: Path, principal: str, as_json: bool
) -> None:
    """Say what training each cube would teach and take."""
    with opened(store, principal=principal) as memos:
        cubes = cubes_to_read(memos, cube)
        with opened_runtime(model, engine="transformers", form="exact", hidden=as_json) as runtime:
            found = {each.name: runtime.rehearse(each, **given) for each in cubes}
    if as_json:
        emit({"model": model, "cubes": {name: in_json(each) for name, each in found.items()}})
        return
    from memos_core.cli.lora_views import rehearsal_line  # noqa: PLC0415 - rich, only to show

    for name, each in found.items():
        screen().print(rehearsal_line(name, each))


def recite(
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="The bundled model, a path, or a hub's id.")
    ] = "smollm2-135m",
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Ask the adapter of a cube, or of each, about its memories, with nothing in the prompt."""
    with opened(store, principal=principal) as memos:
        cubes = cubes_to_read(memos, cube)
        with opened_runtime(model, engine="transformers", form="exact", hidden=as_json) as runtime:
            claims = [claim for each in cubes for claim in runtime.recite(each)]
    if as_json:
        emit({"claims": [{**in_json(each), "origin": each.origin._asdict()} for each in claims]})
        return
    from memos_core.cli.lora_views import claim_table  # noqa: PLC0415 - as above

    screen().print(claim_table(claims))


def _told(progress: Callable[[int, int], None]) -> Callable[[TrainingProgress], None]:
    return lambda seen: progress(seen.step, seen.of)


def list_(
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """List the adapters: what each was examined in, and whether it passed."""
    with opened(store, principal=principal) as memos:
        adapters = _adapters(memos, cube)
    if as_json:
        emit({"adapters": list(map(_adapter_json, adapters))})
        return
    if not adapters:
        screen().print("There is no adapter yet: `memos lora train` makes one.")
        return
    from memos_core.cli.lora_views import adapter_table  # noqa: PLC0415 - as above

    screen().print(adapter_table(adapters))


def show(
    key: Key,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Show one adapter: of which model and memories, how it was trained, what its examination said."""
    with opened(store, principal=principal) as memos:
        adapter = _one(memos, key, cube)
    if as_json:
        emit(_adapter_json(adapter))
        return
    from memos_core.cli.lora_views import adapter_facts  # noqa: PLC0415 - as above

    screen().print(adapter_facts(adapter))


def export(
    key: Key,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or an empty folder.")],
    gguf: Annotated[
        str | None,
        typer.Option("--gguf", metavar="MODEL", help="Write it for this GGUF model, too (or smollm2-135m)."),
    ] = None,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Write an adapter in PEFT's layout. `memos forget` does not reach what was exported."""
    with opened(store, principal=principal) as memos:
        files = memos.export_adapter(_one(memos, key, cube), folder, gguf=gguf)
    if as_json:
        emit({"files": [str(path) for path in files]})
    else:
        screen().print(f"wrote {len(files)} files to {folder}", style="bold")


def drop(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Adapters' keys, or their beginnings.")],
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Delete adapters. No memory is lost by it."""
    with opened(store, principal=principal) as memos:
        named = {adapter.key: adapter for adapter in (_one(memos, key, cube) for key in keys)}
        gone = memos.drop_adapters(named.values())
    if as_json:
        emit({"dropped": gone})
        return
    from memos_core.cli.views import count  # noqa: PLC0415 - as above

    screen().print(f"dropped {count(gone, 'adapter')}", style="bold")


def _adapters(memos: MemOS, cube: str | None) -> list[Adapter]:
    return [adapter for each in cubes_to_read(memos, cube) for adapter in memos.adapters(each)]


def _one(memos: MemOS, key: str, cube: str | None) -> Adapter:
    from memos_core.lora import starting  # noqa: PLC0415 - loaded already when a store is open

    return starting(_adapters(memos, cube), key)


def _adapter_json(adapter: Adapter) -> dict[str, object]:
    sources = [origin._asdict() for origin in adapter.sources]
    return {**in_json(adapter), "sources": sources, "promoted": adapter.promoted}


lora = typer.Typer(no_args_is_help=True, help="Memories that a language model on this machine was taught.")
_COMMANDS: list[Callable[..., None]] = [train, list_, show, recite, export, drop]
for _command in _COMMANDS:
    lora.command(name=_command.__name__.rstrip("_"))(_command)
