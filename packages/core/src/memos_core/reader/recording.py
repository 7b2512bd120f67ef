"""The write path of values under keys: embedded outside the transaction, then all committed at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from memos_core.cube import CubeHeader, Principal
from memos_core.governance import Right
from memos_core.protocols import Embedder
from memos_core.reader.drafts import record_digest
from memos_core.reader.keys import keys_of
from memos_core.record import RECORD, Entry, Record
from memos_core.vault import records
from memos_core.vault.catalog import Catalog
from memos_core.vault.draft import Draft, Keys
from memos_core.vault.schema import OUT_OF_SIGHT
from memos_core.vault.tx import Tx

Rows = Mapping[str, Row[Any]]


class Recorder:
    """Writes records. `embedder` is called when something must be embedded."""

    def __init__(self, catalog: Catalog, *, embedder: Callable[[], Embedder]) -> None:
        self._catalog, self._embedder = catalog, embedder

    def write(
        self, principal: Principal, cube_id: str, entries: Sequence[Entry], drop: Collection[str]
    ) -> list[Record]:
        """Put entries of distinct keys and drop other keys, in one transaction; return what is kept."""
        names = [*(entry.key for entry in entries), *drop]
        with self._catalog.read() as view:
            cube = view.enter(cube_id, principal, Right.WRITE)
            told = _told(entries, records.by_key(view.connection, cube, names), view.now)
        keys = self._keys(told)
        with self._catalog.write(principal) as tx:
            cube = tx.open(cube_id)
            present = records.by_key(tx.connection, cube, names)
            needed = {entry.text for entry in _told(entries, present, tx.now)}
            if needed <= keys.keys() and all(tx.is_embedded_by(each.model) for each in keys.values()):
                _put(tx, cube, entries, present, keys, drop)
                kept = records.by_key(tx.connection, cube, [entry.key for entry in entries])
                return [records.to_record(kept[entry.key]) for entry in entries]
        return self.write(principal, cube_id, entries, drop)  # the store changed between the two looks

    def _keys(self, entries: Iterable[Entry]) -> dict[str, Keys]:
        """Return the keys of the entries by their text."""
        drafts = {entry.text: _draft(entry, None) for entry in entries}
        if not drafts:
            return {}
        return dict(zip(drafts, keys_of(list(drafts.values()), self._embedder()), strict=True))


def _told(entries: Iterable[Entry], present: Rows, now: datetime) -> list[Entry]:
    """Return the entries whose text has to be embedded."""
    return [entry for entry in entries if entry.text and not _says(present.get(entry.key), entry.text, now)]


def _says(row: Row[Any] | None, text: str, now: datetime) -> bool:
    return row is not None and _alive(row, now) and row.text == text and row.state not in OUT_OF_SIGHT


def _alive(row: Row[Any], now: datetime) -> bool:
    return row.expires_at is None or row.expires_at > now


def _put(
    tx: Tx,
    cube: CubeHeader,
    entries: Sequence[Entry],
    present: Rows,
    keys: Mapping[str, Keys],
    drop: Collection[str],
) -> None:
    """Write the entries, each with the memory that it is found by; erase what is dropped or expired."""
    kept = {key: row for key, row in present.items() if _alive(row, tx.now) and key not in drop}
    records.erase(tx, cube, [row for key, row in present.items() if key not in kept])
    behind = {entry.key: _retold(tx, cube, entry, kept.get(entry.key), keys) for entry in entries}
    fresh = [entry for entry in entries if entry.text and behind[entry.key] is None]
    seqs = tx.add(cube, [(_draft(entry, tx.now), keys[entry.text]) for entry in fresh])
    behind |= {entry.key: seq for entry, seq in zip(fresh, seqs, strict=True)}
    records.write(tx, cube, entries, present=kept, behind=behind)


def _retold(
    tx: Tx, cube: CubeHeader, entry: Entry, row: Row[Any] | None, keys: Mapping[str, Keys]
) -> int | None:
    """Bring the memory of a kept record up to date; return its seq, or None where there is none any more."""
    if row is None or row.memory_seq is None:
        return None
    if not entry.text or row.state in OUT_OF_SIGHT:
        memory = records.memory_of(tx.connection, row)
        records.part_from_memory(tx, row)
        tx.erase_row(cube, memory)
        return None
    draft = _draft(entry, tx.now)
    if row.text != entry.text:
        changes = {"text": draft.text, "digest": draft.digest}
        tx.revise(cube, row.memory_id, changes=changes, keys=keys[entry.text])
    records.until(tx, row.memory_seq, draft.expires_at)
    return int(row.memory_seq)


def _draft(entry: Entry, now: datetime | None) -> Draft:
    expires_at = None if now is None or entry.ttl is None else now + entry.ttl
    return Draft(text=entry.text, digest=record_digest(entry.key), kind=RECORD, expires_at=expires_at)
