"""The commands put together, and what becomes of errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from memos_core.cli import (
    auditing,
    caring,
    erasing,
    idle,
    living,
    moving,
    planning,
    reading,
    sharing,
    storing,
    story,
    top,
    tracing,
    traveling,
    writing,
)
from memos_core.cli.jobs import jobs, worker
from memos_core.cli.kv import kv
from memos_core.cli.lora import lora
from memos_core.cli.out import emit, warn
from memos_core.cli.place import PURPOSE, SERVERS, Servers
from memos_core.errors import Locked, MemOSError, NotFound, WrongPurpose

INTERRUPTED = 130
_WHERE_TO_LOOK = {
    "store": "`memos remember TEXT` begins one; --store or MEMOS_STORE names another",
    "cube": "`memos stats` shows which there are",
    "job": "`memos jobs list` shows which there are; --as says who you are",
    "schedule": "`memos jobs schedules` shows which there are; --cube says about which cube",
    "segment": "`memos kv list` shows which there are",
    "adapter": "`memos lora list` shows which there are",
    "erasure": "`memos erasure list` shows your receipts; --as says who you are",
    "memory": "`memos list` shows the ids; --cube and --as say where to look",
    "file": "check the path, or pipe the conversation in and name it `-`",
}


class Commands(TyperGroup):
    """The group of commands. What the library raises becomes a message and an exit code."""

    def main(self, args: Sequence[str] | None = None, *positional: Any, **named: Any) -> Any:
        typed = sys.argv[1:] if args is None else list(args)
        before_texts = typed[: typed.index("--")] if "--" in typed else typed
        return super().main(args, *positional, obj={"json": "--json" in before_texts}, **named)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MemOSError as exc:
            message = _with_remedy(exc)
            warn(message, title="error", style="red")
            _tell(ctx, type(exc).__name__, message)
            raise typer.Exit(exit_code(exc)) from exc
        except typer.TyperException as exc:  # it was mistyped; typer prints how it is meant
            _tell(ctx, "UsageError", exc.format_message())
            raise
        except (typer.Abort, KeyboardInterrupt) as exc:
            warn("what was kept so far is safe", title="interrupted", style="yellow")
            _tell(ctx, "Interrupted", "interrupted")
            raise typer.Exit(INTERRUPTED) from exc


def exit_code(error: MemOSError) -> int:
    """Return the process's exit code for an error of the library."""
    match error:
        case NotFound():
            return 3
        case Locked():
            return 4
        case _:
            return 1


def _with_remedy(error: MemOSError) -> str:
    """Return the message; the library knows no commands, so some remedies are added here."""
    if isinstance(error, NotFound) and error.what in _WHERE_TO_LOOK:
        return f"{error}: {_WHERE_TO_LOOK[error.what]}"
    if isinstance(error, WrongPurpose):
        return f"{error}, or `memos --purpose WORD ...`"
    return str(error)


def _tell(ctx: Any, kind: str, message: str) -> None:
    """Write the error to stdout, if JSON is wanted there."""
    if ctx.obj["json"]:
        emit({"error": kind, "message": message})


def _version(wanted: bool) -> None:
    if wanted:
        from memos_core import __version__  # noqa: PLC0415 - brings the whole library

        typer.echo(f"memos {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with: memos demo",
)


@app.callback()
def memos(
    version: Annotated[  # noqa: ARG001 - its callback reads it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    purpose: Annotated[
        str | None,
        typer.Option(
            "--purpose", envvar="MEMOS_PURPOSE", metavar="WORD", help="What for; noted in the audit."
        ),
    ] = None,
    catalog: Annotated[
        str | None,
        typer.Option(
            "--catalog", envvar="MEMOS_CATALOG", metavar="URL", help="A PostgreSQL database, not SQLite."
        ),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(
            "--index", envvar="MEMOS_INDEX", metavar="URL", help="A Milvus server, not Milvus Lite."
        ),
    ] = None,
    jobs: Annotated[
        str | None,
        typer.Option(
            "--jobs",
            envvar="MEMOS_JOBS",
            metavar="WORD",
            help="Who hands out jobs from now on: embedded, or procrastinate on PostgreSQL.",
        ),
    ] = None,
) -> None:
    """Memory for agents, in a folder: remember, recall, revise, forget. Offline, no key."""
    PURPOSE.set(purpose or "")
    SERVERS.set(Servers(catalog or None, index or None, jobs or None))


_COMMANDS: dict[str, list[Callable[..., None]]] = {
    "Begin": [story.demo],
    "Write": [writing.remember, writing.ingest, writing.revise],
    "Erase": [erasing.forget, erasing.forget_cube, erasing.forget_principal],
    "Through its life": [
        living.activate,
        living.archive,
        living.restore,
        living.freeze,
        living.unfreeze,
        living.copy,
        living.upkeep,
    ],
    "Through time": [
        traveling.snapshot,
        traveling.snapshots,
        traveling.diff,
        traveling.rollback,
        traveling.fork,
        traveling.merge,
    ],
    "Share": [
        sharing.grant,
        sharing.revoke,
        sharing.grants,
        sharing.group,
        sharing.groups,
        sharing.classify,
        sharing.limit,
    ],
    "Look": [reading.recall, reading.list_, reading.show, reading.history, tracing.lineage],
    "Move": [moving.dump, moving.load, moving.inspect, moving.keygen, moving.import_],
    "Publish": [storing.publish, storing.published, storing.subscribe, storing.update],
    "Look after the store": [
        caring.stats,
        caring.doctor,
        caring.reindex,
        idle.consolidate,
        idle.undo,
        top.top,
        planning.plan,
        planning.calibrate,
        worker,
    ],
}
for _panel, _commands in _COMMANDS.items():
    for _command in _commands:
        app.command(name=_command.__name__.rstrip("_").replace("_", "-"), rich_help_panel=_panel)(_command)
app.add_typer(jobs, name="jobs", rich_help_panel="Look after the store")
app.add_typer(kv, name="kv", rich_help_panel="Look after the store")
app.add_typer(lora, name="lora", rich_help_panel="Look after the store")
app.add_typer(erasing.erasure, name="erasure", rich_help_panel="Look after the store")
app.add_typer(auditing.app, name="audit", rich_help_panel="Look after the store")
