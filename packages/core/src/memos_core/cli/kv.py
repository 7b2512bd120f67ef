"""The commands for KV segments, `memos kv …`: build, list, show, verify, pin, evict."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memos_core.cli import options
from memos_core.cli.options import DEFAULT_MODEL, DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import as_json as in_json
from memos_core.cli.out import bar, emit, one_line, screen
from memos_core.cli.place import cubes_to_read, opened
from memos_core.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memos_core import MemCube, MemOS, Origin, Runtime, Segment, Verified

Key = Annotated[str, typer.Argument(metavar="KEY", help="A segment's key, or its beginning.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a build did for one cube. `there` are the segments that it found, the others it made."""

    cube: str
    there: int
    segments: int
    tokens: int
    size: int  # bytes
    seconds: float


def build(
    model: options.Model = DEFAULT_MODEL,
    engine: Annotated[
        str, typer.Option("--engine", metavar="WORD", help="transformers or llama.cpp.")
    ] = "transformers",
    form: Annotated[
        str, typer.Option("--form", metavar="WORD", help="exact; at some loss bfloat16, int8, sparse-50.")
    ] = "exact",
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT", help="The system text that you will chat with.")
    ] = None,
    budget: Annotated[
        int, typer.Option("--budget", min=1, metavar="TOKENS", help="The budget that you will chat with.")
    ] = 2048,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Compute the stable memories of a cube, or of all, ahead of the first question.

    Interrupted, what is done stays; what is there already is not computed again.
    """
    with opened(store, principal=principal) as memos:
        cubes = cubes_to_read(memos, cube)
        with opened_runtime(model, engine=engine, form=form, hidden=as_json) as runtime:
            done = [
                _built(memos, each, runtime, system=system, budget=budget, hidden=as_json) for each in cubes
            ]
    if as_json:
        emit({"model": model, "engine": engine, "form": form, "cubes": done})
        return
    from memos_core.cli.kv_views import built_line  # noqa: PLC0415 - rich, only to show

    console = screen()
    for each in done:
        console.print(built_line(each))


def opened_runtime(model: str, *, engine: str, form: str, hidden: bool) -> Runtime:
    """Open the model; the first time, a bundled one is unpacked, which takes a while."""
    from memos_core import LlamaCppRuntime, Runtime  # noqa: PLC0415 - the library

    kinds: dict[str, type[Runtime]] = {each.engine_name: each for each in (Runtime, LlamaCppRuntime)}
    if engine not in kinds:
        raise typer.BadParameter(f"write {' or '.join(kinds)}", param_hint="--engine")
    with bar(f"opening {model}", total=None, hidden=hidden) as progress:
        told: dict[str, Any] = {}
        if kinds[engine] is Runtime:
            told["progress"] = lambda _what, share: progress(round(100 * share), 100)
        return kinds[engine].open(model, form=form, **told)


def _built(
    memos: MemOS, cube: MemCube, runtime: Runtime, *, system: str | None, budget: int, hidden: bool
) -> Built:
    known = {segment.key for segment in memos.segments(cube)}
    begin = time.perf_counter()
    with bar(f"tokens of {one_line(cube.name)}", total=None, hidden=hidden) as progress:
        found = runtime.build(cube, system=system, budget=budget, progress=progress)
    took = time.perf_counter() - begin
    new = [segment for segment in memos.segments(cube) if segment.key not in known]
    return Built(
        cube=cube.name,
        there=found.segments,
        segments=len(new),
        tokens=sum(segment.tokens for segment in new),
        size=sum(segment.size for segment in new),
        seconds=round(took, 4),
    )


def list_(
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """List the stored segments: what they take, how often they were used, what they saved."""
    with opened(store, principal=principal) as memos:
        segments = _segments(memos, cube)
    if as_json:
        emit({"segments": list(map(_segment_json, segments)), **_totals(segments)})
        return
    from memos_core.cli.kv_views import segment_table, totals_line  # noqa: PLC0415 - as above

    console = screen()
    if not segments:
        console.print("There is no segment yet: `memos kv build` makes them, and so does every chat.")
        return
    console.print(segment_table(segments))
    console.print(totals_line(segments), style="dim")


def show(
    key: Key,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Show one segment: of which model, of which memories, what it takes and what it saved."""
    with opened(store, principal=principal) as memos:
        segment = _one(memos, key, cube)
        owner = next(each for each in memos.cubes() if each.id == segment.cube)
        quoted = [(origin, _quoted(owner, origin)) for origin in segment.sources]
    if as_json:
        emit(_segment_json(segment))
        return
    from memos_core.cli.kv_views import segment_facts, sources_table  # noqa: PLC0415 - as above

    console = screen()
    console.print(segment_facts(segment))
    if quoted:
        console.print("\nmade from", style="dim")
        console.print(sources_table(quoted))


def _quoted(cube: MemCube, origin: Origin) -> str:
    """Return the memory's text as it was then, or what became of it."""
    try:
        memory = cube.get(origin.memory_id)
    except NotFound:
        return "(is no longer there)"
    return memory.text if memory.version == origin.version else "(was revised since)"


def verify(
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Compare every segment's file with its checksum. Exits with 1 if one was damaged, and so deleted."""
    with opened(store, principal=principal) as memos:
        segments = _segments(memos, cube)
        with bar("reading segments", total=len(segments), hidden=as_json) as progress:
            found = memos.verify_segments(segments, progress=progress)
    if as_json:
        emit({"ok": not found.damaged, **in_json(found)})
    else:
        _show_verified(found)
    if found.damaged:
        raise typer.Exit(1)


def _show_verified(found: Verified) -> None:
    from memos_core.cli.views import count, short  # noqa: PLC0415 - as above

    console = screen()
    for key in found.damaged:
        console.print(f"DAMAGED  {short(key)}  deleted; it is made anew when it is needed")
    said = "nothing is damaged" if not found.damaged else f"{len(found.damaged)} damaged"
    console.print(f"{count(found.sound, 'sound segment')}, {said}.", style="bold")


def pin(
    key: Key,
    release: Annotated[bool, typer.Option("--release", help="Let it go again when room is needed.")] = False,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Keep a segment on the disk, whatever its budget says."""
    with opened(store, principal=principal) as memos:
        segment = _one(memos, key, cube)
        memos.pin(segment, pinned=not release)
    if as_json:
        emit({"key": segment.key, "pinned": not release})
    else:
        screen().print(f"{segment.key[:8]} {'is let go' if release else 'stays'}", style="bold")


def evict(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="Segments' keys, or their beginnings.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are not pinned.")] = False,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Delete segments. No memory is lost by it: they are made anew when they are needed."""
    if bool(keys) == everything:
        raise typer.BadParameter("name segments, or write --all", param_hint="KEY")
    with opened(store, principal=principal) as memos:
        chosen = _chosen(memos, keys or (), cube)
        gone = memos.evict(chosen)
    if as_json:
        emit({"evicted": gone, "bytes": sum(segment.size for segment in chosen)})
        return
    from memos_core.cli.views import count, size  # noqa: PLC0415 - as above

    freed = size(sum(segment.size for segment in chosen))
    screen().print(f"evicted {count(gone, 'segment')}, {freed}", style="bold")


def _chosen(memos: MemOS, keys: Sequence[str], cube: str | None) -> list[Segment]:
    """Return the named segments, each once; without names all that are not pinned."""
    segments = _segments(memos, cube)
    if not keys:
        return [segment for segment in segments if not segment.pinned]
    from memos_core.kv import starting  # noqa: PLC0415 - loaded already when a store is open

    named = [starting(segments, key) for key in keys]
    return list({segment.key: segment for segment in named}.values())


def _segments(memos: MemOS, cube: str | None) -> list[Segment]:
    return [segment for each in cubes_to_read(memos, cube) for segment in memos.segments(each)]


def _one(memos: MemOS, key: str, cube: str | None) -> Segment:
    (segment,) = _chosen(memos, [key], cube)
    return segment


def _segment_json(segment: Segment) -> dict[str, object]:
    sources = [origin._asdict() for origin in segment.sources]
    return {**in_json(segment), "sources": sources}


def _totals(segments: Sequence[Segment]) -> dict[str, float]:
    return {
        "bytes": sum(segment.size for segment in segments),
        "saved_seconds": round(sum(segment.saved_seconds for segment in segments), 4),
    }


kv = typer.Typer(no_args_is_help=True, help="Memories computed ahead for a language model on this machine.")
_COMMANDS: list[Callable[..., None]] = [build, list_, show, verify, pin, evict]
for _command in _COMMANDS:
    kv.command(name=_command.__name__.rstrip("_"))(_command)
