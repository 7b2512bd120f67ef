"""Who acts, and the container their memories live in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from memos_core.memory import checked_name


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who acts: a user, an agent, a service. Equal names are the same principal.

    `purpose` is what for: a cube may be limited to some purposes, and the audit notes it.
    """

    name: str
    purpose: str = field(default="", kw_only=True, compare=False)

    def __post_init__(self) -> None:
        checked_name(self.name, what="principal")
        if self.purpose != "":
            checked_name(self.purpose, what="purpose")

    def __str__(self) -> str:
        return self.name


SYSTEM = Principal("memos")
"""Who the store itself acts as; it owns no cube."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Several principals under one name, as its owner put them together. Names are unique per owner."""

    id: str
    name: str
    owner: str
    members: frozenset[str] = field(compare=False)

    def __str__(self) -> str:
        return self.name


class Right(StrEnum):
    """What a principal may do to a cube. ADMIN implies the others, WRITE and SHARE imply READ."""

    READ = "read"
    WRITE = "write"
    SHARE = "share"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A right on a cube that somebody was given, by whom, and when."""

    to: Principal | Group
    right: Right
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a cube may hold: each memory for so long, so many, so many bytes of text; None is no limit.

    `purposes` are what it may be used for; () is anything.
    """

    ttl: timedelta | None = None
    memories: int | None = None
    text_bytes: int | None = None
    purposes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who looks at a cube, and what they hold on it. Without rights only what is public is in sight."""

    principal: str = ""
    rights: frozenset[Right] = frozenset()

    @property
    def whole(self) -> bool:
        """Whether every memory may be seen, those that are private to others among them."""
        return Right.ADMIN in self.rights

    @property
    def member(self) -> bool:
        """Whether memories that are shared may be seen, and one's own."""
        return Right.READ in self.rights

    @property
    def audience(self) -> str:
        """Who sees the same as these: "" everything, "*" what is public, else "=" and a name."""
        if self.whole:
            return ""
        return f"={self.principal}" if self.member else "*"

    @property
    def binds(self) -> Mapping[str, object]:
        """What the prepared statements ask for."""
        return {"whole": self.whole, "member": self.member, "viewer": self.principal}


@dataclass(frozen=True, slots=True, kw_only=True)
class CubeHeader:
    """A cube's identity. Names are unique per owner; `id` is unique in the store.

    `change` counts every committed change inside the cube, so equal numbers mean equal contents.
    `access` is that of who entered it; a header that nobody entered shows nothing. `base` is what a
    fork shares. `at` is the change number at which the cube is looked at, None for now; `beside` are
    cubes that are read with it, as one.
    """

    id: str
    name: str
    owner: str
    created_at: datetime
    change: int
    limits: Limits = Limits()
    access: Access = field(default=Access(), compare=False, repr=False)
    base: Base | None = field(default=None, compare=False, repr=False)
    at: int | None = field(default=None, compare=False, repr=False)
    beside: tuple[CubeHeader, ...] = field(default=(), compare=False, repr=False)

    @property
    def is_plain(self) -> bool:
        """Whether its memories are the rows that carry its id, as they are now."""
        return self.base is None and self.at is None and not self.beside

    @property
    def members(self) -> tuple[CubeHeader, ...]:
        """The cubes that are read as one: mostly itself alone."""
        return self.beside or (self,)

    @property
    def holders(self) -> tuple[str, ...]:
        """The ids of the cubes whose rows it may show: its own, and those that its members are forks of."""
        ids = [] if self.beside else [self.id]
        for each in self.beside or ((self.base.cube,) if self.base else ()):
            ids += each.holders
        return tuple(dict.fromkeys(ids))


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a fork shares: of `cube`, as whoever forked saw it, the memories up to sequence number `upto`."""

    cube: CubeHeader
    upto: int
