"""The write path of values under keys: embedded outside the transaction, then all committed at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from memos_core.cube import CubeHeader, Principal, Right
from memos_core.memory import RECORD_TEXTS, Visibility
from memos_core.protocols import Embedder
from memos_core.reader.keys import keys_of
from memos_core.record import RECORD, Entry, Record
from memos_core.redaction import Mode, Redaction
from memos_core.vault import records, tx_share
from memos_core.vault.catalog import Catalog
from memos_core.vault.draft import Draft, Keys, record_digest
from memos_core.vault.tx import Tx

Rows = Mapping[str, Row[Any]]


class Recorder:
    """Writes records. `embedder` is called when something must be embedded."""

    def __init__(self, catalog: Catalog, *, embedder: Callable[[], Embedder]) -> None:
        self._catalog, self._embedder = catalog, embedder

    def write(
        self,
        principal: Principal,
        cube_id: str,
        entries: Sequence[Entry],
        drop: Collection[str],
        *,
        visibility: Visibility,
    ) -> list[Record]:
        """Put entries of distinct keys and drop other keys, in one transaction; return what is kept."""
        names = [*(entry.key for entry in entries), *drop]
        with self._catalog.read() as view:
            cube = view.enter(cube_id, principal, Right.WRITE)
            told = _told(entries, records.held(view, cube, names), view.now)
        keys = self._keys(told)
        with self._catalog.write(principal) as tx:
            cube = tx.open(cube_id)
            present = records.held(tx, cube, names)
            needed = {entry.text for entry in _told(entries, present, tx.now)}
            if needed <= keys.keys() and all(tx.is_embedded_by(each.model) for each in keys.values()):
                _put(tx, cube, entries, present, keys, drop, visibility=visibility)
                kept = records.held(tx, cube, [entry.key for entry in entries])
                return [records.to_record(kept[entry.key]) for entry in entries]
        return self.write(  # the store changed between the two looks
            principal, cube_id, entries, drop, visibility=visibility
        )

    def _keys(self, entries: Iterable[Entry]) -> dict[str, Keys]:
        """Return the keys of the entries by their text."""
        drafts = {entry.text: _draft(entry, None) for entry in entries}
        if not drafts:
            return {}
        return dict(zip(drafts, keys_of(list(drafts.values()), self._embedder()), strict=True))


def cleaned(entry: Entry, redaction: Redaction) -> Entry:
    """Return the entry with what may be written of its values and texts; its key stays an address."""
    if redaction.mode is Mode.OFF:
        return entry
    texts = tuple(redaction.text(text) for text in entry.texts)
    return replace(entry, data=_cleaned(entry.data, redaction), texts=texts)


def _cleaned(value: Any, redaction: Redaction) -> Any:
    match value:
        case str():
            return redaction.text(value)
        case Mapping():
            return {redaction.name(key): _cleaned(each, redaction) for key, each in value.items()}
        case list() | tuple():
            return [_cleaned(each, redaction) for each in value]
        case _:
            return value


def _told(entries: Iterable[Entry], present: Rows, now: datetime) -> list[Entry]:
    """Return the entries whose text has to be embedded."""
    return [entry for entry in entries if entry.text and not _says(present.get(entry.key), entry.text, now)]


def _says(row: Row[Any] | None, text: str, now: datetime) -> bool:
    return row is not None and records.lives(row, now=now) and row.text == text


def _put(
    tx: Tx,
    cube: CubeHeader,
    entries: Sequence[Entry],
    present: Rows,
    keys: Mapping[str, Keys],
    drop: Collection[str],
    *,
    visibility: Visibility,
) -> None:
    """Write the entries, each with the memory that it is found by; erase what is dropped or out of sight."""
    records.check_put(tx, cube, [present[entry.key] for entry in entries if entry.key in present])
    if visibility is Visibility.PUBLIC:
        tx_share.check_publish(cube)
    dropped = records.visible(tx, cube, drop)
    kept = {entry.key: present[entry.key] for entry in entries if entry.key in present}
    over = [row for row in kept.values() if not records.lives(row, now=tx.now)]
    records.erase(tx, cube, [*dropped.values(), *over])
    kept = {key: row for key, row in kept.items() if records.lives(row, now=tx.now)}
    behind = {entry.key: _retold(tx, cube, entry, kept.get(entry.key), keys) for entry in entries}
    fresh = [entry for entry in entries if entry.text and behind[entry.key] is None]
    drafts = [
        replace(
            _draft(entry, tx.now),
            visibility=Visibility(kept[entry.key].visibility) if entry.key in kept else visibility,
        )
        for entry in fresh
    ]
    seqs = tx.add(cube, [(draft, keys[draft.text]) for draft in drafts])
    behind |= {entry.key: seq for entry, seq in zip(fresh, seqs, strict=True)}
    records.write(tx, cube, entries, present=kept, behind=behind, visibility=visibility)


def _retold(
    tx: Tx, cube: CubeHeader, entry: Entry, row: Row[Any] | None, keys: Mapping[str, Keys]
) -> int | None:
    """Bring the memory of a kept record up to date; return its seq, or None where there is none any more."""
    if row is None or row.memory_seq is None:
        return None
    if not entry.text:
        memory = records.memory_of(tx.connection, row)
        records.part_from_memory(tx, row)
        tx.erase_row(cube, memory)
        return None
    draft = _draft(entry, None)
    if row.text != entry.text:
        changes = {"text": draft.text, "digest": draft.digest}
        tx.revise(cube, row.memory_id, changes=changes, keys=keys[entry.text])
    end = records.ends_at(cube, entry.ttl, created_at=row.created_at, now=tx.now)
    records.until(tx, row.memory_seq, end)
    return int(row.memory_seq)


def _draft(entry: Entry, now: datetime | None) -> Draft:
    expires_at = None if now is None or entry.ttl is None else now + entry.ttl
    digest = record_digest(entry.key)
    return Draft(text=entry.text, digest=digest, kind=RECORD, made_by=RECORD_TEXTS, expires_at=expires_at)
