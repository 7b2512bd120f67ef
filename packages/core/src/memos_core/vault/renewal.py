"""Adapters that are to be trained again: what makes one stale orders that, in the same transaction."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, select

from memos_core.adapter import KIND
from memos_core.job import Kind, Order, Payload
from memos_core.vault import jobs
from memos_core.vault.schema import artifacts

RENEWAL: Final = "renewal"  # a fact of an adapter's row: who ordered its training, for what, and how
TIMEOUT: Final = timedelta(hours=24)  # of an attempt; the next one goes on where it was


def key_of(payload: Payload) -> str:
    """Return what tells orders of one cube apart: equal ones are one job as long as it waits."""
    return hashlib.sha256(json.dumps(dict(payload), sort_keys=True).encode()).hexdigest()[:16]


def order(connection: Connection, which: ColumnElement[bool], *, now: datetime) -> None:
    """Order the training of those of these artifacts that go stale now, and that somebody wants renewed."""
    query = select(artifacts.c.cube_id, artifacts.c.facts)
    query = query.where(which, artifacts.c.stale.is_(None), artifacts.c.kind == KIND)
    for row in connection.execute(query.order_by(artifacts.c.seq)).all():
        told: dict[str, Any] | None = row.facts.get(RENEWAL)
        if told is not None:
            wanted = Order(
                kind=Kind.TRAIN,
                cube=row.cube_id,
                key=key_of(told["payload"]),
                payload=told["payload"],
                by=told["by"],
                purpose=told["purpose"],
                timeout=TIMEOUT,
            )
            jobs.put(connection, wanted, now=now)
