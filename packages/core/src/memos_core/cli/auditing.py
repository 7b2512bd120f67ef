"""The commands of the audit: verify and export."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from memos_core.cli import options
from memos_core.cli.options import DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import as_json as in_json
from memos_core.cli.out import emit, screen
from memos_core.cli.place import opened

app = typer.Typer(no_args_is_help=True, help="Who did what: verify the audit, or export it.")


@app.command()
def verify(
    head: Annotated[
        str | None, typer.Option("--head", metavar="HASH", help="A head that you noted earlier.")
    ] = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Check that no line was changed, removed, put in or moved. Exits with 1 if one was."""
    with opened(store, principal=principal) as memos:
        check = memos.verify_audit(head=head)
    if as_json:
        emit({"ok": check.ok, "lines": check.head.lines, "head": check.head.hash, "findings": check.findings})
    else:
        for finding in check.findings:
            screen().print(f"WRONG  {finding}", style="bold red")
        if check.ok:
            screen().print(f"ok  {check.head.lines} lines, head {check.head.hash}", soft_wrap=True)
    if not check.ok:
        raise typer.Exit(1)


@app.command()
def export(
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
) -> None:
    """Write the audit to stdout as JSON Lines, oldest first; of cubes that are not yours the hashes only."""
    with opened(store, principal=principal) as memos:
        lines = memos.audit()
    for line in lines:
        told = {name: value for name, value in in_json(line).items() if value is not None}
        if line.at is not None:
            told["at"] = line.at.isoformat(timespec="microseconds")
        sys.stdout.write(json.dumps(told) + "\n")
