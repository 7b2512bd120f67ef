"""The write path: drafts get their keys outside the transaction, then everything commits at once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from memos_core.cube import CubeHeader, Principal, Right
from memos_core.errors import InvalidInput
from memos_core.memory import COPY, Memory, Relation, Trust
from memos_core.protocols import Embedder
from memos_core.reader.keys import keys_of
from memos_core.vault import tx_life, tx_share, tx_trust
from memos_core.vault.catalog import Catalog
from memos_core.vault.draft import Draft, Keys, statement_digest
from memos_core.vault.tx import Tx
from memos_core.vault.view import Known

_TOLD = ("text", "digest", "speaker", "role", "event_at")  # what an edit says anew


class Follow(Protocol):
    """Is told, in the transaction that writes them, which messages are to be read."""

    def __call__(self, tx: Tx, cube: CubeHeader, seqs: Sequence[int], *, more: bool) -> None: ...


class Intake:
    """Writes memories. `embedder` is called when something must be embedded.

    `follow`, where it is set, is told in the same transaction which messages were written or edited, with
    those that they follow, and whether more is to come.
    """

    def __init__(self, catalog: Catalog, *, embedder: Callable[[], Embedder]) -> None:
        self._catalog, self._embedder = catalog, embedder
        self.follow: Follow | None = None

    def state(
        self, principal: Principal, cube_id: str, draft: Draft, *, derived_from: Sequence[str] = ()
    ) -> Memory:
        """Write a statement; an equal one gets another source, and tags it lacked, instead of a twin.

        Two that are not trusted alike are two memories: neither gains or loses by what the other says.
        It is linked to what it is derived from in the same transaction.
        """
        with self._catalog.read() as view:
            cube = view.enter(cube_id, principal, Right.WRITE)
            trust = tx_trust.bounded(view, cube, draft, derived_from).trust
            known = view.statement(cube, draft.digest, trust)
        keys = None if known else keys_of([draft], self._embedder())[0]
        with self._catalog.write(principal) as tx:
            cube = tx.open(cube_id)
            draft = tx_trust.bounded(tx, cube, draft, derived_from)
            stated = self.stated(tx, cube, draft, keys, derived_from=derived_from)
            if stated is not None:
                return stated
        return self.state(
            principal, cube_id, draft, derived_from=derived_from
        )  # changed between the two looks

    def stated(
        self, tx: Tx, cube: CubeHeader, draft: Draft, keys: Keys | None, *, derived_from: Sequence[str]
    ) -> Memory | None:
        """Write a statement in an open transaction; None if it needs keys, by the store's embedder, first."""
        known = tx.statement(cube, draft.digest, draft.trust)
        if known is not None:
            self._restate(tx, cube, known, draft)
            return self._derived(tx, cube, known, derived_from)
        if keys is None or not tx.is_embedded_by(keys.model):
            return None
        seq = tx.add(cube, [(draft, keys)])[0]
        return self._derived(tx, cube, tx.hydrate(cube, [seq])[seq].id, derived_from)

    def _derived(self, tx: Tx, cube: CubeHeader, memory_id: str, derived_from: Sequence[str]) -> Memory:
        """Link a memory to what it is derived from; return it."""
        for source in derived_from:
            if source == memory_id:
                raise InvalidInput(f"{memory_id!r} says this already: nothing is derived from itself")
            tx.link(cube, memory_id, Relation.DERIVED_FROM, source)
        return tx.memory(cube, memory_id)

    def _restate(self, tx: Tx, cube: CubeHeader, memory_id: str, draft: Draft) -> None:
        """Give a known statement another source, and whatever the header lacked."""
        draft = tx_share.allowed(tx, cube, draft)
        tx.add_source(cube, memory_id, draft)
        changes = _restated(tx.memory(cube, memory_id), draft)
        if changes:
            tx.revise(cube, memory_id, changes=changes, keys=None)
        tx_life.overlap(tx, cube, memory_id)

    def say(
        self,
        principal: Principal,
        cube_id: str,
        drafts: Sequence[Draft],
        *,
        after: Sequence[Draft] = (),
        more: bool = False,
    ) -> list[Memory]:
        """Write messages in one transaction; return one memory a draft, in order.

        A message that is known is returned as it is; one known by its id whose text is new is an
        edit, and becomes the next version.
        """
        digests = [draft.digest for draft in drafts]
        with self._catalog.read() as view:
            cube = view.enter(cube_id, principal, Right.WRITE)
            known = view.messages(cube, digests)
            lacking = news(drafts, known)
            if not lacking and not doubts(drafts, known):
                found = view.hydrate(cube, {each.seq for each in known.values()})
                return [found[known[digest].seq] for digest in digests]
        embedder = self._embedder()
        made = keys_of(lacking, embedder)
        keys = {(draft.digest, draft.text): key for draft, key in zip(lacking, made, strict=True)}
        with self._catalog.write(principal) as tx:
            cube = tx.open(cube_id)
            known = tx.messages(cube, digests)
            told = news(drafts, known)
            if tx.is_embedded_by(embedder.identity) and all((d.digest, d.text) in keys for d in told):
                seqs = self._write(tx, cube, told, keys, known)
                if self.follow is not None and told:
                    before = tx.messages(cube, [draft.digest for draft in after])
                    read = [known.seq for known in before.values()] + [seqs[draft.digest] for draft in told]
                    self.follow(tx, cube, list(dict.fromkeys(read)), more=more)
                seqs |= _doubted(tx, cube, drafts, known)
                found = tx.hydrate(cube, set(seqs.values()))
                return [found[seqs[digest]] for digest in digests]
        # the store changed between the two looks
        return self.say(principal, cube_id, drafts, after=after, more=more)

    def _write(
        self,
        tx: Tx,
        cube: CubeHeader,
        told: Sequence[Draft],
        keys: Mapping[tuple[str, str], Keys],
        known: Mapping[str, Known],
    ) -> dict[str, int]:
        """Write new messages, then edits, in the order in which they were told; return seqs by digest."""
        first = {draft.digest: draft for draft in reversed(told) if draft.digest not in known}
        fresh = [draft for draft in told if first.get(draft.digest) is draft]
        edits = [draft for draft in told if first.get(draft.digest) is not draft]
        added = tx.add(cube, [(draft, keys[draft.digest, draft.text]) for draft in fresh])
        seqs = {digest: each.seq for digest, each in known.items()}
        seqs |= {draft.digest: seq for draft, seq in zip(fresh, added, strict=True)}
        edited = tx.hydrate(cube, {seqs[draft.digest] for draft in edits})
        ids = {draft.digest: edited[seqs[draft.digest]].id for draft in edits}
        for draft in edits:
            tx.add_source(cube, ids[draft.digest], draft)
            changes = {name: getattr(draft, name) for name in _TOLD}
            written = keys[draft.digest, draft.text]
            seqs[draft.digest] = tx.revise(cube, ids[draft.digest], changes=changes, keys=written)
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
        trust: Trust = Trust.TRUSTED,
    ) -> Memory:
        """Write the next version of a memory, with its new keys; it is trusted no further than before."""
        with self._catalog.read() as view:
            memory = view.memory(view.enter(cube_id, principal, Right.WRITE), memory_id)
        draft = _redraft(memory, text, changes)
        keys = keys_of([draft], self._embedder())[0]
        with self._catalog.write(principal) as tx:
            cube = tx.open(cube_id)
            if tx.is_embedded_by(keys.model):
                changed = {**changes, "text": text, "digest": draft.digest}
                seq = tx.revise(cube, memory_id, changes=changed, keys=keys, expected=expected)
                if trust is Trust.UNTRUSTED:
                    tx_trust.distrust(tx, cube, [tx.row(seq).id])
                return tx.hydrate(cube, [seq])[seq]
        return self.revise(  # the store changed between the two looks
            principal, cube_id, memory_id, text=text, expected=expected, changes=changes, trust=trust
        )

    def copy(self, principal: Principal, cube_id: str, memory_id: str, *, text: str | None) -> Memory:
        """Write a memory that is derived from another, with other words if `text` is given."""
        with self._catalog.read() as view:
            memory = view.memory(view.enter(cube_id, principal, Right.WRITE), memory_id)
        draft = _copied(memory, text)
        keys = keys_of([draft], self._embedder())[0]
        with self._catalog.write(principal) as tx:
            cube = tx.open(cube_id)
            same = tx.memory(cube, memory_id).version == memory.version
            if same and tx.is_embedded_by(keys.model):
                if (
                    tx.statement(cube, draft.digest, draft.trust) is not None
                ):  # it has to differ from its twin
                    draft = replace(draft, digest=uuid.uuid4().hex)
                seq = tx_life.copy(tx, cube, memory_id, draft, keys)
                return tx.hydrate(cube, [seq])[seq]
        return self.copy(principal, cube_id, memory_id, text=text)  # as in `state`


def news(drafts: Sequence[Draft], known: Mapping[str, Known]) -> list[Draft]:
    """Return the drafts that say something new, each compared with what was told before it."""
    told = {digest: each.text for digest, each in known.items()}
    found: list[Draft] = []
    for draft in drafts:
        if told.get(draft.digest) != draft.text:
            found.append(draft)
            told[draft.digest] = draft.text
    return found


def doubts(drafts: Sequence[Draft], known: Mapping[str, Known]) -> list[str]:
    """Return the ids of known, trusted memories that are told again as untrusted."""
    doubtful = {draft.digest for draft in drafts if draft.trust is Trust.UNTRUSTED}
    return [
        each.memory_id for digest, each in known.items() if digest in doubtful and each.trust == Trust.TRUSTED
    ]


def _doubted(tx: Tx, cube: CubeHeader, drafts: Sequence[Draft], known: Mapping[str, Known]) -> dict[str, int]:
    """Mark what was told again as untrusted; return by digest under which seqs the cube has it now."""
    moved = tx_trust.doubt(tx, cube, doubts(drafts, known))
    return {digest: moved[each.memory_id] for digest, each in known.items() if each.memory_id in moved}


def _restated(memory: Memory, draft: Draft) -> dict[str, Any]:
    """Return what a statement made again changes: tags it lacked, a later expiry, a stricter header."""
    changes: dict[str, Any] = {}
    lacking = [tag for tag in draft.tags if tag not in memory.tags]
    if lacking:
        changes["tags"] = [*memory.tags, *lacking]
    present = memory.header.governance
    if present.expires_at is not None and (draft.expires_at is None or draft.expires_at > present.expires_at):
        changes["expires_at"] = draft.expires_at
    if draft.sensitivity > present.sensitivity:
        changes["sensitivity"] = draft.sensitivity
    if draft.priority > present.priority:
        changes["priority"] = draft.priority
    return changes


def _redraft(memory: Memory, text: str, changes: dict[str, Any]) -> Draft:
    """Return the draft that a revised memory is keyed by."""
    header = memory.header.descriptive
    kind: str = changes.get("kind", memory.kind)
    event_at: datetime | None = changes.get("event_at", header.event_at)
    draft = Draft(
        text=text, digest=statement_digest(text, kind=kind, at=event_at), kind=kind, event_at=event_at
    )
    return replace(draft, speaker=header.speaker, role=header.role, session=header.session)


def _copied(memory: Memory, text: str | None) -> Draft:
    """Return the draft of a copy: everything about the memory but its place in a conversation."""
    words = memory.text if text is None else text
    header, rules = memory.header.descriptive, memory.header.governance
    return Draft(
        text=words,
        digest=statement_digest(words, kind=header.kind, at=header.event_at),
        kind=header.kind,
        tags=header.tags,
        origin="copied",
        made_by=COPY,
        speaker=header.speaker,
        role=header.role,
        event_at=header.event_at,
        expires_at=rules.expires_at,
        visibility=rules.visibility,
        sensitivity=rules.sensitivity,
        priority=rules.priority,
        trust=rules.trust,
    )
