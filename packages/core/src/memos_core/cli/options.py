"""The options that several commands share, and how their words are read."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from memos_core.errors import InvalidInput

if TYPE_CHECKING:
    from memos_core.query import Where

DEFAULT_STORE: Final = Path("memory")
DEFAULT_PRINCIPAL: Final = "local"
DEFAULT_CUBE: Final = "main"
DEFAULT_MODEL: Final = "smollm2-135m"

Store = Annotated[
    Path, typer.Option("--store", envvar="MEMOS_STORE", metavar="PATH", help="The folder of the store.")
]
As = Annotated[
    str, typer.Option("--as", envvar="MEMOS_PRINCIPAL", metavar="NAME", help="Who you are to the store.")
]
Cube = Annotated[
    str | None,
    typer.Option(
        "--cube", metavar="NAME", help="Which cube. Reading: all of yours, or OWNER/NAME; writing: main."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout, nothing else.")]
Embedder = Annotated[
    str | None,
    typer.Option(
        "--embedder", metavar="SPEC", help="What makes the vectors: minilm-int8 (default), minilm, static, …"
    ),
]
Model = Annotated[
    str, typer.Option("--model", metavar="NAME", help="The bundled model, a path, or a hub's id.")
]
Redact = Annotated[
    str | None,
    typer.Option(
        "--redact",
        envvar="MEMOS_REDACT",
        metavar="MODE",
        help="Addresses, numbers, keys: off, mask or refuse.",
    ),
]
Id = Annotated[str, typer.Argument(metavar="ID", help="A memory's id, or its beginning.")]
Kind = Annotated[str | None, typer.Option("--kind", metavar="WORD", help="What kind of memory it is.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="WORD", help="A tag; may be repeated.")]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help="When it happened: 2024-05-03 or 2024-05-03T18:30+02:00."),
]

Past = Annotated[
    str | None,
    typer.Option("--at", metavar="STATE", help="As it was then: a snapshot's label, or a time."),
]
Since = Annotated[str | None, typer.Option("--since", metavar="TIME", help="Happened then or later.")]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Happened before then.")]
Speakers = Annotated[
    list[str] | None, typer.Option("--speaker", metavar="NAME", help="Said by; may be repeated.")
]
Sessions = Annotated[
    list[str] | None, typer.Option("--session", metavar="NAME", help="Said in; may be repeated.")
]
Trust = Annotated[
    str | None, typer.Option("--trust", metavar="WORD", help="trusted or untrusted: from a page, a tool.")
]

_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def moment(text: str | None, *, option: str) -> datetime | None:
    """Return the time that was typed; without a zone it is UTC, as all times that are shown."""
    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError as exc:
        raise InvalidInput(
            f"{option} {text!r} is no ISO 8601 time: write 2024-05-03 or 2024-05-03T18:30+02:00"
        ) from exc
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def duration(text: str | None, *, option: str) -> timedelta | None:
    """Return the duration that was typed: a number and one of s, m, h, d, w."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    if found is None:
        raise InvalidInput(f"{option} {text!r} is no duration: write 90m, 12h, 30d or 4w")
    return int(found[1]) * _UNITS[found[2]]


def where(
    kind: str | None,
    tags: list[str] | None,
    speakers: list[str] | None,
    sessions: list[str] | None,
    since: str | None,
    until: str | None,
    trust: str | None = None,
) -> Where:
    """Return the filter that was typed."""
    from memos_core.query import Where  # noqa: PLC0415 - with the library, when a command runs

    return Where(
        kinds=(kind,) if kind else (),
        tags=tuple(tags or ()),
        speakers=tuple(speakers or ()),
        sessions=tuple(sessions or ()),
        since=moment(since, option="--since"),
        until=moment(until, option="--until"),
        trust=trust,
    )
