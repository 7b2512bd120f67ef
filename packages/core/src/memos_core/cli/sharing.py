"""The commands of who may do what: grant, revoke, grants, group, groups, classify, limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from memos_core.cli import options
from memos_core.cli.options import DEFAULT_CUBE, DEFAULT_PRINCIPAL, DEFAULT_STORE
from memos_core.cli.out import as_json as in_json
from memos_core.cli.out import emit, memory_json, one_line, screen
from memos_core.cli.place import cubes_to_read, find, opened

if TYPE_CHECKING:
    from memos_core import Group, MemOS, Principal

Who = Annotated[str, typer.Argument(metavar="NAME", help="A principal, or with --group a group of yours.")]
IsGroup = Annotated[bool, typer.Option("--group", help="NAME is a group of yours.")]


def grant(
    name: Who,
    right: Annotated[str, typer.Argument(metavar="RIGHT", help="read, write, share or admin.")],
    group: IsGroup = False,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Give somebody a right on a cube."""
    with opened(store, principal=principal) as memos:
        target = cubes_to_read(memos, cube or DEFAULT_CUBE)[0]
        given = target.grant(_grantee(memos, name, group=group), right)
    if as_json:
        emit(in_json(given))
    else:
        screen().print(f"{one_line(name)} may {given.right} cube {one_line(target.name)}")


def revoke(
    name: Who,
    right: Annotated[str | None, typer.Argument(metavar="RIGHT", help="Without it, all of them.")] = None,
    group: IsGroup = False,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Take a right away again, or all of somebody's."""
    with opened(store, principal=principal) as memos:
        target = cubes_to_read(memos, cube or DEFAULT_CUBE)[0]
        taken = target.revoke(_grantee(memos, name, group=group), right)
    if as_json:
        emit({"revoked": taken})
    else:
        screen().print(f"{taken} revoked")


def grants(
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Show who was given which right on a cube."""
    with opened(store, principal=principal) as memos:
        given = cubes_to_read(memos, cube or DEFAULT_CUBE)[0].grants()
    if as_json:
        emit({"grants": in_json(given)})
        return
    for each in given:
        screen().print(f"{each.right:<6} {one_line(str(each.to))}  (by {one_line(each.by)})")
    if not given:
        screen().print("Nobody but the owner may do anything.")


def group(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The group's name.")],
    member: Annotated[
        list[str] | None, typer.Option("--member", metavar="NAME", help="Exactly these; may be repeated.")
    ] = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Make a group of principals, or change who is in it."""
    with opened(store, principal=principal) as memos:
        made = memos.group(name, members=member)
    _show([made], as_json=as_json)


def groups(
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Show the groups that you own or are in."""
    with opened(store, principal=principal) as memos:
        found = memos.groups()
    _show(list(found), as_json=as_json)


def classify(
    id: options.Id,  # noqa: A002 - the argument's word
    visibility: Annotated[
        str | None, typer.Option("--visibility", metavar="WORD", help="private, shared or public.")
    ] = None,
    sensitivity: Annotated[int | None, typer.Option("--sensitivity", metavar="0-9")] = None,
    priority: Annotated[int | None, typer.Option("--priority", metavar="N", help="-9 to 9.")] = None,
    trust: options.Trust = None,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Change who may see a memory, how sensitive it is, how much it counts, whether it is trusted."""
    with opened(store, principal=principal) as memos:
        place = find(memos, id, cube=cube)
        memory = place.cube.classify(
            place.id, visibility=visibility, sensitivity=sensitivity, priority=priority, trust=trust
        )
    if as_json:
        emit(memory_json(memory, place.cube.name))
        return
    rules = memory.header.governance
    screen().print(
        f"{rules.visibility}, {rules.trust}, sensitivity {rules.sensitivity}, priority {rules.priority}"
    )


def limit(
    ttl: Annotated[str | None, typer.Option("--ttl", metavar="TIME", help="Known for so long: 30d.")] = None,
    memories: Annotated[int | None, typer.Option("--memories", metavar="N", help="At most so many.")] = None,
    text_bytes: Annotated[
        int | None, typer.Option("--bytes", metavar="N", help="At most so many bytes of text.")
    ] = None,
    purpose: Annotated[
        list[str] | None,
        typer.Option("--for", metavar="PURPOSE", help="Used for this and nothing else; may be repeated."),
    ] = None,
    cube: options.Cube = None,
    store: options.Store = DEFAULT_STORE,
    principal: options.As = DEFAULT_PRINCIPAL,
    as_json: options.AsJson = False,
) -> None:
    """Set what a cube may hold and serve, all anew; what is not given has no limit."""
    with opened(store, principal=principal) as memos:
        target = cubes_to_read(memos, cube or DEFAULT_CUBE)[0]
        limits = target.limit(
            ttl=options.duration(ttl, option="--ttl"),
            memories=memories,
            text_bytes=text_bytes,
            purposes=purpose or (),
        )
    document = {
        "ttl_seconds": None if limits.ttl is None else limits.ttl.total_seconds(),
        "memories": limits.memories,
        "text_bytes": limits.text_bytes,
        "purposes": list(limits.purposes) or None,
    }
    if as_json:
        emit(document)
    else:
        screen().print(", ".join(f"{name} {'no limit' if v is None else v}" for name, v in document.items()))


def _grantee(memos: MemOS, name: str, *, group: bool) -> Principal | Group | str:
    if not group:
        return name
    mine = [each for each in memos.groups() if (each.name, each.owner) == (name, memos.principal.name)]
    if not mine:
        from memos_core import NotFound  # noqa: PLC0415 - loaded already when a store is open

        raise NotFound("group", name)
    return mine[0]


def _show(groups: list[Group], *, as_json: bool) -> None:
    told = [{"name": each.name, "owner": each.owner, "members": sorted(each.members)} for each in groups]
    if as_json:
        emit({"groups": told})
        return
    for each in groups:
        who = ", ".join(one_line(member) for member in sorted(each.members)) or "nobody"
        screen().print(f"{one_line(each.name)} (of {one_line(each.owner)}): {who}")
