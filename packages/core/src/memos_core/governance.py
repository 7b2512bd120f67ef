"""Who may do what to which cube. Deny by default; what you may not see does not exist for you."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from memos_core.cube import CubeHeader, Principal, Right
from memos_core.errors import Forbidden, InvalidInput, NotFound, WrongPurpose

_IMPLIED: Final = {
    Right.READ: frozenset({Right.READ}),
    Right.WRITE: frozenset({Right.READ, Right.WRITE}),
    Right.SHARE: frozenset({Right.READ, Right.SHARE}),
    Right.ADMIN: frozenset(Right),
}

NEEDS: Final[Mapping[str, Right]] = MappingProxyType(
    {
        **dict.fromkeys(("recall", "get", "list", "history", "sources", "find", "count"), Right.READ),
        **dict.fromkeys(("lag", "limits", "lineage", "changes", "credit", "working"), Right.READ),
        **dict.fromkeys(("remember", "ingest", "revise", "copy", "forget", "link", "classify"), Right.WRITE),
        **dict.fromkeys(("activate", "archive", "restore"), Right.WRITE),
        **dict.fromkeys(("grant", "revoke", "grants"), Right.SHARE),
        **dict.fromkeys(("freeze", "unfreeze", "limit", "forget_cube"), Right.ADMIN),
        **dict.fromkeys(("snapshots", "diff", "fork"), Right.READ),
        **dict.fromkeys(("snapshot", "drop_snapshot", "revert", "merge"), Right.WRITE),
        **dict.fromkeys(("rollback",), Right.ADMIN),
        **dict.fromkeys(("consolidate", "undo"), Right.WRITE),
        **dict.fromkeys(
            ("compose", "compose.recall", "compose.get", "compose.list", "compose.count"), Right.READ
        ),
        **dict.fromkeys(("records.get", "records.list", "records.recall", "records.count"), Right.READ),
        **dict.fromkeys(("records.put", "records.renew", "records.sweep"), Right.WRITE),
        **dict.fromkeys(("chat", "stream", "build", "prefix", "segments", "verify_segments"), Right.READ),
        **dict.fromkeys(("evict", "pin"), Right.WRITE),
        **dict.fromkeys(("adapters", "export_adapter", "rehearse", "recite"), Right.READ),
        **dict.fromkeys(("train", "examine", "drop_adapters"), Right.WRITE),
        **dict.fromkeys(("activate_adapter", "deactivate_adapter"), Right.WRITE),
        **dict.fromkeys(("dump", "imports"), Right.READ),  # a file holds nothing that could not be read
        **dict.fromkeys(("load",), Right.WRITE),
        **dict.fromkeys(("publish",), Right.SHARE),
        **dict.fromkeys(("jobs.list", "jobs.get", "jobs.schedules"), Right.ADMIN),  # they tell what others do
        **dict.fromkeys(("jobs.submit", "jobs.cancel", "jobs.retry"), Right.ADMIN),
        **dict.fromkeys(("jobs.schedule", "jobs.unschedule"), Right.ADMIN),
    }
)
"""What each verb of a cube needs, or one that works on a cube. A verb that is not here fails the test
that enumerates them."""


def rights(principal: Principal, cube: CubeHeader, granted: Iterable[Right] = ()) -> frozenset[Right]:
    """Return what the principal may do to the cube: everything if it owns it, else what it was granted."""
    if principal.name == cube.owner:
        return frozenset(Right)
    return frozenset().union(*(_IMPLIED[right] for right in granted))


def check(
    principal: Principal,
    cube: CubeHeader,
    right: Right,
    granted: Iterable[Right] = (),
    *,
    shows_something: bool = False,
) -> frozenset[Right]:
    """Return what the principal holds; raise NotFound if it may see nothing, Forbidden if it may not do this.

    `shows_something` tells that the cube has memories which everybody may read. A cube that names
    purposes is used for none but these, by whomever: WrongPurpose, for who may know of the cube.
    """
    held = rights(principal, cube, granted)
    if not held and (not shows_something or not serves(cube, principal)):
        raise NotFound("cube", cube.id)
    if (limiting := refusing(cube, principal)) is not None:
        raise WrongPurpose(
            principal.name, cube=cube.name, purpose=principal.purpose, purposes=limiting.limits.purposes
        )
    if right not in held and not (right is Right.READ and shows_something):
        raise Forbidden(principal.name, verb=right, what=f"cube {cube.name!r}")
    return held


def serves(cube: CubeHeader, principal: Principal) -> bool:
    """Return whether the cube may be used for what the principal acts for.

    A fork shares what was given for a purpose: it serves none that the cube it was made from does not.
    """
    return refusing(cube, principal) is None


def refusing(cube: CubeHeader, principal: Principal) -> CubeHeader | None:
    """Return which cube does not serve what the principal acts for: this one, or one that it is a fork of."""
    if cube.limits.purposes and principal.purpose not in cube.limits.purposes:
        return cube
    return None if cube.base is None else refusing(cube.base.cube, principal)


def check_grant(cube: CubeHeader, right: Right, *, to: str | None) -> None:
    """Raise unless whoever entered the cube may give (or take) the right; `to` is None for a group.

    Nobody grants to themselves. Who holds SHARE passes on what they hold, and neither SHARE nor ADMIN.
    """
    who = cube.access.principal
    if to == who:
        raise Forbidden(who, verb="grant rights to", what="itself")
    if to == cube.owner:
        raise InvalidInput(f"{to!r} owns the cube and holds every right already")
    if Right.ADMIN in cube.access.rights:
        return
    if right in (Right.SHARE, Right.ADMIN) or right not in cube.access.rights:
        raise Forbidden(who, verb=f"grant {right} on", what=f"cube {cube.name!r}")


def access_group(cube: CubeHeader, private_to: Collection[str], *, giver: str = "") -> str:
    """Return the name of those who may read memories of a cube together: 64 hexadecimal digits.

    `private_to` are the owners of those among them that are private. With a `giver`, who gave words of
    their own with them, it is that one's alone. What is cached under one group is never found by
    another, so nobody learns what others have cached.
    """
    facts = [cube.id, cube.owner, sorted(set(private_to)), *([giver] if giver else [])]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def cube_key(cube_id: str) -> str:
    """Return the name under which indexes know a cube: 32 hexadecimal digits, nothing user-written."""
    return hashlib.sha256(cube_id.encode()).hexdigest()[:32]
