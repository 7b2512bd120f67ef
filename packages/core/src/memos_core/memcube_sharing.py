"""Who may do what to a cube, who sees which of its memories, and how much it may hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from memos_core.cube import Grant, Group, Limits, Principal, Right
from memos_core.errors import InvalidInput
from memos_core.governance import NEEDS
from memos_core.memcube_base import Handle
from memos_core.memory import (
    Memory,
    Trust,
    Visibility,
    checked_choice,
    checked_id,
    checked_tags,
    checked_ttl,
    checked_within,
)
from memos_core.vault import tx_share


class Sharing(Handle):
    """Grants, visibility and limits. What the principal may not do raises Forbidden."""

    def classify(
        self,
        memory_id: str,
        *,
        visibility: Visibility | str | None = None,
        sensitivity: int | None = None,
        priority: int | None = None,
        trust: Trust | str | None = None,
    ) -> Memory:
        """Change who may see a memory, how sensitive it is, how much it counts, whether it is trusted.

        "private" is seen by its owner and the cube's admins, "shared" by whoever may read the cube,
        "public" by every principal of the store. What becomes "untrusted" takes all with it that is
        derived from it. To make it "trusted" takes ADMIN, and the trust of what it is derived from.
        Return the memory; no new version is written.
        """
        changes: dict[str, Any] = {}
        if visibility is not None:
            changes["visibility"] = checked_choice(Visibility, visibility, what="visibility").value
        if sensitivity is not None:
            changes["sensitivity"] = checked_within(sensitivity, 0, 9, what="sensitivity")
        if priority is not None:
            changes["priority"] = checked_within(priority, -9, 9, what="priority")
        if trust is not None:
            changes["trust"] = checked_choice(Trust, trust, what="trust")
        if not changes:
            raise InvalidInput("nothing to change: give visibility, sensitivity, priority or trust")
        memory_id = checked_id(memory_id)
        with self._core.erasing(self._principal) as tx:
            cube = tx.open(self._id, NEEDS["classify"])
            tx_share.classify(tx, cube, memory_id, changes)
            return tx.memory(cube, memory_id)

    def grant(self, to: Principal | Group | str, right: Right | str) -> Grant:
        """Give a principal (or a group of yours) a right on this cube: read, write, share or admin.

        Whoever holds SHARE passes on READ and WRITE, if they hold it; ADMIN and the owner give all.
        """
        to, wanted = _grantee(to), checked_choice(Right, right, what="right")
        with self._core.erasing(self._principal) as tx:
            return tx_share.grant(tx, tx.open(self._id, NEEDS["grant"]), to, wanted)

    def revoke(self, to: Principal | Group | str, right: Right | str | None = None) -> int:
        """Take a right (or all of them) away; return how many were taken."""
        to, wanted = _grantee(to), None if right is None else checked_choice(Right, right, what="right")
        with self._core.erasing(self._principal) as tx:
            return tx_share.revoke(tx, tx.open(self._id, NEEDS["revoke"]), to, wanted)

    def grants(self) -> Sequence[Grant]:
        """Return who was given which right on this cube, oldest first."""
        with self._core.reading(self._principal, self._id, NEEDS["grants"]) as (view, cube):
            return tx_share.granted(view, cube)

    def limit(
        self,
        *,
        ttl: timedelta | None = None,
        memories: int | None = None,
        text_bytes: int | None = None,
        purposes: Iterable[str] = (),
    ) -> Limits:
        """Set what the cube may hold and serve, all four anew; what is not given has no limit.

        `ttl` bounds how long each memory is known, those that are there included; what is above
        `memories` or `text_bytes` (present texts, UTF-8) is refused with QuotaExceeded from now on.
        With `purposes`, every call has to be made for one of them, its owner's too: see Principal.
        """
        self._core.check_open()
        for name, value in (("memories", memories), ("text_bytes", text_bytes)):
            if value is not None:
                checked_within(value, 0, 1 << 62, what=name)
        limits = Limits(
            ttl=checked_ttl(ttl),
            memories=memories,
            text_bytes=text_bytes,
            purposes=checked_tags(purposes, what="purpose"),
        )
        with self._core.catalog.write(self._principal) as tx:
            tx_share.limit(tx, tx.open(self._id, NEEDS["limit"]), limits)
        return limits

    def limits(self) -> Limits:
        """Return what the cube may hold."""
        with self._core.reading(self._principal, self._id) as (_view, cube):
            return cube.limits


def _grantee(to: Principal | Group | str) -> Principal | Group:
    return to if isinstance(to, Principal | Group) else Principal(to)
