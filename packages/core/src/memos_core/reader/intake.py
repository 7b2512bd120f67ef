"""The write path: drafts get their keys outside the transaction, then everything commits at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from memos_core.cube import CubeHeader, Principal
from memos_core.governance import Right
from memos_core.memory import Memory
from memos_core.protocols import Embedder
from memos_core.reader.drafts import statement_digest
from memos_core.reader.keys import keys_of
from memos_core.vault.catalog import Catalog
from memos_core.vault.draft import Draft, Keys
from memos_core.vault.tx import Tx
from memos_core.vault.view import Known


class Intake:
    """Writes memories. `embedder` is called when something must be embedded."""

    def __init__(self, catalog: Catalog, *, embedder: Callable[[], Embedder]) -> None:
        self._catalog, self._embedder = catalog, embedder

    def state(self, principal: Principal, cube_id: str, draft: Draft) -> Memory:
        """Write a statement; an equal one gets another source, and tags it lacked, instead of a twin."""
        with self._catalog.read() as view:
            cube = view.enter(cube_id, principal, Right.WRITE)
            known = view.statement(cube, draft.digest)
        keys = None if known else keys_of([draft], self._embedder())[0]
        with self._catalog.write(principal) as tx:
            cube = tx.open(cube_id)
            known = tx.statement(cube, draft.digest)
            if known is not None:
                return self._restate(tx, cube, known, draft)
            if keys is not None:
                seq = tx.add(cube, [(draft, keys)])[0]
                return tx.hydrate(cube, [seq])[seq]
        return self.state(principal, cube_id, draft)  # it was forgotten between the two looks

    def _restate(self, tx: Tx, cube: CubeHeader, memory_id: str, draft: Draft) -> Memory:
        tx.add_source(cube, memory_id, draft)
        memory = tx.memory(cube, memory_id)
        lacking = [tag for tag in draft.tags if tag not in memory.tags]
        if lacking:
            tx.revise(cube, memory_id, changes={"tags": [*memory.tags, *lacking]}, keys=None)
        return tx.memory(cube, memory_id)

    def say(self, principal: Principal, cube_id: str, drafts: Sequence[Draft]) -> list[Memory]:
        """Write messages in one transaction; return one memory a draft, in order.

        A message that is known is returned as it is; one known by its id whose text is new is an
        edit, and becomes the next version.
        """
        with self._catalog.read() as view:
            cube = view.enter(cube_id, principal, Right.WRITE)
            known = view.messages(cube, [draft.digest for draft in drafts])
            lacking = list({draft.digest: draft for draft in drafts if _is_news(draft, known)}.values())
            if not lacking:
                found = view.hydrate(cube, {each.seq for each in known.values()})
                return [found[known[draft.digest].seq] for draft in drafts]
        made = keys_of(lacking, self._embedder())
        keys = {draft.digest: key for draft, key in zip(lacking, made, strict=True)}
        with self._catalog.write(principal) as tx:
            cube = tx.open(cube_id)
            known = tx.messages(cube, [draft.digest for draft in drafts])
            news = list({draft.digest: draft for draft in drafts if _is_news(draft, known)}.values())
            if all(draft.digest in keys for draft in news):
                seqs = self._write(tx, cube, news, keys, known)
                found = tx.hydrate(cube, set(seqs.values()))
                return [found[seqs[draft.digest]] for draft in drafts]
        return self.say(principal, cube_id, drafts)  # one was forgotten between the two looks

    def _write(
        self,
        tx: Tx,
        cube: CubeHeader,
        news: Sequence[Draft],
        keys: dict[str, Keys],
        known: dict[str, Known],
    ) -> dict[str, int]:
        """Write new messages and edits; return the seq of every message by digest."""
        seqs = {digest: each.seq for digest, each in known.items()}
        fresh = [draft for draft in news if draft.digest not in known]
        added = tx.add(cube, [(draft, keys[draft.digest]) for draft in fresh])
        seqs |= {draft.digest: seq for draft, seq in zip(fresh, added, strict=True)}
        for draft in news:
            if draft.digest in known:
                memory_id = known[draft.digest].memory_id
                tx.add_source(cube, memory_id, draft)
                tx.revise(cube, memory_id, changes={"text": draft.text}, keys=keys[draft.digest])
        return seqs

    def revise(
        self,
        principal: Principal,
        cube_id: str,
        memory_id: str,
        *,
        text: str,
        expected: int | None,
        changes: dict[str, Any],
    ) -> Memory:
        """Write the next version of a memory, with its new keys."""
        with self._catalog.read() as view:
            memory = view.memory(view.enter(cube_id, principal, Right.WRITE), memory_id)
        draft = _redraft(memory, text, changes)
        keys = keys_of([draft], self._embedder())[0]
        with self._catalog.write(principal) as tx:
            cube = tx.open(cube_id)
            seq = tx.revise(
                cube,
                memory_id,
                changes={**changes, "text": text, "digest": draft.digest},
                keys=keys,
                expected=expected,
            )
            return tx.hydrate(cube, [seq])[seq]


def _is_news(draft: Draft, known: dict[str, Known]) -> bool:
    return draft.digest not in known or known[draft.digest].text != draft.text


def _redraft(memory: Memory, text: str, changes: dict[str, Any]) -> Draft:
    """Return the draft that a revised memory is keyed by."""
    header = memory.header.descriptive
    kind: str = changes.get("kind", memory.kind)
    event_at: datetime | None = changes.get("event_at", header.event_at)
    draft = Draft(
        text=text, digest=statement_digest(text, kind=kind, at=event_at), kind=kind, event_at=event_at
    )
    return replace(draft, speaker=header.speaker, role=header.role, session=header.session)
