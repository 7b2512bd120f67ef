"""What becomes of each memory, record and link of a file: decided here, and written in one transaction."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from memos_core.cube import CubeHeader, Right
from memos_core.errors import AlreadyThere
from memos_core.interchange.fates import Fate, OnConflict, fate
from memos_core.interchange.incoming import Incoming
from memos_core.interchange.lines import Row
from memos_core.memory import State, Trust, Visibility
from memos_core.reader.recording import cleaned
from memos_core.record import Entry
from memos_core.redaction import Redaction
from memos_core.vault import records, tx_load, tx_share, tx_trust
from memos_core.vault.draft import Keys
from memos_core.vault.tx import Tx
from memos_core.vault.tx_load import Arrival, Present

BATCH: Final = 256  # memories written at once


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was done so far. `ids` tells which memory here each of the file's is, of those that are here."""

    added: int = 0
    replaced: int = 0
    same: int = 0
    skipped: int = 0
    expired: int = 0
    forgotten: int = 0
    withdrawn: int = 0
    links: int = 0
    records: int = 0
    ids: dict[str, str] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)  # of the file's ids, those that came in
    alike: set[str] = field(default_factory=set)  # and those that were there already, as they are


class Arriving:
    """One file's way into one cube, within one transaction."""

    def __init__(
        self,
        tx: Tx,
        cube: CubeHeader,
        *,
        digest: str,
        on_conflict: OnConflict,
        redaction: Redaction,
        is_new: bool,
        touched: Collection[str] | None = None,
    ) -> None:
        self._tx, self._cube, self._digest = tx, cube, digest
        self._on_conflict, self._redaction, self._is_new = on_conflict, redaction, is_new
        self._touched = touched  # ids that were changed here since they came in; None if that is no matter
        self._forgotten = tx_load.forgotten(tx, cube)
        self._shift: dict[str | None, int] = {}
        self._mine: set[str] = set()  # ids here that this load wrote
        self._gone: set[str] = set()  # and that it took the place of
        self._conflicts: list[str] = []
        self._edges: list[Row] = []  # of memories that gave way
        self.tally = Tally()

    def memories(self, keyed: Iterable[tuple[Incoming, Keys]]) -> None:
        """Write what comes in; raise AlreadyThere at the end if something may not."""
        for some in _batches(keyed):
            self._batch([pair for pair in some if self._may_come(pair[0].memory)])
        if self._conflicts:
            raise AlreadyThere(self._cube.name, self._conflicts)
        tx_share.check_quota(self._tx, self._cube)

    def _may_come(self, memory: Row) -> bool:
        ends, frozen = memory["expires_at"], memory["state"] == State.FROZEN.value
        if memory["id"] in self._forgotten:
            self.tally.forgotten += 1
            return False
        if ends is not None and ends <= self._tx.now and not frozen:
            self.tally.expired += 1
            return False
        return True

    def _batch(self, pairs: Sequence[tuple[Incoming, Keys]]) -> None:
        ids = [each.memory["id"] for each, _ in pairs]
        digests = [each.digest for each, _ in pairs]
        ids += [self._second_id(memory_id) for memory_id in ids]
        taken = tx_load.taken(self._tx, ids)
        by_id, by_digest = ({}, {}) if self._is_new else tx_load.present(self._tx, self._cube, ids, digests)
        arrivals: list[Arrival] = []
        for each, keys in pairs:
            memory_id = each.memory["id"]
            same = by_id.get(memory_id) or by_id.get(self._second_id(memory_id))
            twin = same or self._alike(each, by_digest.get(each.digest))
            if twin is not None and (twin.id in self._mine or twin.id in self._gone):
                twin = None
            found = fate(
                each.memory,
                twin,
                same_id=same is not None,
                id_is_taken=memory_id in taken,
                on_conflict=self._on_conflict,
                gives_way=twin is not None and self._is_untouched(twin),
            )
            arrivals += self._settled(each, keys, twin, found)
        tx_load.arrive(self._tx, self._cube, arrivals, detail=self._digest)

    def _alike(self, each: Incoming, twin: Present | None) -> Present | None:
        """Return the twin by its words; statements that are not trusted alike are two."""
        if twin is not None and each.memory["by"] == "statement" and twin.trust != each.memory["trust"]:
            return None
        return twin

    def _is_untouched(self, twin: Present) -> bool:
        return self._touched is not None and twin.imported and twin.id not in self._touched

    def withdraw(self, place: str, ids: Collection[str]) -> None:
        """Erase what came from this place, was left as it was, and is not among these ids any more.

        What something stands on that was frozen here is kept.
        """
        tx, cube = self._tx, self._cube
        known = {*ids, *map(self._second_id, ids)}
        for old in tx_load.came_from(tx, cube, place):
            is_left = self._is_untouched(old) and old.id not in self._mine
            if old.id not in known and is_left and tx_load.may_go(tx, cube, old):
                tx_load.give_way(tx, cube, old, untouched=True, verb="withdraw")
                self.tally.withdrawn += 1

    def _settled(self, each: Incoming, keys: Keys, twin: Present | None, found: Fate) -> Iterator[Arrival]:
        """Yield the memory if it comes in, and note what became of it."""
        memory_id = each.memory["id"]
        if twin is not None and found in (Fate.SAME, Fate.SKIP):
            self.tally.same += found is Fate.SAME
            self.tally.skipped += found is Fate.SKIP
            self.tally.ids[memory_id] = twin.id
            self.tally.alike |= {memory_id} if found is Fate.SAME else set()
            if found is Fate.SAME and each.memory["trust"] == Trust.UNTRUSTED.value:
                tx_trust.doubt(self._tx, self._cube, [twin.id])
            return
        if twin is not None and found is Fate.FAIL:
            self._conflicts.append(twin.id)
            return
        here, digest, untouched = memory_id, each.digest, False
        if found is Fate.ADD_ANEW:
            here = self._free(self._second_id(memory_id))
            digest = each.digest if twin is None else uuid.uuid4().hex
        if twin is not None and found is Fate.REPLACE:
            untouched = self._is_untouched(twin)
            gone = tx_load.give_way(self._tx, self._cube, twin, untouched=untouched)
            self._gone.add(twin.id)
            here = self._free(memory_id if twin.id != self._second_id(memory_id) else twin.id)
            self._edges += [_moved(edge, twin.id, here) for edge in gone]
            self.tally.replaced += 1
        else:
            self.tally.added += 1
        self.tally.ids[memory_id] = here
        self.tally.written.add(memory_id)
        self._mine.add(here)
        arrival = self._arrival(each, keys, here=here, digest=digest)
        if found is Fate.REPLACE and twin is not None and not untouched:
            ranks = (Trust(twin.trust), Trust(arrival.memory["trust"]))
            arrival.memory["trust"] = min(ranks, key=lambda trust: trust.rank).value  # never raised by a file
        yield arrival

    def _second_id(self, memory_id: str) -> str:
        """Return the id here of a memory whose own is another's: the same in every load into this cube."""
        return hashlib.sha256(f"{self._cube.id} {memory_id}".encode()).hexdigest()[:32]

    def _free(self, memory_id: str) -> str:
        return uuid.uuid4().hex if tx_load.taken(self._tx, [memory_id]) else memory_id

    def _arrival(self, each: Incoming, keys: Keys, *, here: str, digest: str) -> Arrival:
        memory = each.memory
        if memory["visibility"] == Visibility.PUBLIC.value:
            tx_share.check_publish(self._cube)
        row = {name: value for name, value in memory.items() if name not in ("by", "name")}
        shift = self._shifted(memory)
        row |= {
            "id": here,
            "cube_id": self._cube.id,
            "digest": digest,
            "owner": self._tx.principal.name,
            "state": self._state(memory["state"]),
            "expires_at": self._end(memory["expires_at"]),
            "position": None if memory["position"] is None else memory["position"] + shift,
            "imported_from": self._digest,
        }
        versions = [{name: value for name, value in v.items() if name != "memory"} for v in each.versions]
        sources = [
            {
                **{name: value for name, value in s.items() if name != "memory"},
                "position": None if s["position"] is None else s["position"] + shift,
                "digest": s["digest"] if digest == each.digest else uuid.uuid4().hex,
            }
            for s in each.sources
        ]
        return Arrival(memory=row, versions=versions, sources=sources, keys=keys)

    def _shifted(self, memory: Row) -> int:
        """Return how far the turns of a session have to move: what is there already stands before them."""
        if self._is_new or memory["position"] is None:
            return 0
        session = memory["session"]
        if session not in self._shift:
            self._shift[session] = self._tx.free_position(self._cube, session)
        return self._shift[session]

    def _state(self, state: str) -> str:
        """Return the state here: it takes an admin to keep a memory frozen."""
        if state == State.FROZEN.value and Right.ADMIN not in self._cube.access.rights:
            return State.ACTIVATED.value
        return state

    def _end(self, end: datetime | None) -> datetime | None:
        if self._cube.limits.ttl is None:
            return end
        latest = self._tx.now + self._cube.limits.ttl
        return min(end or latest, latest)

    # --- what stands beside the memories -------------------------------------------------------

    def links(self, rows: Iterable[Row]) -> None:
        """Write the links between memories that are here, and those of memories that gave way."""
        ids = self.tally.ids
        kept = {_ends(edge): edge["put_away"] for edge in self._edges}
        for some in _batches(rows):
            known = [row for row in some if row["source"] in ids and row["target"] in ids]
            moved = [{**row, "source": ids[row["source"]], "target": ids[row["target"]]} for row in known]
            for row in moved:  # a file puts away nothing that was here before
                if row["target"] not in self._mine:
                    row["put_away"] = kept.get(_ends(row))
            self.tally.links += tx_load.join(self._tx, self._cube, self._apart(moved))
        here = tx_load.taken(self._tx, [edge[end] for edge in self._edges for end in ("source", "target")])
        still = [edge for edge in self._edges if {edge["source"], edge["target"]} <= here]
        tx_load.join(self._tx, self._cube, self._apart(still))
        tx_load.settle_behind(self._tx, self._cube, self._mine)

    def _apart(self, rows: Sequence[Row]) -> list[Row]:
        return [row for row in rows if row["source"] != row["target"]]

    def records(self, rows: Iterable[Row]) -> None:
        """Write the records; one that stands on a memory shares its fate."""
        for some in _batches(rows):
            present = records.held(self._tx, self._cube, [row["key"] for row in some])
            fresh = [row for each in some for row in self._record(each, present.get(each["key"]))]
            seqs = tx_load.seqs_by_id(self._tx, [row["memory"] for row in fresh if row["memory"]])
            tx_load.add_records(
                self._tx,
                self._cube,
                [{**_without(row, "memory"), "memory_seq": seqs.get(row["memory"] or "")} for row in fresh],
            )
            self.tally.records += len(fresh)

    def _record(self, row: Row, there: Any) -> Iterator[Row]:
        ends = row["expires_at"]
        if row["memory"] is not None:
            if row["memory"] not in self.tally.written:
                return
        elif ends is not None and ends <= self._tx.now:
            return
        row = self._told(row)
        if there is not None:
            if row["memory"] is None and there.data == row["data"]:
                return
            key = self._cleared(row, there)
            if key is None:
                return
            row["key"] = key
        yield row

    def _cleared(self, row: Row, there: Any) -> str | None:
        """Return the key under which a record comes in where its own is in use; None where it does not."""
        if not records.lives(there, now=self._tx.now):
            records.erase(self._tx, self._cube, [there])
            return str(row["key"])
        match self._on_conflict:
            case OnConflict.FAIL:
                raise AlreadyThere(self._cube.name, [row["key"]])
            case OnConflict.SKIP if row["memory"] is None:
                return None
            case OnConflict.REPLACE:
                records.check_put(self._tx, self._cube, [there])
                if there.memory_id is None:
                    tx_load.drop_record(self._tx, self._cube, row["key"])
                else:
                    records.erase(self._tx, self._cube, [there])
                return str(row["key"])
            case _:
                return f"{row['key']}~{self._digest[:8]}"

    def _told(self, row: Row) -> Row:
        """Return the row as it is written here: cleaned, of whoever loads it, within the cube's limits."""
        if row["visibility"] == Visibility.PUBLIC.value:
            tx_share.check_publish(self._cube)
        entry = cleaned(Entry(key=row["key"], data=json.loads(row["data"])), self._redaction)
        here = self.tally.ids.get(row["memory"]) if row["memory"] is not None else None
        ends = [end for end in (row["expires_at"],) if end is not None]
        if self._cube.limits.ttl is not None:
            ends.append(row["created_at"] + self._cube.limits.ttl)
        return {
            **row,
            "data": entry.json,
            "memory": here,
            "owner": self._tx.principal.name,
            "expires_at": min(ends, default=None),
        }


def _moved(edge: Row, old: str, new: str) -> Row:
    return {**edge, **{end: new for end in ("source", "target") if edge[end] == old}}


def _ends(edge: Row) -> tuple[str, str, str]:
    return edge["source"], edge["relation"], edge["target"]


def _without(row: Row, name: str) -> Row:
    return {each: value for each, value in row.items() if each != name}


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    some: list[Any] = []
    for item in items:
        some.append(item)
        if len(some) == BATCH:
            yield some
            some = []
    if some:
        yield some
