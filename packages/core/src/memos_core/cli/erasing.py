"""The commands that erase: forget, forget-cube, forget-principal; and erasure, which looks after receipts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memos_core.cli import options
from memos_core.cli.options import DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import as_json as in_json
from memos_core.cli.out import emit, one_line, plain, screen
from memos_core.cli.place import Place, cubes_to_read, find, opened
from memos_core.errors import BackendError, InvalidInput

if TYPE_CHECKING:
    from memos_core import Erasure, ErasureCheck, MemCube, Where

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")]
Save = Annotated[
    Path | None,
    typer.Option(
        "--receipt", metavar="FILE", help="Save the receipt WITH THE ERASED WORDS, to verify it later."
    ),
]

erasure = typer.Typer(no_args_is_help=True, help="Receipts of what was erased: list them, verify one.")


def forget(
    id: Annotated[  # noqa: A002 - the argument's word
        str | None, typer.Argument(metavar="ID", help="A memory's id, or its beginning; or give a filter.")
    ] = None,
    kind: options.Kind = None,
    tag: options.Tags = None,
    speaker: options.Speakers = None,
    session: options.Sessions = None,
    since: options.Since = None,
    until: options.Until = None,
    trust: options.Trust = None,
    receipt: Save = None,
    yes: Yes = False,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Erase a memory, or all of a cube that match a filter, and print the receipt."""
    where = options.where(kind, tag, speaker, session, since, until, trust)
    if (id is None) == where.is_empty:
        raise InvalidInput("name one memory, or say which with --kind, --tag, --speaker, --session or times")
    with opened(store, principal=principal) as memos:
        if id is not None:
            place = find(memos, id, cube=cube, states=(None, "archived", "expired"))
            _ask(_one(place), yes=yes)
            made = place.cube.forget(place.id)
        else:
            if cube is None:
                raise InvalidInput("a filter needs --cube NAME: it erases in one cube")
            target = cubes_to_read(memos, cube)[0]
            _ask(_many(target, where), yes=yes)
            made = target.forget(where=where)
    _told(made, receipt, as_json=as_json)


def forget_cube(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Your cube, or OWNER/NAME.")],
    receipt: Save = None,
    yes: Yes = False,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Erase a cube with all that is in it, frozen memories too, and print the receipt."""
    with opened(store, principal=principal) as memos:
        target = cubes_to_read(memos, name)[0]
        _ask(f"Erase the cube {one_line(target.name)} with its {target.count()} memories?", yes=yes)
        made = memos.forget_cube(target.name, owner=target.owner)
    _told(made, receipt, as_json=as_json)


def forget_principal(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose traces are to go.")],
    receipt: Save = None,
    yes: Yes = False,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Erase what somebody owns or said, in every cube that you govern, and print the receipt."""
    with opened(store, principal=principal) as memos:
        _ask(f"Erase what {one_line(name)} owns or said, in every cube that you govern?", yes=yes)
        made = memos.forget_principal(name)
    _told(made, receipt, as_json=as_json)


@erasure.command("list")
def list_(
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Show the receipts of your erasures, oldest first."""
    with opened(store, principal=principal) as memos:
        found = memos.erasures()
    if as_json:
        emit({"erasures": [each.facts() for each in found]})
        return
    from memos_core.cli.views import count, minute, short  # noqa: PLC0415 - rich, only to show

    for each in found:
        what = f"{each.scope}, {count(len(each.memories), 'memory')}"
        screen().print(f"{short(each.id)}  {minute(each.at)}  {what}")
    if not found:
        screen().print("Nothing was erased by you.")


@erasure.command()
def verify(
    receipt: Annotated[
        str, typer.Argument(metavar="RECEIPT", help="A receipt's id, its beginning, or a saved file.")
    ],
    words_from: Annotated[
        Path | None,
        typer.Option("--words-from", metavar="FILE", help="Look for these texts, one a line; - is stdin."),
    ] = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Pay what is owed, then look for the erased in every byte of the store. Exits with 1 if it finds any."""
    words = _words(words_from)
    with opened(store, principal=principal) as memos:
        from memos_core.erasure import Erasure  # noqa: PLC0415 - with the library, when a command runs

        known = Erasure.load(receipt) if Path(receipt).is_file() else receipt
        check = memos.verify_erasure(known, words=words)
    if as_json:
        emit({**in_json(check), "erasure": check.erasure.facts(), "ok": check.ok})
    else:
        _show_check(check)
    if not check.ok:
        raise typer.Exit(1)


def _show_check(check: ErasureCheck) -> None:
    from memos_core.cli.views import count, size  # noqa: PLC0415 - rich, only to show

    console = screen()
    for each in check.residues:
        at = f" at byte {each.offset}" if each.offset >= 0 else ""
        console.print(f"LEFT  {one_line(each.place)}: {each.form}{at}", style="bold red")
    if check.owed:
        console.print(f"OWED  {count(check.owed, 'deletion')}: {one_line(check.reason)}", style="bold red")
    if check.ok:
        console.print(f"ok  nothing is left in {count(check.files, 'file')}, {size(check.size)}")
    words = f"{count(check.looked_for, 'piece')} of text, " if check.looked_for else "no words (none given), "
    console.print(f"looked for {words}{count(len(check.erasure.memories), 'id')}", style="dim")
    if check.shared or check.short:
        console.print(
            f"not looked for: {check.shared} that living memories say too, {check.short} too short",
            style="dim",
        )


def _words(path: Path | None) -> list[str]:
    """Return the texts of a file, one a line."""
    if path is None:
        return []
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise BackendError(f"{path} cannot be read ({exc}): name a file of text") from exc
    return [line for line in text.splitlines() if line.strip()]


def _told(made: Erasure, file: Path | None, *, as_json: bool) -> None:
    """Print the receipt, and save it where that was asked for."""
    if file is not None:
        made.save(file)
    if as_json:
        emit({**made.facts(), "memory_id": made.memory_id, "cube": made.cube})
        return
    from memos_core.cli.views import receipt  # noqa: PLC0415 - brings rich, which --json never needs

    console = screen()
    console.print("forgotten", style="bold")
    console.print(receipt(made))


def on_terminal() -> bool:
    """Return whether somebody is there to be asked."""
    return sys.stdin.isatty()


def _ask(question: str, *, yes: bool) -> None:
    """Go on if the user agrees, or need not be asked."""
    if not yes and on_terminal() and not typer.confirm(question, err=True):
        raise typer.Exit(1)


def _one(place: Place) -> str:
    """Return the question about one memory."""
    if place.state is not None:  # its words are out of reach, or gone
        return f"Erase this memory, which is {place.state}?"
    versions = len(place.cube.history(place.id))
    typer.echo(plain(place.cube.get(place.id).text), err=True)
    return f"Erase this with {f'its {versions} versions' if versions > 1 else 'all its traces'}?"


def _many(cube: MemCube, where: Where) -> str:
    return f"Erase {len(cube.list(where=where))} memories in sight, and those archived that match?"
