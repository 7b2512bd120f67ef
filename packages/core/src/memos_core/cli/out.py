"""What is written where: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console

    from memos_core import Memory

Progress: TypeAlias = Callable[[int, int], None]
"""Told how much is done, and of how much."""

_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\N{REPLACEMENT CHARACTER}")
_CONTROLS |= {ord("\n"): "\n", ord("\t"): " "}


def screen(*, err: bool = False, quiet: bool = False) -> Console:
    """Return a console on stdout (or stderr) that prints text as it is, without markup."""
    from rich.console import Console  # noqa: PLC0415 - 0.1 s that --json need not wait for

    stream = sys.stderr if err else sys.stdout
    if (stream.encoding or "").lower().replace("-", "") != "utf8" and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")  # a question mark is better than no answer
    return Console(stderr=err, quiet=quiet, markup=False, emoji=False, highlight=False)


def warn(message: str, *, title: str, style: str) -> None:
    """Say something on stderr."""
    from rich.text import Text  # noqa: PLC0415 - as above

    console = screen(err=True)
    console.print(Text.assemble((f"{title}: ", f"bold {style}"), plain(message)), soft_wrap=True)


def plain(text: str) -> str:
    """Return text in which no control character is left, so that no memory can steer the terminal."""
    return text.translate(_CONTROLS)


def one_line(text: str) -> str:
    """Return text on one line, without control characters."""
    return " ".join(plain(text).split())


# --- JSON ------------------------------------------------------------------------------------


def emit(value: object) -> None:
    """Write the one JSON document of a command to stdout."""
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    sys.stdout.write(json.dumps(as_json(value), ensure_ascii=ascii_only, indent=2) + "\n")


def as_json(value: object) -> Any:
    """Return the value in JSON's types: dataclasses as objects, times in ISO 8601, spans in seconds."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)  # a StrEnum becomes its word
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Path():
            return str(value)
        case Mapping():
            return {str(name): as_json(each) for name, each in value.items()}
        case Sequence() | frozenset():
            return [as_json(each) for each in value]
        case _ if is_dataclass(value):
            return {each.name: as_json(getattr(value, each.name)) for each in fields(value)}
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form here")


def memory_json(memory: Memory, cube: str) -> dict[str, Any]:
    """Return a memory as JSON: its cube by name, and what is asked for most at the top."""
    at_hand: dict[str, object] = {
        "cube": cube,
        "kind": memory.kind,
        "tags": memory.tags,
        "speaker": memory.speaker,
    }
    at_hand |= {"session": memory.session, "at": memory.at, "cube_id": memory.cube}
    return {**as_json(memory), **as_json(at_hand)}


# --- progress --------------------------------------------------------------------------------


@contextmanager
def bar(label: str, *, total: int | None, hidden: bool) -> Generator[Progress]:
    """Show a bar on stderr while the block runs, if somebody is looking."""
    console = screen(err=True, quiet=hidden)
    if hidden or not console.is_terminal:
        yield _unseen
        return
    from rich import progress  # noqa: PLC0415 - only where a bar is shown

    columns = (
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=None),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, transient=True, expand=True) as bars:
        task = bars.add_task(label, total=total)
        yield lambda done, of: bars.update(task, completed=done, total=of)


@contextmanager
def spinner(label: str, *, hidden: bool) -> Generator[None]:
    """Show that something goes on, on stderr, if somebody is looking."""
    console = screen(err=True, quiet=hidden)
    if hidden or not console.is_terminal:
        yield
        return
    with console.status(label):
        yield


def _unseen(_done: int, _of: int) -> None:
    """Take note of progress that nobody watches."""
