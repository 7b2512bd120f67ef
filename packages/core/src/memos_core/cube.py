"""Who acts, and the container their memories live in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from memos_core.memory import checked_name


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who acts: a user, an agent, a service. Equal names are the same principal."""

    name: str

    def __post_init__(self) -> None:
        checked_name(self.name, what="principal")

    def __str__(self) -> str:
        return self.name


SYSTEM = Principal("memos")
"""Who the store itself acts as; it owns no cube."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CubeHeader:
    """A cube's identity. Names are unique per owner; `id` is unique in the store.

    `change` counts every committed change inside the cube, so equal numbers mean equal contents.
    """

    id: str
    name: str
    owner: str
    created_at: datetime
    change: int
