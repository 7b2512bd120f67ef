"""Extraction: a model reads what was kept verbatim, and states what of it is worth knowing by itself.

The turn is committed first, and with it the job that will read it: a model that fails loses nothing.
What it states names the turns that it was found in, is trusted no further than they are, seen by no more
people, and kept no longer. A turn is read once in each version: that it was read, what was found and the
end of the job are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from sqlalchemy import Connection

from memos_core.cube import CubeHeader, Principal, Right
from memos_core.errors import BackendUnavailable, InvalidInput, SecretFound
from memos_core.job import About, Job, Kind, Order
from memos_core.memory import (
    EXTRACTED,
    Memory,
    State,
    Visibility,
    checked_name,
    checked_tags,
    checked_text,
    checked_time,
)
from memos_core.protocols import Embedder, Extracted, Extractor, Passage
from memos_core.reader.intake import Intake
from memos_core.reader.keys import keys_of
from memos_core.redaction import Redaction
from memos_core.vault import extractions, jobs, tx_trust
from memos_core.vault.catalog import Catalog
from memos_core.vault.draft import Draft, Keys, statement_digest
from memos_core.vault.tx import Tx

AT_ONCE: Final = 16  # messages that a model is shown in one call
CONTEXT: Final = 6  # messages before them
WAIT: Final = timedelta(minutes=10)  # for the rest of an exchange
_STRICTEST: Final = (Visibility.PRIVATE, Visibility.SHARED, Visibility.PUBLIC)


class InHand(Protocol):
    """The job that is being done, as far as extraction has to know."""

    job: Job

    @property
    def principal(self) -> Principal: ...

    def progress(self, done: int, of: int) -> None: ...

    def finish(self, connection: Connection) -> None: ...


class _Found(NamedTuple):
    """A statement about to be written, with the memories that it was found in."""

    draft: Draft
    keys: Keys
    found_in: tuple[str, ...]


class Extraction:
    """Orders the reading of new messages, and does it. `extractor` is set when there is one."""

    def __init__(
        self, catalog: Catalog, intake: Intake, *, embedder: Callable[[], Embedder], redaction: Redaction
    ) -> None:
        self._catalog, self._intake, self._embedder, self._redaction = catalog, intake, embedder, redaction
        self.extractor: Extractor | None = None

    def order(self, tx: Tx, cube: CubeHeader, seqs: Sequence[int], *, more: bool) -> None:
        """Order the reading of messages in the transaction that writes them.

        If there is `more` to come, the order of that names them as well: this one waits, and finds them read.
        """
        if self.extractor is None:
            return
        unread = extractions.not_read(tx.connection, seqs, self.extractor.identity)
        order = Order(
            kind=Kind.EXTRACT,
            cube=cube.id,
            by=tx.principal.name,
            purpose=tx.principal.purpose,
            run_at=tx.now + WAIT if more else None,
        )
        for start in range(0, len(unread), AT_ONCE):
            tx.enqueue(replace(order, about=tuple(unread[start : start + AT_ONCE])))

    def run(self, work: InHand) -> None:
        """Do an extraction job: the messages that it names, or all of the cube that were never read.

        Raises what the extractor raises, and NotFound or Forbidden where whoever ordered it may write to
        the cube no more.
        """
        extractor = self.extractor
        if extractor is None or work.job.cube is None:
            raise InvalidInput("extraction needs a cube, and a store that was opened with an extractor")
        with self._catalog.read() as view:
            named = jobs.about(view.connection, work.job.id)
        if named:
            self._read(work, work.job.cube, extractor, named, is_last=True)
            return
        after = done = 0
        while batch := self._next(work, work.job.cube, extractor, after=after):
            self._read(work, work.job.cube, extractor, batch, is_last=False)
            after, done = batch[-1].seq, done + len(batch)
            work.progress(done, done)

    def _next(self, work: InHand, cube_id: str, extractor: Extractor, *, after: int) -> list[About]:
        with self._catalog.read() as view:
            cube = view.enter(cube_id, work.principal, Right.WRITE)
            return extractions.next_unread(view, cube, extractor.identity, after=after, limit=AT_ONCE)

    def _read(
        self, work: InHand, cube_id: str, extractor: Extractor, about: Sequence[About], *, is_last: bool
    ) -> None:
        with self._catalog.read() as view:
            cube = view.enter(cube_id, work.principal, Right.WRITE)
            turns = extractions.unread(view, cube, about, extractor.identity)
            first = next(iter(turns.values()), None)
            context = [] if first is None else extractions.before(view, cube, first, limit=CONTEXT)
        shown = [passage(memory) for memory in turns.values()]
        stated = extractor.extract(shown, context=list(map(passage, context))) if shown else []
        made = self._drafted(stated, {memory.id: memory for memory in turns.values()}, extractor.identity)
        read = [About(seq=seq, version=memory.version) for seq, memory in turns.items()]
        with self._catalog.write(work.principal) as tx:
            cube = tx.open(cube_id)
            still = extractions.unread(tx, cube, read, extractor.identity)
            self._write(tx, cube, made, {memory.id for memory in still.values()})
            noted = [each for each in read if each.seq in still]
            extractions.note(tx.connection, noted, extractor.identity, now=tx.now)
            if is_last:
                work.finish(tx.connection)

    def _drafted(self, stated: Sequence[Extracted], sources: dict[str, Memory], maker: str) -> list[_Found]:
        """Return what can be kept of what the model stated, each statement once, with its keys."""
        drafts: dict[str, tuple[Draft, tuple[str, ...]]] = {}
        for each in stated:
            found_in = tuple(dict.fromkeys(name for name in each.found_in if name in sources))
            draft = self._draft(each, [sources[name] for name in found_in], maker) if found_in else None
            if draft is not None:
                _, known = drafts.get(draft.digest, (draft, ()))
                drafts[draft.digest] = (draft, tuple(dict.fromkeys((*known, *found_in))))
        keys = keys_of([draft for draft, _ in drafts.values()], self._embedder()) if drafts else []
        return [
            _Found(draft, key, found_in) for (draft, found_in), key in zip(drafts.values(), keys, strict=True)
        ]

    def _draft(self, stated: Extracted, sources: Sequence[Memory], maker: str) -> Draft | None:
        """Return a statement under the strictest rules of its sources; None for what cannot be kept."""
        clean = self._redaction.text
        try:
            text, kind = clean(checked_text(stated.text)), clean(checked_name(stated.kind, what="kind"))
            at = checked_time(stated.at, what="at") or _latest(sources)
            tags = checked_tags(map(clean, checked_tags(stated.tags)))
        except (InvalidInput, SecretFound):
            return None  # a model may say anything; what it says beside that is kept
        rules = [memory.header.governance for memory in sources]
        ends = [each.expires_at for each in rules if each.expires_at is not None]
        return Draft(
            text=text,
            digest=statement_digest(text, kind=kind, at=at),
            kind=kind,
            tags=tags,
            origin=EXTRACTED,
            made_by=maker,
            event_at=at,
            expires_at=min(ends, default=None),
            visibility=min((each.visibility for each in rules), key=_STRICTEST.index),
            sensitivity=max(each.sensitivity for each in rules),
            trust=min((each.trust for each in rules), key=lambda trust: trust.rank),
        )

    def _write(self, tx: Tx, cube: CubeHeader, made: Sequence[_Found], still: set[str]) -> None:
        """Write the statements whose sources are still as they were read; the others come later."""
        for each in made:
            if not set(each.found_in) <= still:
                continue
            draft = tx_trust.bounded(tx, cube, each.draft, each.found_in)
            known = tx.statement(cube, draft.digest, draft.trust)
            if known is not None and tx.memory(cube, known).state is State.FROZEN:
                continue  # it says this already, and nothing is to be added to it
            if self._intake.stated(tx, cube, draft, each.keys, derived_from=each.found_in) is None:
                raise BackendUnavailable("the store's embedder was changed meanwhile: try again")


def passage(memory: Memory) -> Passage:
    """Return a memory as an extractor reads it."""
    return Passage(id=memory.id, text=memory.text, speaker=memory.speaker, at=memory.at)


def _latest(sources: Sequence[Memory]) -> datetime | None:
    """Return when the last of the sources was said, where that is known."""
    said = [memory.header.descriptive.event_at for memory in sources]
    return max((at for at in said if at is not None), default=None)
