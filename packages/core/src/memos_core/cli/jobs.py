"""The commands for durable work: `memos worker`, and `memos jobs …`."""

from __future__ import annotations

import signal
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memos_core.cli import options
from memos_core.cli.options import DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import as_json as in_json
from memos_core.cli.out import emit, one_line, screen
from memos_core.cli.place import cubes_to_read, opened
from memos_core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from memos_core import Job, MemCube, MemOS, OpenAIExtractor, Runtime, Schedule

Id = Annotated[str, typer.Argument(metavar="ID", help="A job's id, or its beginning.")]
About = Annotated[
    str | None, typer.Option("--cube", metavar="NAME", help="About which cube; without it, about the store.")
]
Facts = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="What the job is told; repeatable.")
]


def worker(
    threads: Annotated[
        int, typer.Option("--threads", min=1, max=256, metavar="N", help="Jobs at the same time.")
    ] = 1,
    kinds: Annotated[
        list[str] | None, typer.Option("--kind", metavar="WORD", help="Only such jobs; may be repeated.")
    ] = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Do what can be done now, then end.")
    ] = False,
    extractor: Annotated[
        str | None,
        typer.Option("--extractor", metavar="MODEL", help="A chat model that reads conversations."),
    ] = None,
    extractor_url: Annotated[
        str | None, typer.Option("--extractor-url", metavar="URL", help="The endpoint that it is behind.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="A model to prefill, train and examine adapters for."),
    ] = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Do the store's jobs until interrupted. This process holds the folder meanwhile.

    It expires, archives, sweeps and reindexes; with --extractor it reads conversations as well, and with
    --model it prefills, and trains and examines adapters.
    """
    with opened(store, principal=principal) as memos, _runtime(model, hidden=as_json) as runtime:
        if extractor is not None:
            memos.extract_with(_extractor(extractor, extractor_url))
        made = memos.worker(threads=threads, kinds=kinds, runtime=runtime)
        if until_idle:
            done = made.run_until_idle()
            emit({"done": done}) if as_json else screen().print(f"jobs run: {done}", style="bold")
            return
        screen(quiet=as_json).print(f"working: {', '.join(made.kinds)}; Ctrl-C ends it", soft_wrap=True)
        with made:
            _wait_for_a_signal()
        if as_json:
            emit({"stopped": True})


def _wait_for_a_signal() -> None:
    """Wait until the process is told to end, politely or by the keyboard."""
    told = threading.Event()

    def tell(_number: int, _frame: FrameType | None) -> None:
        told.set()

    former = {each: signal.signal(each, tell) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        while not told.wait(0.2):
            pass
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)


def _runtime(model: str | None, *, hidden: bool) -> AbstractContextManager[Runtime | None]:
    """Return the model that jobs are done with, or nothing."""
    if model is None:
        return nullcontext()
    from memos_core.cli.kv import opened_runtime  # noqa: PLC0415 - only for this

    return opened_runtime(model, engine="transformers", form="exact", hidden=hidden)


def _extractor(model: str, url: str | None) -> OpenAIExtractor:
    from memos_core import OpenAIExtractor  # noqa: PLC0415 - the library

    return OpenAIExtractor(model=model, base_url=url)


def list_(
    state: Annotated[
        str | None, typer.Option("--state", metavar="WORD", help="waiting, running, dead, done, …")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most so many.")] = 20,
    cube: About = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """List the newest jobs, the newest first."""
    with opened(store, principal=principal) as memos:
        jobs = memos.jobs.list(cube=_cube(memos, cube), state=state, limit=limit)
        names = _names(memos)
    if as_json:
        emit({"jobs": [_shown(job, names) for job in jobs]})
        return
    _show_table(
        ["id", "kind", "cube", "state", "tries", "why"],
        [
            [
                job.id[:8],
                job.kind,
                names.get(job.cube or "", "-"),
                job.state,
                f"{job.attempts}",
                job.error or "",
            ]
            for job in jobs
        ],
        none="no jobs",
    )


def show(
    job: Id,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Show a job, and why it failed."""
    with opened(store, principal=principal) as memos:
        found, names = memos.jobs.get(_whole(memos, job)), _names(memos)
    _show_job(found, names, as_json=as_json)


def submit(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="expire, archive, sweep, reindex, extract, …")],
    facts: Facts = None,
    priority: Annotated[
        int, typer.Option("--priority", min=-9, max=9, metavar="N", help="The higher, the sooner.")
    ] = 0,
    cube: About = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Order a job; a worker does it."""
    with opened(store, principal=principal) as memos:
        about = _cube(memos, cube)
        found = memos.jobs.submit(kind, cube=about, payload=_payload(facts), priority=priority)
        names = _names(memos)
    _show_job(found, names, as_json=as_json)


def retry(
    job: Id,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Let a job that is dead or cancelled begin anew."""
    with opened(store, principal=principal) as memos:
        found, names = memos.jobs.retry(_whole(memos, job)), _names(memos)
    _show_job(found, names, as_json=as_json)


def cancel(
    job: Id,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Cancel a job."""
    with opened(store, principal=principal) as memos:
        found, names = memos.jobs.cancel(_whole(memos, job)), _names(memos)
    _show_job(found, names, as_json=as_json)


def schedule(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the schedule is called.")],
    cron: Annotated[str, typer.Argument(metavar="CRON", help="Five fields in UTC, quoted: '30 3 * * *'.")],
    kind: Annotated[str, typer.Argument(metavar="KIND", help="The kind of job that comes again.")],
    facts: Facts = None,
    cube: About = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Order a job again and again."""
    with opened(store, principal=principal) as memos:
        made = memos.jobs.schedule(name, cron, kind, cube=_cube(memos, cube), payload=_payload(facts))
        names = _names(memos)
    _show_schedules([made], names, as_json=as_json)


def schedules(
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """List what comes again, and when next."""
    with opened(store, principal=principal) as memos:
        found, names = memos.jobs.schedules(), _names(memos)
    _show_schedules(found, names, as_json=as_json)


def unschedule(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the schedule is called.")],
    cube: About = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Delete a schedule."""
    with opened(store, principal=principal) as memos:
        memos.jobs.unschedule(name, cube=_cube(memos, cube))
    emit({"unscheduled": name}) if as_json else screen().print(f"{one_line(name)} comes no more")


# --- how it is found and shown ---------------------------------------------------------------


def _cube(memos: MemOS, name: str | None) -> MemCube | None:
    return None if name is None else cubes_to_read(memos, name)[0]


def _names(memos: MemOS) -> dict[str, str]:
    return {cube.id: cube.name for cube in memos.cubes()}


def _whole(memos: MemOS, prefix: str) -> str:
    """Return the one job id that begins so; what begins like none is looked for as it is."""
    found = [job.id for job in memos.jobs.list(limit=100_000) if job.id.startswith(prefix)]
    if len(found) > 1:
        raise InvalidInput(f"{len(found)} jobs start with {prefix!r}: give more of the id")
    return found[0] if found else prefix


def _payload(facts: list[str] | None) -> dict[str, str | int | float]:
    """Return NAME=VALUE pairs; what reads as a number is one."""
    found: dict[str, str | int | float] = {}
    for fact in facts or ():
        name, mark, value = fact.partition("=")
        if not mark or not name:
            raise InvalidInput(f"--set {fact!r} names no value: write NAME=VALUE")
        found[name] = _number(value)
    return found


def _number(text: str) -> str | int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _shown(job: Job, names: dict[str, str]) -> dict[str, Any]:
    return {**in_json(job), "lease": None, "cube": names.get(job.cube or ""), "cube_id": job.cube}


def _show_job(job: Job, names: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        emit(_shown(job, names))
        return
    from memos_core.cli.out import plain  # noqa: PLC0415 - as below
    from memos_core.cli.views import facts  # noqa: PLC0415 - rich, only to show

    told = {
        "job": job.id,
        "kind": f"{job.kind}, for {one_line(job.by)}",
        "cube": one_line(names.get(job.cube or "", "the store")),
        "state": f"{job.state}, {job.attempts} of {job.max_attempts} tries",
        "not before": f"{job.run_at:%Y-%m-%d %H:%M:%S} UTC",
    }
    if job.progress is not None:
        told["progress"] = f"{job.progress.done:,} of {job.progress.of:,}"
        if job.kind == "train":
            told["progress"] += f" seconds: {job.progress.of - job.progress.done:,} to go"
    if job.error:
        told["error"] = one_line(job.error)
    console = screen()
    console.print(facts(dict(told)))
    if job.trace:
        console.print(plain(job.trace), soft_wrap=True)


def _show_schedules(found: Sequence[Schedule], names: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        emit({"schedules": [{**in_json(each), "cube": names.get(each.cube or "")} for each in found]})
        return
    _show_table(
        ["name", "cron", "kind", "cube", "next (UTC)"],
        [
            [
                each.name,
                each.cron,
                each.kind,
                names.get(each.cube or "", "-"),
                f"{each.next_at:%Y-%m-%d %H:%M}",
            ]
            for each in found
        ],
        none="nothing comes again",
    )


def _show_table(head: list[str], rows: list[list[str]], *, none: str) -> None:
    if not rows:
        screen().print(none)
        return
    from rich import box  # noqa: PLC0415 - rich, only to show
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table(*head, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*map(one_line, row))
    screen().print(table)


jobs = typer.Typer(no_args_is_help=True, help="Durable work: what waits, runs, failed and comes again.")
_COMMANDS: list[Callable[..., None]] = [list_, show, submit, retry, cancel, schedule, schedules, unschedule]
for _command in _COMMANDS:
    jobs.command(name=_command.__name__.rstrip("_"))(_command)
