"""The commands that write: remember, ingest, revise."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memos_core.cli import options
from memos_core.cli.incoming import STDIN, Batch, batches, read_file, text_of, turns_by_cube
from memos_core.cli.options import DEFAULT_CUBE, DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import bar, emit, memory_json, one_line, screen, spinner
from memos_core.cli.place import find, opened

if TYPE_CHECKING:
    from memos_core import Memory, MemOS

Text = Annotated[str, typer.Argument(metavar="TEXT", help="What to keep; - reads it from standard input.")]


def remember(
    text: Text,
    kind: options.Kind = None,
    tag: options.Tags = None,
    at: options.At = None,
    trust: options.Trust = None,
    made_by: Annotated[
        str | None, typer.Option("--made-by", metavar="NAME", help="The extractor or model that found it.")
    ] = None,
    derived_from: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="ID", help="A memory that it was found in; may be repeated."),
    ] = None,
    ttl: Annotated[
        str | None, typer.Option("--ttl", metavar="TIME", help="Known for so long: 90m, 12h, 30d, 4w.")
    ] = None,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    embedder: options.Embedder = None,
    redact: options.Redact = None,
    as_json: options.AsJson = False,
) -> None:
    """Keep a statement. The same statement again is the same memory, with one source more."""
    said, when = text_of(text), options.moment(at, option="--at")
    known_for = options.duration(ttl, option="--ttl")
    with opened(store, principal=principal, make=True, embedder=embedder, redact=redact) as memos:
        target = memos.cube(cube or DEFAULT_CUBE)
        before = target.count()
        with spinner("remembering", hidden=as_json):
            memory = target.remember(
                said,
                kind=kind or "fact",
                tags=tag or (),
                at=when,
                ttl=known_for,
                trust=trust or "trusted",
                made_by=made_by,
                derived_from=[target.find(each) for each in derived_from or ()],
            )
        new = target.count() > before
    if as_json:
        emit({**memory_json(memory, target.name), "new": new})
    else:
        _say_kept(memory, target.name, "remembered" if new else "known already; one source more")


def ingest(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A conversation; - reads standard input.")],
    format: Annotated[  # noqa: A002 - the option's word
        str | None,
        typer.Option("--format", metavar="WORD", help="jsonl, openai or locomo; else it is guessed."),
    ] = None,
    session: Annotated[
        str | None,
        typer.Option("--session", metavar="NAME", help="For messages without one; else the file's name."),
    ] = None,
    trust: options.Trust = None,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    embedder: options.Embedder = None,
    redact: options.Redact = None,
    as_json: options.AsJson = False,
) -> None:
    """Keep a conversation, every turn verbatim: JSON Lines, OpenAI messages or LoCoMo.

    The file is read whole before anything is written. Sent again, it adds nothing. Conversations
    that have names of their own (LoCoMo's samples) go to cubes of these names, unless --cube is given.
    """
    own = session if session or file == STDIN else Path(file).stem
    work = batches(read_file(file, format=format), cube=cube, session=own)
    if not work:
        tally = Tally(cubes={}, turns=0, new=0, seconds=0.0)
    else:
        with opened(store, principal=principal, make=True, embedder=embedder, redact=redact) as memos:
            tally = _written(memos, work, trust=trust or "trusted", hidden=as_json)
    if as_json:
        emit(tally)
    else:
        _say_tally(tally, store)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What an ingest did: turns by cube, all of them, and those that were not known before."""

    cubes: dict[str, int]
    turns: int
    new: int
    seconds: float


def _written(memos: MemOS, work: Sequence[Batch], *, trust: str, hidden: bool) -> Tally:
    """Write the batches in order, one transaction each."""
    turns = turns_by_cube(work)
    cubes = {name: memos.cube(name) for name in turns}
    before = {name: each.count() for name, each in cubes.items()}
    begin, done, of = time.perf_counter(), 0, turns.total()
    with bar("keeping turns", total=of, hidden=hidden) as progress:
        for batch in work:
            cubes[batch.cube].ingest(batch.messages, session=batch.session, trust=trust)
            done += len(batch.messages)
            progress(done, of)
    took = time.perf_counter() - begin
    new = sum(each.count() - before[name] for name, each in cubes.items())
    return Tally(cubes=dict(turns), turns=of, new=new, seconds=took)


def revise(
    id: options.Id,  # noqa: A002 - the argument's word
    text: Text,
    expected: Annotated[
        int | None, typer.Option("--expected", metavar="N", help="Refuse unless it is at this version.")
    ] = None,
    kind: options.Kind = None,
    tag: options.Tags = None,
    at: options.At = None,
    redact: options.Redact = None,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Write the next version of a memory. Earlier ones stay in its history."""
    said, when = text_of(text), options.moment(at, option="--at")
    with opened(store, principal=principal, redact=redact) as memos:
        place = find(memos, id, cube=cube)
        with spinner("revising", hidden=as_json):
            memory = place.cube.revise(
                place.id, said, expected=expected, kind=kind, tags=tag or None, at=when
            )
    if as_json:
        emit(memory_json(memory, place.cube.name))
    else:
        _say_kept(memory, place.cube.name, f"revised: now at version {memory.version}")


def _say_kept(memory: Memory, cube: str, what: str) -> None:
    from memos_core.cli.views import short  # noqa: PLC0415 - as above

    console = screen()
    console.print(f"{short(memory.id)}  {what}  (cube {one_line(cube)})", style="bold")
    console.print(one_line(memory.text), style="dim")


def _say_tally(tally: Tally, store: Path) -> None:
    from memos_core.cli.views import count, seconds  # noqa: PLC0415 - as above

    console = screen()
    if not tally.turns:
        console.print("The file holds no messages; nothing was written.")
        return
    known = tally.turns - tally.new
    rate = f", {tally.turns / tally.seconds:,.0f} a second" if tally.seconds and tally.new else ""
    console.print(f"{count(tally.turns, 'turn')} in {seconds(tally.seconds)}{rate}", style="bold")
    console.print(f"{tally.new:,} new, {known:,} known already; in {store}:")
    for name, turns in tally.cubes.items():
        console.print(f"  {one_line(name)}  {count(turns, 'turn')}")
