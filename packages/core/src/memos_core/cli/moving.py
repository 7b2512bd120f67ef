"""The commands that move: dump, load, inspect, keygen, import."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memos_core.cli import options
from memos_core.cli.incoming import batches
from memos_core.cli.options import DEFAULT_CUBE, DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import as_json as in_json
from memos_core.cli.out import emit, one_line, screen, spinner
from memos_core.cli.place import cubes_to_read, opened
from memos_core.errors import InvalidInput

if TYPE_CHECKING:
    from memos_core import Export, Load, Manifest, MemOS

File = Annotated[Path, typer.Argument(metavar="FILE", help="A .memcube file.")]
Passphrase = Annotated[
    str | None,
    typer.Option(
        "--passphrase", envvar="MEMOS_PASSPHRASE", metavar="WORDS", help="What seals or opens the file."
    ),
]
VerifyKey = Annotated[
    str | None, typer.Option("--verify", metavar="KEY", help="Only a file that this public key signed.")
]


def dump(
    file: File,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="KEYFILE", help="Sign it; see `memos keygen`.")
    ] = None,
    passphrase: Passphrase = None,
    licence: Annotated[
        str | None, typer.Option("--licence", metavar="WORDS", help="How it may be used.")
    ] = None,
    audience: Annotated[
        list[str] | None, typer.Option("--for", metavar="NAME", help="Who may load it; may be repeated.")
    ] = None,
    without_vectors: Annotated[bool, typer.Option("--no-vectors", help="The text alone is smaller.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="In place of a file that is there.")] = False,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Write a cube to one file: what you may see of it, with its history."""
    with opened(store, principal=principal) as memos:
        from memos_core import SigningKey, Terms  # noqa: PLC0415 - loaded already when a store is open

        key = None if sign is None else SigningKey.read(sign)
        with spinner("writing", hidden=as_json):
            written = cubes_to_read(memos, cube or DEFAULT_CUBE)[0].dump(
                file,
                sign=key,
                passphrase=passphrase,
                terms=Terms(licence=licence, audience=tuple(audience or ())),
                vectors=not without_vectors,
                overwrite=overwrite,
            )
    if as_json:
        emit({"path": written.path, "size": written.size, "manifest": _manifest_json(written.manifest)})
        return
    screen().print(f"{one_line(str(file))}  {written.size:,} bytes", style="bold")
    _show(written.manifest)


def load(
    file: File,
    on_conflict: Annotated[
        str, typer.Option("--on-conflict", metavar="WORD", help="fail, skip, replace or keep_both.")
    ] = "fail",
    verify: VerifyKey = None,
    passphrase: Passphrase = None,
    cube: Annotated[
        str | None, typer.Option("--cube", metavar="NAME", help="Into which cube; else as in the file.")
    ] = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    embedder: options.Embedder = None,
    redact: options.Redact = None,
    as_json: options.AsJson = False,
) -> None:
    """Read a .memcube file into a cube: all of it, or nothing."""
    with (
        opened(store, principal=principal, make=True, embedder=embedder, redact=redact) as memos,
        spinner("loading", hidden=as_json),
    ):
        done = memos.load(file, name=cube, on_conflict=on_conflict, verify_key=verify, passphrase=passphrase)
    if as_json:
        emit({**in_json(done), "manifest": _manifest_json(done.manifest)})
    else:
        _say_loaded(done)


def inspect(
    file: File,
    verify: VerifyKey = None,
    passphrase: Passphrase = None,
    as_json: options.AsJson = False,
) -> None:
    """Check a .memcube file, byte by byte, and show what it says about itself. Needs no store."""
    from memos_core import inspected  # noqa: PLC0415 - half a second that --help need not wait for

    manifest = inspected(file, verify_key=verify, passphrase=passphrase)
    if as_json:
        emit(_manifest_json(manifest))
    else:
        _show(manifest)


def keygen(
    file: Annotated[Path, typer.Argument(metavar="KEYFILE", help="Where the new key is kept.")],
    as_json: options.AsJson = False,
) -> None:
    """Make a key that signs files; its public half is printed, and is what others verify with."""
    from memos_core import SigningKey  # noqa: PLC0415 - as above

    key = SigningKey.new()
    key.save(file)
    if as_json:
        emit({"path": file, "public": key.public})
    else:
        screen().print(key.public, soft_wrap=True)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An export of another system.")],
    format: Annotated[  # noqa: A002 - the option's word
        str | None,
        typer.Option("--format", metavar="WORD", help="openai-chats, langgraph, mem0, memos; or guessed."),
    ] = None,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    embedder: options.Embedder = None,
    redact: options.Redact = None,
    as_json: options.AsJson = False,
) -> None:
    """Keep what another system exported: ChatGPT, LangGraph, mem0, MemOS. Imported again, it adds nothing."""
    from memos_core import read_export  # noqa: PLC0415 - as above

    export = read_export(file, format)
    begin = time.perf_counter()
    with (
        opened(store, principal=principal, make=True, embedder=embedder, redact=redact) as memos,
        spinner("importing", hidden=as_json),
    ):
        told, new = _kept(memos, export, cube=cube)
    took = time.perf_counter() - begin
    if as_json:
        emit({"format": export.format, "cubes": told, "new": new, "seconds": took})
        return
    screen().print(f"{sum(told.values()):,} from {export.format}, {new:,} of them new", style="bold")
    for name, count in told.items():
        screen().print(f"  {one_line(name)}  {count:,}")


def _kept(memos: MemOS, export: Export, *, cube: str | None) -> tuple[dict[str, int], int]:
    """Write what was exported; return how much went to each cube, and how much of it was not known."""
    told: dict[str, int] = {}
    new = 0
    for batch in batches(export.conversations, cube=cube, session=None):
        target = memos.cube(batch.cube)
        before = target.count()
        target.ingest(batch.messages, session=batch.session)
        new += target.count() - before
        told[batch.cube] = told.get(batch.cube, 0) + len(batch.messages)
    if cube is not None and len(export.items) > 1:
        raise InvalidInput("the items are of several namespaces, each its own cube: leave --cube out")
    for items in export.items:
        target = memos.cube(cube or items.cube)
        known = target.records.get([entry.key for entry in items.entries])
        fresh = [e for e in items.entries if e.key not in known or known[e.key].data != e.data]
        target.records.put(fresh)
        new += len(fresh)
        told[target.name] = told.get(target.name, 0) + len(items.entries)
    return told, new


def _manifest_json(manifest: Manifest) -> dict[str, Any]:
    told: dict[str, Any] = in_json(manifest)
    return {**told, "size": manifest.size}


def _show(manifest: Manifest) -> None:
    console = screen()
    counts = ", ".join(f"{count:,} {kind}" for kind, count in manifest.counts.items() if count)
    console.print(f"cube {one_line(manifest.name)} of {one_line(manifest.owner)}: {counts or 'nothing'}")
    console.print(f"made {manifest.made_at:%Y-%m-%d %H:%M} UTC, vectors {manifest.embedder or 'none'}")
    terms = manifest.terms
    if terms.licence or terms.audience:
        whom = f", for {', '.join(map(one_line, terms.audience))}" if terms.audience else ""
        console.print(f"licence {one_line(terms.licence or 'not named')}{whom}")
    console.print(f"signed by {manifest.signer or 'nobody'}", soft_wrap=True)
    console.print(f"digest {manifest.digest}", soft_wrap=True)


def _say_loaded(done: Load) -> None:
    console = screen()
    told = {name: getattr(done, name) for name in ("added", "replaced", "same", "skipped")}
    words = ", ".join(f"{count:,} {name}" for name, count in told.items() if count) or "nothing new"
    console.print(f"cube {one_line(done.cube)}: {words}", style="bold")
    beside = {"links": done.links, "records": done.records, "embedded here": done.embedded}
    out = {"expired": done.expired, "forgotten here": done.forgotten}
    for name, count in {**beside, **out}.items():
        if count:
            console.print(f"  {count:,} {name}")
