"""The commands that look: recall, list, show, history."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated

import typer

from memos_core.cli import options
from memos_core.cli.options import DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import as_json as in_json
from memos_core.cli.out import emit, memory_json, one_line, screen, spinner
from memos_core.cli.place import cubes_to_read, find, opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memos_core import Hit, MemCube, Memory, Recall, Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The hits of one question over one or several cubes, best first, each with its cube's name."""

    query: str
    hits: Sequence[tuple[str, Hit]]
    cubes: Sequence[str]
    memories: int  # how many there are to find
    seconds: float  # the whole, model included


def recall(
    query: Annotated[str, typer.Argument(metavar="QUESTION", help="What to look for.")],
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many hits at most.")] = 5,
    prompt: Annotated[
        bool, typer.Option("--prompt", help="Print quoted, dated lines, ready for a prompt.")
    ] = False,
    budget: Annotated[
        int | None, typer.Option("--budget", metavar="TOKENS", help="Keep within so many tokens; one cube.")
    ] = None,
    kind: options.Kind = None,
    tag: options.Tags = None,
    speaker: options.Speakers = None,
    session: options.Sessions = None,
    since: options.Since = None,
    until: options.Until = None,
    trust: options.Trust = None,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Find what answers a question, with the reasons. Finding nothing is an answer, too."""
    where = options.where(kind, tag, speaker, session, since, until, trust)
    with opened(store, principal=principal) as memos:
        cubes = cubes_to_read(memos, cube)
        if budget is not None and len(cubes) > 1:
            raise typer.BadParameter("a budget is for one cube: name it with --cube", param_hint="--budget")
        with spinner("loading the model", hidden=as_json):
            answer, found = _asked(cubes, query, k=k, budget=budget, where=where)
    if as_json:
        emit(_answer_json(answer))
    elif prompt:
        typer.echo(found.render(budget))
    else:
        _show_answer(answer)


def _asked(
    cubes: Sequence[MemCube], query: str, *, k: int, budget: int | None, where: Where
) -> tuple[Answer, Recall]:
    """Ask every cube; put their answers together."""
    from memos_core import Recall  # noqa: PLC0415 - loaded already when a store is open
    from memos_core.query import checked_k, checked_query  # noqa: PLC0415 - as above

    checked_query(query)
    checked_k(k)
    begin = time.perf_counter()
    answers = [
        [(cube.name, hit) for hit in cube.recall(query, k=k, budget=budget, where=where)] for cube in cubes
    ]
    found = in_turns(answers, most=k)
    took = time.perf_counter() - begin
    answer = Answer(
        query=query,
        hits=found,
        cubes=[cube.name for cube in cubes],
        memories=sum(cube.count() for cube in cubes),
        seconds=took,
    )
    return answer, Recall(query, tuple(hit for _, hit in found), took=took)


def in_turns(answers: Sequence[Sequence[tuple[str, Hit]]], *, most: int) -> list[tuple[str, Hit]]:
    """Return the hits of several cubes as one list: all firsts by score, then all seconds, and so on.

    A score is relative to its cube (the best of a poor cube may have more than the answer itself in
    a cube of one memory), so it orders the cubes within a turn and not the list as a whole.
    """
    if len(answers) == 1:
        return list(answers[0])
    turns = [
        sorted((hit for hit in turn if hit is not None), key=lambda each: -each[1].score)
        for turn in zip_longest(*answers)
    ]
    return [each for turn in turns for each in turn][:most]


def _answer_json(answer: Answer) -> dict[str, object]:
    hits = [
        {
            "score": hit.score,
            "why": hit.why.parts(),
            "context": hit.context,
            "memory": memory_json(hit.memory, cube),
        }
        for cube, hit in answer.hits
    ]
    return {
        "query": answer.query,
        "hits": hits,
        "cubes": answer.cubes,
        "memories": answer.memories,
        "seconds": round(answer.seconds, 4),
    }


def _show_answer(answer: Answer) -> None:
    from memos_core.cli.views import count, hit_view, seconds  # noqa: PLC0415 - rich, only to show

    console = screen()
    several = len(answer.cubes) > 1
    where = count(answer.memories, "memory") + (f" in {len(answer.cubes)} cubes" if several else "")
    if not answer.hits:
        hint = "`memos remember` or `memos ingest` gives it something to know."
        said = f"I looked through {where}." if answer.memories else f"There is nothing here yet: {hint}"
        console.print(f"Nothing comes to mind. {said}")
        return
    for rank, (cube, hit) in enumerate(answer.hits, start=1):
        console.print(hit_view(rank, hit, cube=cube if several else None))
        console.print()
    console.print(
        f"{count(len(answer.hits), 'hit')} of {where}, {seconds(answer.seconds)} with the model's loading",
        style="dim",
    )
    if several:
        console.print("The cubes take turns: scores compare within one. --cube NAME asks one.", style="dim")


def list_(
    kind: options.Kind = None,
    tag: options.Tags = None,
    speaker: options.Speakers = None,
    session: options.Sessions = None,
    since: options.Since = None,
    until: options.Until = None,
    trust: options.Trust = None,
    state: Annotated[
        str | None,
        typer.Option("--state", metavar="WORD", help="Those in one state only; archived, expired, frozen, …"),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, metavar="N", help="How many at most; 0 is all.")
    ] = 20,
    offset: Annotated[int, typer.Option("--offset", min=0, metavar="N", help="Leave out the first N.")] = 0,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """List what is remembered, in the order in which it was first written."""
    where = options.where(kind, tag, speaker, session, since, until, trust)
    reach = offset + limit + 1 if limit else None
    with opened(store, principal=principal) as memos:
        cubes = cubes_to_read(memos, cube)
        rows = [
            (each.name, memory)
            for each in cubes
            for memory in each.list(where=where, state=state, limit=reach)
        ]
    rows.sort(key=lambda row: row[1].header.descriptive.created_at)
    page = rows[offset : offset + limit] if limit else rows[offset:]
    more = len(rows) > offset + len(page)
    if as_json:
        emit({"memories": [memory_json(memory, name) for name, memory in page], "more": more})
    else:
        _show_page(page, more=more, offset=offset, with_cube=len(cubes) > 1)


def _show_page(page: Sequence[tuple[str, Memory]], *, more: bool, offset: int, with_cube: bool) -> None:
    from memos_core.cli.views import memory_table  # noqa: PLC0415 - as above

    console = screen()
    if not page:
        console.print("No memory matches." if offset == 0 else "No memory is left.")
        return
    console.print(memory_table(page, with_cube=with_cube))
    last = offset + len(page)
    console.print(f"{offset + 1} to {last}" + (f"; more: --offset {last}" if more else ""), style="dim")


def show(
    id: options.Id,  # noqa: A002 - the argument's word
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Show one memory with its header and its sources."""
    with opened(store, principal=principal) as memos:
        place = find(memos, id, cube=cube)
        memory, sources = place.cube.get(place.id), place.cube.sources(place.id)
    if as_json:
        emit({**memory_json(memory, place.cube.name), "sources": in_json(sources)})
        return
    from rich.panel import Panel  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    from memos_core.cli.out import plain  # noqa: PLC0415 - beside its only use
    from memos_core.cli.views import memory_facts, source_line  # noqa: PLC0415 - as above

    console = screen()
    console.print(Panel(Text(plain(memory.text)), border_style="dim"))
    console.print(memory_facts(memory, place.cube.name))
    if len(sources) > 1 or any(each.text != memory.text for each in sources):
        console.print("\nsources", style="dim")
        for each in sources:
            console.print(source_line(each))


def history(
    id: options.Id,  # noqa: A002 - the argument's word
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Show every version of a memory, oldest first."""
    with opened(store, principal=principal) as memos:
        place = find(memos, id, cube=cube)
        revisions = place.cube.history(place.id)
    if as_json:
        emit({"id": place.id, "cube": place.cube.name, "versions": revisions})
        return
    from memos_core.cli.views import count, history_table, short  # noqa: PLC0415 - as above

    console = screen()
    versions = count(len(revisions), "version")
    console.print(f"{short(place.id)}  {versions}  (cube {one_line(place.cube.name)})", style="bold")
    console.print(history_table(revisions))
