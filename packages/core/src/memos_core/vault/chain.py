"""The audit's chain in the catalog: lines are appended, read and verified here, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from memos_core.audit import AuditCheck, AuditHead, AuditLine, verified
from memos_core.cube import Principal, Right
from memos_core.errors import Forbidden, NotFound
from memos_core.vault.schema import audit, store

if TYPE_CHECKING:
    from memos_core.vault.view import View

HEAD: Final = "audit.head"
_HEAD = select(store.c.value).where(store.c.key == HEAD)
_KEEP = upsert(store)
_KEEP = _KEEP.on_conflict_do_update(index_elements=["key"], set_={"value": _KEEP.excluded.value})


def head(connection: Connection) -> AuditHead:
    """Return the head as it was left."""
    found: str | None = connection.execute(_HEAD).scalar()
    return AuditHead() if found is None else AuditHead(**json.loads(found))


def append(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write these lines at the end of the chain."""
    former = head(connection)
    seq, last = former.lines, former.hash
    sealed = []
    for row in rows:
        seq += 1
        last = _line({**row, "seq": seq}).sealed_after(last)
        sealed.append({**row, "seq": seq, "hash": last})
    connection.execute(insert(audit), sealed)
    kept = json.dumps(asdict(AuditHead(lines=seq, hash=last)))
    connection.execute(_KEEP, {"key": HEAD, "value": kept})


def lines(connection: Connection) -> Iterator[AuditLine]:
    """Yield every line, oldest first, holding few at a time."""
    rows = connection.execution_options(yield_per=1000).execute(select(audit).order_by(audit.c.seq))
    for row in rows:
        yield _line(row._asdict())


def lines_for(view: View, principal: Principal) -> list[AuditLine]:
    """Return every line; of cubes that the principal does not administer `seq` and `hash` only."""
    mine: dict[str, bool] = {}
    found = []
    for line in list(lines(view.connection)):
        cube_id = line.cube or ""
        if cube_id not in mine:
            mine[cube_id] = _administers(view, cube_id, principal)
        found.append(line if mine[cube_id] else AuditLine(seq=line.seq, hash=line.hash))
    return found


def _administers(view: View, cube_id: str, principal: Principal) -> bool:
    try:
        view.enter(cube_id, principal, Right.ADMIN)
    except (NotFound, Forbidden):
        return False
    return True


def verify(connection: Connection, *, noted: str | None = None) -> AuditCheck:
    """Check the whole chain; `noted` is a hash of a line that was written down elsewhere."""
    return verified(lines(connection), head(connection), noted=noted)


def _line(row: Mapping[str, Any]) -> AuditLine:
    return AuditLine(
        seq=row["seq"],
        at=row["at"],
        principal=row["principal"],
        cube=row["cube_id"],
        change=row["change"],
        verb=row["verb"],
        memory=row["memory_id"],
        memory_seq=row["memory_seq"],
        version=row["version"],
        detail=row["detail"],
        purpose=row["purpose"],
        hash=row.get("hash") or "",
    )
