"""The command that shows where a memory comes from and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from memos_core.cli import options
from memos_core.cli.options import DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import as_json as in_json
from memos_core.cli.out import emit, memory_json, one_line, screen
from memos_core.cli.place import find, opened

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from memos_core import Kin, Lineage, Memory, Revision, Source

_SHOWN = 60  # characters of a memory's text on a line


def lineage(
    id: options.Id,  # noqa: A002 - the argument's word
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Draw where a memory comes from and what came of it: sources, versions, kin, KV segments."""
    with opened(store, principal=principal) as memos:
        place = find(memos, id, cube=cube)
        found = place.cube.lineage(place.id)
    if as_json:
        emit({**in_json(found), "memory": memory_json(found.memory, place.cube.name)})
    else:
        screen().print(drawn(found))


def drawn(found: Lineage) -> Tree:
    """Return the lineage as a tree: what it came from first, then what came of it."""
    from rich.tree import Tree  # noqa: PLC0415 - rich, only to show

    from memos_core.cli.views import size  # noqa: PLC0415 - as above

    tree = Tree(_named(found.memory))
    _branch(tree, "from", [_source(each) for each in found.sources])
    _branch(tree, "versions", [_version(each) for each in found.versions])
    _kin(tree, "stands on", found.ancestors, found.memory.id)
    _kin(tree, "stood on by", found.descendants, found.memory.id)
    products = [
        f"{each.kind} {each.key[:8]}  of version {each.version}, {size(each.size)}"
        + (f", stale: {each.stale}" if each.stale else "")
        for each in found.artifacts
    ]
    _branch(tree, "made from it", products)
    _branch(tree, "record", [] if found.record is None else [one_line(found.record)])
    return tree


def _branch(tree: Tree, name: str, lines: Iterable[str]) -> None:
    from rich.text import Text  # noqa: PLC0415 - as above

    shown = list(lines)
    if shown:
        branch = tree.add(Text(name, style="dim"))
        for line in shown:
            branch.add(Text(line))


def _kin(tree: Tree, name: str, kin: Sequence[Kin], root: str) -> None:
    """Hang each memory below the one that it was reached by."""
    from rich.text import Text  # noqa: PLC0415 - as above

    if not kin:
        return
    places = {root: tree.add(Text(name, style="dim"))}
    for each in kin:
        label = _named(each.memory)
        label.append(f"  ({each.relation.replace('_', ' ')})", style="dim")
        places[each.memory.id] = places[each.via].add(label)


def _named(memory: Memory) -> Text:
    from rich.text import Text  # noqa: PLC0415 - as above

    from memos_core.cli.views import short  # noqa: PLC0415 - as above

    text = one_line(memory.text)
    said = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1].rstrip()}…"
    label = Text.assemble((short(memory.id), "dim"), f"  {said}", no_wrap=True, overflow="ellipsis")
    label.append(f"  {one_line(memory.header.descriptive.made_by)}", style="cyan")
    if memory.trust == "untrusted":
        label.append(", untrusted", style="red")
    if memory.state in ("archived", "frozen"):
        label.append(f", {memory.state}", style="dim")
    return label


def _source(source: Source) -> str:
    from memos_core.cli.views import source_line  # noqa: PLC0415 - as above

    where = f"  in {one_line(source.session)}" if source.session else ""
    return f"{source_line(source).plain}{where}"


def _version(revision: Revision) -> str:
    from memos_core.cli.views import minute  # noqa: PLC0415 - as above

    return f"{revision.version}  {minute(revision.written_at)}  by {one_line(revision.written_by)}"
