"""Steps of the life cycle, taken in a writing transaction; what each leads to is in `lifecycle`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, func, select, update

from memos_core.cube import CubeHeader
from memos_core.governance import cube_key
from memos_core.lifecycle import IN_USE, Standing, Trigger, advanced, is_overdue, moved
from memos_core.memory import Memory, Relation, State
from memos_core.record import RECORD
from memos_core.vault import artifacts, forks, made, statements
from memos_core.vault.draft import Draft, Keys
from memos_core.vault.engine import dialect_of
from memos_core.vault.schema import OUT_OF_SIGHT, edges, lexical, memories, parts, standings
from memos_core.vault.tx import Tx

BATCH: Final = 500  # memories that upkeep moves in one transaction

_EMPTY: Final[Mapping[str, Any]] = {
    "text": "",
    "digest": "",
    "kind": "",
    "tags": [],
    "origin": "",
    "made_by": "",
    "speaker": None,
    "role": None,
    "session": None,
    "position": None,
    "event_at": None,
}
"""What an expired memory says: nothing. Its id, owner, version, use and times stay."""


def step(tx: Tx, cube: CubeHeader, memory_id: str, trigger: Trigger) -> Memory:
    """Move a memory by a verb of its users; return it. Raises IllegalTransition where there is no way."""
    row = tx.kept_row(cube, memory_id)
    _move(tx, cube, row, advanced(memory_id, _standing(row, tx.now), trigger), verb=trigger)
    return tx.any_memory(cube, memory_id)


def overlap(tx: Tx, cube: CubeHeader, memory_id: str) -> None:
    """Note that a memory took in another one, if that moves it."""
    row = tx.memory_row(cube, memory_id)
    to = moved(_standing(row, tx.now), Trigger.OVERLAP)
    if to is not None:
        _move(tx, cube, row, to, verb=Trigger.OVERLAP)


def copy(tx: Tx, cube: CubeHeader, memory_id: str, draft: Draft, keys: Keys) -> int:
    """Write a new memory that is derived from another; return its seq."""
    source = tx.memory_row(cube, memory_id)
    seq = tx.add(cube, [(draft, keys)])[0]
    tx.link(cube, tx.hydrate(cube, [seq])[seq].id, Relation.DERIVED_FROM, source.id)
    return seq


def first_uses(tx: Tx, seqs: Collection[int]) -> None:
    """Move the memories that were used for the first time. They are found as before: no change is counted."""
    headers: dict[str, CubeHeader] = {}
    for part in parts(sorted(seqs)):
        fresh = tx.connection.execute(
            select(memories).where(memories.c.seq.in_(part), memories.c.state == State.GENERATED.value)
        ).all()
        for row in fresh:
            to = moved(_standing(row, tx.now), Trigger.USE)
            if to is not None:
                tx.connection.execute(
                    update(memories).where(memories.c.seq == row.seq).values(state=to.value)
                )
                cube = headers.get(row.cube_id) or tx.header(row.cube_id)
                headers[row.cube_id] = cube
                tx._note(cube, Trigger.USE, memory_id=row.id, version=row.version, detail=f"{row.state}>{to}")


def expire_overdue(tx: Tx, *, cube_id: str | None = None) -> int:
    """Erase the words of up to `BATCH` memories whose time is over, in one cube or all; return how many."""
    overdue = _within(cube_id, memories.c.expires_at <= tx.now)
    rows = _due(tx, overdue, (*IN_USE, State.ARCHIVED))
    return _aged(tx, rows, Trigger.TTL, idle=None)


def archive_rested(tx: Tx, *, idle: timedelta, cube_id: str | None = None) -> int:
    """Archive up to `BATCH` memories that rested for longer, in one cube or all; return how many.

    Records stay: their values are an application's, and reading one by its key is no use of a memory.
    """
    rested = func.coalesce(memories.c.last_used, memories.c.updated_at) < tx.now - idle
    rested = _within(cube_id, rested & (memories.c.kind != RECORD))
    rows = _due(tx, rested & statements.in_time(tx.now), IN_USE)
    return _aged(tx, rows, Trigger.AGE, idle=idle)


def _within(cube_id: str | None, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return condition if cube_id is None else condition & (memories.c.cube_id == cube_id)


def _due(tx: Tx, condition: Any, states: Sequence[State]) -> Sequence[Row[Any]]:
    query = select(memories).where(memories.c.state.in_([state.value for state in states]), condition)
    return tx.connection.execute(query.order_by(memories.c.cube_id, memories.c.seq).limit(BATCH)).all()


def _aged(tx: Tx, rows: Sequence[Row[Any]], trigger: Trigger, *, idle: timedelta | None) -> int:
    """Take the step for each; one change is counted in each cube."""
    opened: dict[str, CubeHeader] = {}
    done = 0
    for row in rows:
        to = moved(_standing(row, tx.now, idle=idle), trigger)
        if to is None:
            continue
        if row.cube_id not in opened:
            opened[row.cube_id] = tx.counted(tx.header(row.cube_id))
        _move(tx, opened[row.cube_id], row, to, verb=trigger)
        done += 1
    return done


def stand(tx: Tx, cube: CubeHeader, row: Row[Any], to: State, *, verb: str) -> None:
    """Give a memory the state that it had elsewhere or at another time, which the table need not lead to."""
    _move(tx, cube, row, to, verb=verb)


def _move(tx: Tx, cube: CubeHeader, row: Row[Any], to: State, *, verb: str) -> None:
    """Write the new state: every change of state that a reader can notice goes through here."""
    if to is State.EXPIRED:
        forks.gone(tx, tx.row(row.seq), verb=verb)
    else:
        row = forks.own(tx, cube, row)
    before = {"memory_seq": row.seq, "until": cube.change, "state": row.state}
    known = dialect_of(tx.connection).insert(standings).values(before)
    tx.connection.execute(known.on_conflict_do_nothing())
    if row.state == State.ARCHIVED.value:
        made.moved_on(tx, cube, edges.c.target == row.id)
    values: dict[str, Any] = {"state": to.value}
    match to:
        case State.EXPIRED:
            tx.erase_words([row], reason="expired")
            values |= _EMPTY
        case State.ARCHIVED:
            _hide_words(tx, row.seq, cube="")
            artifacts.outdate(tx.connection, [row.seq], reason="archived", now=tx.now)
        case _ if row.state in OUT_OF_SIGHT:
            _hide_words(tx, row.seq, cube=cube_key(cube.id))
            values["last_used"] = tx.now  # or the next upkeep would put it away again
        case State.ACTIVATED if is_overdue(_standing(row, tx.now)):  # was frozen: its time is over at once
            artifacts.outdate(tx.connection, [row.seq], reason="expired", now=tx.now)
        case _:
            pass  # neither the words change nor who sees them: what was made from it stays right
    tx.connection.execute(update(memories).where(memories.c.seq == row.seq).values(values))
    tx._owe(cube, [(row.id, row.seq, row.version)], verb=verb, detail=f"{row.state}>{to}")


def _hide_words(tx: Tx, seq: int, *, cube: str) -> None:
    """Make the full-text index know the memory under this cube's key; "" is no cube's."""
    tx.connection.execute(update(lexical).where(lexical.c.rowid == seq).values(cube=cube))


def _standing(row: Row[Any], now: datetime, *, idle: timedelta | None = None) -> Standing:
    return Standing(
        state=State(row.state),
        expires_at=row.expires_at,
        rested_since=row.last_used or row.updated_at,
        now=now,
        idle=idle,
    )
