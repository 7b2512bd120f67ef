"""What has changed in a cube since somebody last looked: read from the audit, shown from the memories."""

from __future__ import annotations

from typing import Final

from sqlalchemy import or_, select

from memos_core.cube import CubeHeader
from memos_core.query import Change, Changes
from memos_core.vault.schema import audit, parts
from memos_core.vault.view import View

_NEWS: Final = ("remember", "revise", "restore", "revert", "rollback", "merge")
"""Verbs that put words in sight which were not there; "classify" does so where it names a visibility."""


def changes(view: View, cube: CubeHeader, *, since: int) -> Changes:
    """Return the memories in sight that were written after the change `since`, the oldest change first."""
    news = or_(audit.c.verb.in_(_NEWS), (audit.c.verb == "classify") & audit.c.detail.is_not(None))
    rows = view.connection.execute(
        select(audit.c.memory_id, audit.c.change, audit.c.principal)
        .where(audit.c.cube_id == cube.id, audit.c.change > since, news)
        .order_by(audit.c.seq)
    )
    last = {row.memory_id: row for row in rows}  # the last change of each memory
    seqs = [seq for part in parts(list(last)) for seq in view.seqs_of(cube, part).values()]
    found = [
        Change(memory=memory, number=last[memory.id].change, by=last[memory.id].principal)
        for _, memory in sorted(view.hydrate(cube, seqs).items())
    ]
    return Changes(upto=cube.change, changes=tuple(sorted(found, key=lambda each: each.number)))
