"""The commands for adapters, `memos lora …`: train, list, show, recite, export, drop; see also `lora_use`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memos_core.cli import options
from memos_core.cli.kv import opened_runtime
from memos_core.cli.lora_found import Key, adapter_json, one
from memos_core.cli.lora_found import adapters as adapters_of
from memos_core.cli.lora_use import activate, blend, deactivate, eval_
from memos_core.cli.options import DEFAULT_MODEL, DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import as_json as in_json
from memos_core.cli.out import bar, emit, one_line, screen
from memos_core.cli.place import cubes_to_read, opened
from memos_core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from memos_core import Adapter, OpenAIPhraser, TrainingProgress

Phraser = Annotated[
    str | None, typer.Option("--phraser", metavar="MODEL", help="A chat model that asks in other words, too.")
]
PhraserUrl = Annotated[
    str | None, typer.Option("--phraser-url", metavar="URL", help="The endpoint that it is behind.")
]


def train(
    model: options.Model = DEFAULT_MODEL,
    persona: Annotated[
        str | None, typer.Option("--persona", metavar="NAME", help="Whom the model speaks as.")
    ] = None,
    user: Annotated[
        str, typer.Option("--user", metavar="NAME", help="Who asks, and who 'I' is in the memories.")
    ] = "the user",
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="The most steps; as the lessons need unless given.")
    ] = None,
    rank: Annotated[int, typer.Option("--rank", min=1, help="The rank of the matrices.")] = 16,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another one makes another adapter.")] = 0,
    method: Annotated[
        str,
        typer.Option("--method", metavar="NAME", help="pairs, or distil: learn from the model's own words."),
    ] = "pairs",
    control: Annotated[
        bool, typer.Option("--control", help="Train a second one on wrong answers, which has to fail.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be taught, and how long it would take.")
    ] = False,
    later: Annotated[
        bool, typer.Option("--later", help="Only order it: `memos worker --model` does it.")
    ] = False,
    renew: Annotated[
        bool, typer.Option("--renew", help="Order it again whenever a memory that it knows changes.")
    ] = False,
    phraser: Phraser = None,
    phraser_url: PhraserUrl = None,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Teach a model the memories of a cube, or of each, and examine it. Exits with 1 if one failed.

    Takes minutes. Interrupted, it goes on where it was when it is called again. With --phraser the questions,
    never the answers, go to that model; a dry run does not ask it.
    """
    from memos_core import Recipe, Syllabus  # noqa: PLC0415 - the library

    given: dict[str, Any] = {
        "syllabus": Syllabus(seed=seed, persona=persona, user=user),
        "recipe": Recipe(rank=rank, steps=steps, method=method),
    }
    if dry_run:
        _rehearse(model, given, cube=cube, store=store, principal=principal, as_json=as_json)
        return
    given |= {"control": control, "renew": renew or None, "phraser": _phraser(phraser, phraser_url)}
    if later:
        _order(given, cube=cube, store=store, principal=principal, as_json=as_json)
        return
    done = _taught(model, given, cube=cube, store=store, principal=principal, hidden=as_json)
    _show_trained(model, done, as_json=as_json)
    if not all(adapter.promoted for adapter in done):
        raise typer.Exit(1)


def _phraser(model: str | None, url: str | None) -> OpenAIPhraser | None:
    if model is None:
        if url is not None:
            raise InvalidInput("--phraser-url names an endpoint: say which model by --phraser")
        return None
    from memos_core import OpenAIPhraser  # noqa: PLC0415 - the library

    return OpenAIPhraser(model=model, base_url=url)


def _show_trained(model: str, done: list[Adapter], *, as_json: bool) -> None:
    if as_json:
        emit({"model": model, "adapters": list(map(adapter_json, done))})
        return
    from memos_core.cli.lora_views import trained_line  # noqa: PLC0415 - rich, only to show

    for adapter in done:
        screen().print(trained_line(adapter))


def _taught(
    model: str, given: dict[str, Any], *, cube: str | None, store: Path, principal: str, hidden: bool
) -> list[Adapter]:
    """Train an adapter for each cube, showing how far it is."""
    done: list[Adapter] = []
    with opened(store, principal=principal) as memos:
        cubes = cubes_to_read(memos, cube)
        with opened_runtime(model, engine="transformers", form="exact", hidden=hidden) as runtime:
            for each in cubes:
                with bar(f"steps for {one_line(each.name)}", total=None, hidden=hidden) as progress:
                    told = _told(progress)
                    done.append(runtime.train(each, progress=told, **given))
    return done


def _order(given: dict[str, Any], *, cube: str | None, store: Path, principal: str, as_json: bool) -> None:
    """Leave the training of each cube to a worker; equal orders that wait are one."""
    from memos_core.lora_orders import Order, payload_of  # noqa: PLC0415 - the library
    from memos_core.vault.renewal import TIMEOUT, key_of  # noqa: PLC0415 - as above

    payload = payload_of(Order(**given))
    told: dict[str, Any] = {"payload": payload, "key": key_of(payload), "timeout": TIMEOUT}
    with opened(store, principal=principal) as memos:
        jobs = {
            each.name: memos.jobs.submit("train", cube=each, **told) for each in cubes_to_read(memos, cube)
        }
    if as_json:
        emit({"jobs": {name: in_json(job) for name, job in jobs.items()}})
        return
    for name, job in jobs.items():
        screen().print(
            f"{job.id[:8]}  ordered for {one_line(name)}: `memos worker --model` does it", style="bold"
        )


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
    model: options.Model = DEFAULT_MODEL,
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
        adapters = adapters_of(memos, cube)
    if as_json:
        emit({"adapters": list(map(adapter_json, adapters))})
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
        adapter = one(memos, key, cube)
    if as_json:
        emit(adapter_json(adapter))
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
        files = memos.export_adapter(one(memos, key, cube), folder, gguf=gguf)
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
        named = {adapter.key: adapter for adapter in (one(memos, key, cube) for key in keys)}
        gone = memos.drop_adapters(named.values())
    if as_json:
        emit({"dropped": gone})
        return
    from memos_core.cli.views import count  # noqa: PLC0415 - as above

    screen().print(f"dropped {count(gone, 'adapter')}", style="bold")


lora = typer.Typer(no_args_is_help=True, help="Memories that a language model on this machine was taught.")
_USE: list[Callable[..., None]] = [eval_, activate, deactivate, blend]
_COMMANDS: list[Callable[..., None]] = [train, list_, show, recite, *_USE, export, drop]
for _command in _COMMANDS:
    lora.command(name=_command.__name__.rstrip("_"))(_command)
