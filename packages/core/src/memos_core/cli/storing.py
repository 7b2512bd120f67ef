"""The commands of published cubes: publish, published, subscribe, update."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memos_core.cli import options
from memos_core.cli.moving import Passphrase, VerifyKey
from memos_core.cli.options import DEFAULT_CUBE, DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import emit, one_line, screen
from memos_core.cli.place import cubes_to_read, opened

if TYPE_CHECKING:
    from memos_core import Published

Url = Annotated[str, typer.Argument(metavar="URL", help="A folder, or a place of fsspec: s3://bucket/cubes.")]
OnConflict = Annotated[
    str, typer.Option("--on-conflict", metavar="WORD", help="fail, skip, replace or keep_both.")
]


def publish(
    url: Url,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Else the cube's own.")] = None,
    version: Annotated[int | None, typer.Option("--version", metavar="N", help="Else the next.")] = None,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="KEYFILE", help="See `memos keygen`.")
    ] = None,
    passphrase: Passphrase = None,
    licence: Annotated[
        str | None, typer.Option("--licence", metavar="WORDS", help="How it may be used.")
    ] = None,
    audience: Annotated[
        list[str] | None, typer.Option("--for", metavar="NAME", help="Who may load it; may be repeated.")
    ] = None,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Publish a cube as its next version. It needs the right to share it."""
    with opened(store, principal=principal) as memos:
        from memos_core import SigningKey, Terms  # noqa: PLC0415 - loaded already when a store is open
        from memos_core import Store as Place  # noqa: PLC0415 - as above

        card = Place(url).publish(
            cubes_to_read(memos, cube or DEFAULT_CUBE)[0],
            name=name,
            version=version,
            terms=Terms(licence=licence, audience=tuple(audience or ())),
            sign=None if sign is None else SigningKey.read(sign),
            passphrase=passphrase,
        )
    _show([card], as_json=as_json)


def published(url: Url, as_json: options.AsJson = False) -> None:
    """Show the newest version of every cube that is published somewhere."""
    from memos_core import Store as Place  # noqa: PLC0415 - half a second that --help need not wait for

    _show(list(Place(url).cubes()), as_json=as_json)


def subscribe(
    url: Url,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the published cube.")],
    version: Annotated[int | None, typer.Option("--version", metavar="N", help="Else the newest.")] = None,
    on_conflict: OnConflict = "fail",
    verify: VerifyKey = None,
    passphrase: Passphrase = None,
    cube: Annotated[
        str | None, typer.Option("--cube", metavar="NAME", help="Else as it is published.")
    ] = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    embedder: options.Embedder = None,
    redact: options.Redact = None,
    as_json: options.AsJson = False,
) -> None:
    """Load a published cube into a cube of yours, to be updated later."""
    with opened(store, principal=principal, make=True, embedder=embedder, redact=redact) as memos:
        from memos_core import Store as Place  # noqa: PLC0415 - loaded already when a store is open

        mine = Place(url).subscribe(
            memos,
            name,
            version=version,
            cube=cube,
            on_conflict=on_conflict,
            verify_key=verify,
            passphrase=passphrase,
        )
        at, count = mine.imports()[-1].version, mine.count()
    if as_json:
        emit({"cube": mine.name, "version": at, "memories": count})
    else:
        screen().print(f"cube {one_line(mine.name)}: version {at}, {count:,} memories", style="bold")


def update(
    url: Url,
    on_conflict: OnConflict = "fail",
    verify: VerifyKey = None,
    passphrase: Passphrase = None,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    redact: options.Redact = None,
    as_json: options.AsJson = False,
) -> None:
    """Bring a subscribed cube to the newest version; what you changed yourself is a conflict."""
    with opened(store, principal=principal, redact=redact) as memos:
        from memos_core import Store as Place  # noqa: PLC0415 - as above

        target = cubes_to_read(memos, cube or DEFAULT_CUBE)[0]
        done = Place(url).update(target, on_conflict=on_conflict, verify_key=verify, passphrase=passphrase)
        at = target.imports()[-1].version
    told = (
        {}
        if done is None
        else {name: getattr(done, name) for name in ("added", "replaced", "withdrawn", "same", "skipped")}
    )
    if as_json:
        emit({"cube": target.name, "version": at, "new": done is not None, **told})
    elif done is None:
        screen().print(f"cube {one_line(target.name)}: at version {at} already")
    else:
        words = ", ".join(f"{count:,} {name}" for name, count in told.items() if count)
        screen().print(f"cube {one_line(target.name)}: version {at}, {words or 'nothing new'}", style="bold")


def _show(cards: list[Published], *, as_json: bool) -> None:
    if as_json:
        emit({"published": cards})
        return
    for each in cards:
        terms = each.licence or "no licence named"
        line = f"{one_line(each.name)}  version {each.version}  {each.size:,} bytes  {one_line(terms)}"
        screen().print(line, soft_wrap=True)
    if not cards:
        screen().print("Nothing is published there.")
