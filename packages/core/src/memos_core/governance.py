"""Who may do what to which cube. Deny by default; what you may not see does not exist for you."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from enum import StrEnum

from memos_core.cube import CubeHeader, Principal
from memos_core.errors import NotFound


class Right(StrEnum):
    """What a verb needs to hold on a cube."""

    READ = "read"
    WRITE = "write"


def rights(principal: Principal, cube: CubeHeader) -> frozenset[Right]:
    """Return what the principal may do to the cube: everything if it owns it, else nothing."""
    return frozenset(Right) if principal.name == cube.owner else frozenset()


def check(principal: Principal, cube: CubeHeader, right: Right) -> None:
    """Raise NotFound unless the principal holds the right."""
    if right not in rights(principal, cube):
        raise NotFound("cube", cube.id)


def access_group(cube: CubeHeader, private_to: Collection[str]) -> str:
    """Return the name of those who may read memories of a cube together: 64 hexadecimal digits.

    `private_to` are the owners of those among them that are private. What is cached under one group
    is never found by another, so nobody learns what others have cached.
    """
    facts = json.dumps([cube.id, cube.owner, sorted(set(private_to))])
    return hashlib.sha256(facts.encode()).hexdigest()


def cube_key(cube_id: str) -> str:
    """Return the name under which indexes know a cube: 32 hexadecimal digits, nothing user-written."""
    return hashlib.sha256(cube_id.encode()).hexdigest()[:32]
