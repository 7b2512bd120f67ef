"""The commands of the audit: verify and export."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memos_core.cli import options
from memos_core.cli.options import DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import as_json as in_json
from memos_core.cli.out import emit, screen
from memos_core.cli.place import opened
from memos_core.errors import BackendError

if TYPE_CHECKING:
    from memos_core import AuditCheck

app = typer.Typer(no_args_is_help=True, help="Who did what: verify the audit, or export it.")


@app.command()
def verify(
    head: Annotated[
        str | None, typer.Option("--head", metavar="HASH", help="A head that you noted earlier.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Check an export instead of a store; give a head, too."),
    ] = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Check that no line was changed, removed, put in or moved. Exits with 1 if one was."""
    if file is not None:
        check = _of_export(file, head)
    else:
        with opened(store, principal=principal) as memos:
            check = memos.verify_audit(head=head)
    if as_json:
        told = {"ok": check.ok, "lines": check.head.lines, "head": check.head.hash}
        emit({**told, "blank": check.blank, "findings": check.findings})
    else:
        for finding in check.findings:
            screen().print(f"WRONG  {finding}", style="bold red")
        if check.ok:
            blank = f" ({check.blank} by their hash only)" if check.blank else ""
            screen().print(f"ok  {check.head.lines} lines{blank}, head {check.head.hash}", soft_wrap=True)
    if not check.ok:
        raise typer.Exit(1)


def _of_export(file: Path, head: str | None) -> AuditCheck:
    from memos_core.audit import lines_in, verified  # noqa: PLC0415 - with the library, when a command runs

    try:
        with file.open(encoding="utf-8") as exported:
            return verified(lines_in(exported), None, noted=head)
    except (OSError, UnicodeDecodeError) as exc:
        raise BackendError(
            f"{file} cannot be read ({exc}): name a file that `memos audit export` wrote"
        ) from exc


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
