"""A cube as a dictionary: JSON values under keys, beside the statements and found like them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from memos_core.cube import Principal
from memos_core.errors import InvalidInput
from memos_core.governance import NEEDS
from memos_core.memory import Visibility, checked_choice, checked_within
from memos_core.operator.recall import Ask
from memos_core.query import Where, checked_k, checked_query
from memos_core.reader.recording import cleaned
from memos_core.record import RECORD, Entry, Match, Record, checked_keys
from memos_core.vault import records

if TYPE_CHECKING:
    from memos_core.core import Core

_MATCHING = Where(kinds=(RECORD,))


class Records:
    """The values of a cube, by key. Made by `MemCube.records`.

    A value is a JSON object. It is found through the texts that it was put with: they stand behind
    it as one memory of kind "record", which `MemCube.recall` finds too, and forgetting that memory
    drops the record. Who may see that memory sees the record: its owner and the cube's admins, until
    it is classified otherwise. Archived, the memory takes the
    record out of sight; frozen, it refuses a put, and its time is never over. Every verb is one
    transaction and safe to call from any thread.
    """

    def __init__(self, core: Core, cube_id: str, principal: Principal) -> None:
        self._core, self._cube, self._principal = core, cube_id, principal

    def put(
        self,
        entries: Iterable[Entry],
        *,
        drop: Iterable[str] = (),
        visibility: Visibility | str = Visibility.PRIVATE,
    ) -> Sequence[Record]:
        """Keep each entry in place of what was under its key, drop other keys; return one record an entry.

        All or nothing. `created_at` is that of the key's first value. Texts that have not changed are
        not embedded again; where they have, the memory behind the record gets its next version.
        `visibility` is for keys that are new; the others keep theirs.
        Dropping a key that is not there is no error. Forbidden for a key under which there is
        something that you may not see, IllegalTransition for one whose memory is frozen.
        """
        self._core.check_open()
        chosen = [cleaned(entry, self._core.redaction) for entry in _checked(entries)]
        gone = checked_keys(drop)
        level = checked_choice(Visibility, visibility, what="visibility")
        for entry in chosen:
            if entry.key in gone:
                raise InvalidInput(f"the key {entry.key!r} is both put and dropped: do one of them")
        if not chosen and not gone:
            return []
        with self._core.indexer.writing():
            kept = self._core.recorder.write(self._principal, self._cube, chosen, gone, visibility=level)
        self._core.derived.discard()
        return kept

    def get(self, keys: Iterable[str], *, renew: bool = False) -> Mapping[str, Record]:
        """Return the records of those keys that are there.

        `renew` lets their ttl begin anew, if you may write: who may only read changes nothing.
        """
        keys = checked_keys(keys)
        with self._core.reading(self._principal, self._cube) as (view, cube):
            rows = records.by_key(view, cube, keys)
            due = [row.key for row in rows.values() if renew and records.renewable(row, cube, now=view.now)]
        if due:
            self.renew(due)
            return self.get(keys)
        return {key: records.to_record(rows[key]) for key in keys if key in rows}

    def list(self, *, limit: int | None = None, offset: int = 0) -> Sequence[Record]:
        """Return the records, the last written first."""
        if limit is not None:
            checked_within(limit, 0, 1 << 62, what="limit")
        checked_within(offset, 0, 1 << 62, what="offset")
        with self._core.reading(self._principal, self._cube) as (view, cube):
            rows = records.newest(view, cube, limit=limit, offset=offset)
            return [records.to_record(row) for row in rows]

    def recall(self, query: str, *, k: int = 10) -> Sequence[Match]:
        """Return the (at most) `k` records whose texts answer the query best, best first."""
        self._core.check_open()
        ask = Ask(query=checked_query(query), k=checked_k(k), where=_MATCHING, budget=None)
        hits = self._core.recaller.recall(self._principal, self._cube, ask)
        with self._core.reading(self._principal, self._cube) as (view, cube):
            ids = [hit.memory.id for hit in hits]
            rows = records.by_memory(view, cube, ids)
        return [
            Match(
                record=records.to_record(rows[each.memory.id]),
                score=each.score,
                likeness=each.likeness or 0.0,
            )
            for each in hits
            if each.memory.id in rows
        ]

    def renew(self, keys: Iterable[str]) -> int:
        """Let the ttl of these records begin anew; return how many have one."""
        self._core.check_open()
        keys = checked_keys(keys)
        with self._core.catalog.write(self._principal) as tx:
            cube = tx.open(self._cube, NEEDS["records.renew"])
            rows = records.by_key(tx, cube, keys)
            timed = [row for row in rows.values() if row.ttl is not None]
            records.renew(tx, cube, timed)
        return len(timed)

    def sweep(self) -> int:
        """Erase the records whose time is over; return how many. No reader saw them any more."""
        with self._core.reading(self._principal, self._cube, NEEDS["records.sweep"]) as (view, cube):
            if not records.expired(view, cube):
                return 0
        with self._core.erasing(self._principal) as tx:
            cube = tx.open(self._cube, NEEDS["records.sweep"])
            over = records.expired(tx, cube)
            records.erase(tx, cube, over)
            return len(over)

    def count(self) -> int:
        """Return how many records there are."""
        with self._core.reading(self._principal, self._cube) as (view, cube):
            return records.count(view, cube)


def _checked(entries: object) -> Sequence[Entry]:
    """Return the entries, the last of each key, in order."""
    if isinstance(entries, Entry | str) or not isinstance(entries, Iterable):
        raise InvalidInput(f"put takes several entries, not {type(entries).__name__}: write [entry]")
    chosen: dict[str, Entry] = {}
    for entry in entries:
        if not isinstance(entry, Entry):
            raise InvalidInput(f"put takes Entry(...) values, not {type(entry).__name__}")
        chosen[entry.key] = entry
    return tuple(chosen.values())
