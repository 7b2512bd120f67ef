"""Who may do what and how much: grants, groups, limits and visibility, in a writing transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, assert_never

from sqlalchemy import (
    BigInteger,
    Row,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    type_coerce,
    update,
)

from memos_core import governance
from memos_core.consolidation import GIST
from memos_core.cube import Access, CubeHeader, Grant, Group, Limits, Principal, Right
from memos_core.errors import Forbidden, NotFound, QuotaExceeded
from memos_core.lifecycle import check_writable
from memos_core.memory import State, Trust, Visibility
from memos_core.vault import artifacts, forks, made, tx_erase, tx_trust
from memos_core.vault.dialect import byte_length
from memos_core.vault.draft import Draft
from memos_core.vault.engine import dialect_of
from memos_core.vault.schema import cubes, grants, groups, members, memories, records

if TYPE_CHECKING:
    from memos_core.vault.tx import Tx
    from memos_core.vault.view import View

_MICROSECOND = timedelta(microseconds=1)


# --- grants ----------------------------------------------------------------------------------


def grant(tx: Tx, cube: CubeHeader, to: Principal | Group, right: Right) -> Grant:
    """Give a right on the cube; one that was given already stays as it was given."""
    kind, grantee = _grantee(tx, to)
    governance.check_grant(cube, right, to=to.name if isinstance(to, Principal) else None)
    row = {"cube_id": cube.id, "kind": kind, "grantee": grantee, "right": right.value}
    new = {**row, "by": tx.principal.name, "at": tx.now}
    fresh = dialect_of(tx.connection).insert(grants).values(new).on_conflict_do_nothing()
    if tx.connection.execute(fresh.returning(grants.c.cube_id)).first() is not None:
        tx._note(cube, "grant", detail=f"{right} {kind} {to.name}")
        artifacts.outdate_cube(tx.connection, cube, reason="regranted", now=tx.now)
    return next(each for each in granted(tx, cube) if (each.to, each.right) == (to, right))


def revoke(tx: Tx, cube: CubeHeader, to: Principal | Group, right: Right | None) -> int:
    """Take a right away, or all of them; return how many were taken."""
    kind, grantee = _grantee(tx, to)
    theirs = (grants.c.cube_id == cube.id, grants.c.kind == kind, grants.c.grantee == grantee)
    held = [Right(word) for word in tx.connection.execute(select(grants.c.right).where(*theirs)).scalars()]
    taken = [each for each in held if right in (None, each)]
    for each in taken:
        governance.check_grant(cube, each, to=to.name if isinstance(to, Principal) else None)
        tx.connection.execute(delete(grants).where(*theirs, grants.c.right == each.value))
        tx._note(cube, "revoke", detail=f"{each} {kind} {to.name}")
    if taken:
        artifacts.outdate_cube(tx.connection, cube, reason="regranted", now=tx.now)
    return len(taken)


def granted(view: View, cube: CubeHeader) -> list[Grant]:
    """Return every grant on the cube, oldest first."""
    rows = view.connection.execute(
        select(grants)
        .where(grants.c.cube_id == cube.id)
        .order_by(grants.c.at, grants.c.grantee, grants.c.right)
    ).all()
    known = {group.id: group for group in _groups(view, groups.c.id.in_([row.grantee for row in rows]))}
    return [
        Grant(
            to=known[row.grantee] if row.kind == "group" else Principal(row.grantee),
            right=Right(row.right),
            by=row.by,
            at=row.at,
        )
        for row in rows
    ]


def _grantee(tx: Tx, to: Principal | Group) -> tuple[str, str]:
    """Return the kind and the key of a grantee; a group has to be one's own."""
    if isinstance(to, Principal):
        return "principal", to.name
    mine = (groups.c.id == to.id) & (groups.c.owner == tx.principal.name)
    if tx.connection.execute(select(groups.c.id).where(mine)).scalar() is None:
        raise NotFound("group", to.name)
    return "group", to.id


# --- groups ----------------------------------------------------------------------------------


def group(tx: Tx, name: str, names: Iterable[str] | None) -> Group:
    """Return the principal's group of this name, made on first use, with these members if they are given."""
    mine = (groups.c.owner == tx.principal.name) & (groups.c.name == name)
    group_id = tx.connection.execute(select(groups.c.id).where(mine)).scalar()
    if group_id is None:
        group_id = uuid.uuid4().hex
        row = {"id": group_id, "name": name, "owner": tx.principal.name, "created_at": tx.now}
        tx.connection.execute(insert(groups).values(row))
    if names is not None:
        tx.connection.execute(delete(members).where(members.c.group_id == group_id))
        rows = [{"group_id": group_id, "member": each} for each in sorted(set(names))]
        if rows:
            tx.connection.execute(insert(members), rows)
        for cube_id in _cubes_of(tx, group_id):
            cube = tx.counted(tx.header(cube_id))
            artifacts.outdate_cube(tx.connection, cube, reason="regranted", now=tx.now)
            tx._note(cube, "group", detail=f"{name}: {', '.join(row['member'] for row in rows)}")
    return _groups(tx, mine)[0]


def groups_of(view: View, principal: Principal) -> list[Group]:
    """Return the groups that the principal owns or is in, by name."""
    joined = select(members.c.group_id).where(members.c.member == principal.name)
    return _groups(view, or_(groups.c.owner == principal.name, groups.c.id.in_(joined)))


def _groups(view: View, condition: Any) -> list[Group]:
    query = select(groups, members.c.member).join(members, isouter=True).where(condition)
    rows = view.connection.execute(query.order_by(groups.c.name, groups.c.owner)).all()
    found: dict[str, list[Row[Any]]] = {}
    for row in rows:
        found.setdefault(row.id, []).append(row)
    return [
        Group(
            id=group_id,
            name=each[0].name,
            owner=each[0].owner,
            members=frozenset(row.member for row in each if row.member is not None),
        )
        for group_id, each in found.items()
    ]


def _cubes_of(tx: Tx, group_id: str) -> list[str]:
    query = select(grants.c.cube_id).where(grants.c.kind == "group", grants.c.grantee == group_id).distinct()
    return list(tx.connection.execute(query).scalars())


# --- limits ----------------------------------------------------------------------------------


def limit(tx: Tx, cube: CubeHeader, limits: Limits) -> None:
    """Set what the cube may hold; what is there is known no longer than a new TTL allows."""
    ttl = None if limits.ttl is None else limits.ttl // _MICROSECOND
    values: dict[str, Any] = {"ttl": ttl, "max_memories": limits.memories, "max_bytes": limits.text_bytes}
    values["purposes"] = list(limits.purposes) or null()
    tx.connection.execute(update(cubes).where(cubes.c.id == cube.id).values(values))
    if ttl is not None:
        latest = type_coerce(memories.c.created_at, BigInteger) + ttl
        expires_at = type_coerce(memories.c.expires_at, BigInteger)
        there = (memories.c.cube_id == cube.id) & (memories.c.state != State.EXPIRED.value)
        later = or_(expires_at.is_(None), expires_at > latest)
        tx.connection.execute(
            update(memories).where(there, later).values({"expires_at": type_coerce(latest, BigInteger)})
        )
        _end_records(tx, cube, ttl)
    values["purposes"] = ",".join(limits.purposes) or None
    tx._note(cube, "limit", detail=" ".join(f"{name}={value}" for name, value in values.items()))


def _end_records(tx: Tx, cube: CubeHeader, ttl: int) -> None:
    """Let no record be known for longer than `ttl` microseconds after it was first put."""
    latest = type_coerce(records.c.created_at, BigInteger) + ttl
    expires_at = type_coerce(records.c.expires_at, BigInteger)
    later = (records.c.cube_id == cube.id) & or_(expires_at.is_(None), expires_at > latest)
    tx.connection.execute(
        update(records).where(later).values({"expires_at": type_coerce(latest, BigInteger)})
    )


def allowed(tx: Tx, cube: CubeHeader, draft: Draft) -> Draft:
    """Return the draft as the cube takes it: known no longer than its TTL, public only by who may share."""
    if draft.visibility is Visibility.PUBLIC:
        check_publish(cube)
    if cube.limits.ttl is None:
        return draft
    latest = tx.now + cube.limits.ttl
    return replace(draft, expires_at=min(draft.expires_at or latest, latest))


def check_quota(tx: Tx, cube: CubeHeader) -> None:
    """Raise QuotaExceeded if the cube holds more than it may; expired memories do not count."""
    limits = cube.limits
    if limits.memories is None and limits.text_bytes is None:
        return
    there = (memories.c.cube_id == cube.id) & (memories.c.state != State.EXPIRED.value)
    whole = replace(cube, access=Access(rights=frozenset(Right)))  # what others hide counts, too
    count = tx.ask(whole, select(func.count()).select_from(memories).where(there)).scalar_one()
    if limits.memories is not None and count > limits.memories:
        raise QuotaExceeded(cube.name, what="memories", limit=limits.memories, wanted=count)
    if limits.text_bytes is None:
        return
    size = func.coalesce(func.sum(byte_length(memories.c.text)), 0)
    held = tx.ask(whole, select(size).where(there)).scalar_one()
    if held > limits.text_bytes:
        raise QuotaExceeded(cube.name, what="bytes of text", limit=limits.text_bytes, wanted=held)


# --- visibility ------------------------------------------------------------------------------


def classify(tx: Tx, cube: CubeHeader, memory_id: str, changes: dict[str, Any]) -> None:
    """Change who may see a memory, how sensitive it is, how much it counts.

    Who may see it is up to its owner and to the cube's admins; it takes SHARE to make it public, and
    ADMIN to declare it trusted. What stands behind a merged memory is hidden and doubted with it.
    """
    row = tx.memory_row(cube, memory_id)
    check_writable(row.id, State(row.state), verb="classify")
    if "visibility" in changes:
        if row.owner != tx.principal.name and not cube.access.whole:
            raise Forbidden(tx.principal.name, verb="decide who sees", what=f"memory {memory_id!r}")
        if changes["visibility"] == Visibility.PUBLIC.value:
            check_publish(cube)
    behind = made.absorbed(tx, cube, [row])
    _reclassify(tx, cube, row, changes)
    for each in behind:
        if tighter := _tighter(each, changes):
            _reclassify(tx, cube, each, tighter)


def _tighter(row: Row[Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return those of the changes that hide a memory from more, or trust it less."""
    ranks = [each.value for each in Visibility]
    found: dict[str, Any] = {}
    if ranks.index(changes.get("visibility", row.visibility)) < ranks.index(row.visibility):
        found["visibility"] = changes["visibility"]
    if changes.get("sensitivity", row.sensitivity) > row.sensitivity:
        found["sensitivity"] = changes["sensitivity"]
    if Trust(changes.get("trust", row.trust)).rank < Trust(row.trust).rank:
        found["trust"] = changes["trust"]
    return found


def _reclassify(tx: Tx, cube: CubeHeader, row: Row[Any], changes: dict[str, Any]) -> None:
    row = forks.own(tx, cube, row)
    if changes.get("trust", row.trust) != row.trust:
        _retrust(tx, cube, row, Trust(changes["trust"]))
    tx.connection.execute(update(memories).where(memories.c.seq == row.seq).values(changes))
    if changes.get("visibility", row.visibility) != row.visibility:
        artifacts.outdate(tx.connection, [row.seq], reason="classified", now=tx.now)
    if any(
        changes.get(name, row._mapping[name]) != row._mapping[name] for name in ("visibility", "sensitivity")
    ):
        _withdraw(tx, cube, row)
    detail = " ".join(str(changes[name]) for name in ("visibility", "trust") if name in changes) or None
    tx._owe(cube, [(row.id, row.seq, row.version)], verb="classify", detail=detail)


def _withdraw(tx: Tx, cube: CubeHeader, row: Row[Any]) -> None:
    """Let go of the gists that quote a memory under rules that no longer hold; idle time makes new ones."""
    gists = [each for each in made.quoting(tx, cube, {row.id}) if each.kind == GIST]
    tx_erase.erase_rows(tx, cube, gists, tx_erase.Tally())


def _retrust(tx: Tx, cube: CubeHeader, row: Row[Any], trust: Trust) -> None:
    match trust:
        case Trust.TRUSTED:
            tx_trust.check_trusting(tx, cube, row)
            artifacts.outdate(tx.connection, [row.seq], reason="trusted", now=tx.now)
        case Trust.UNTRUSTED:
            tx_trust.distrust(tx, cube, [row.id])
        case _:
            assert_never(trust)


def check_publish(cube: CubeHeader) -> None:
    """Raise Forbidden unless whoever entered the cube may let everybody see a memory of it."""
    if Right.SHARE not in cube.access.rights:
        raise Forbidden(cube.access.principal, verb="publish from", what=f"cube {cube.name!r}")
