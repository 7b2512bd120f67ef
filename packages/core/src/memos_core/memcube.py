"""The handle on one cube: remember, recall, revise, forget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from memos_core import erasing
from memos_core.erasure import Erasure
from memos_core.errors import InvalidInput
from memos_core.governance import NEEDS
from memos_core.lineage import Lineage
from memos_core.memcube_files import Files
from memos_core.memcube_idle import Idle
from memos_core.memcube_life import LifeCycle
from memos_core.memcube_sharing import Sharing
from memos_core.memcube_time import TimeMachine
from memos_core.memcube_working import Worked
from memos_core.memory import (
    EXTRACTED,
    STATED,
    STATEMENT,
    Link,
    Memory,
    Message,
    Relation,
    Revision,
    Source,
    State,
    Trust,
    Visibility,
    checked_choice,
    checked_id,
    checked_maker,
    checked_name,
    checked_tags,
    checked_text,
    checked_time,
    checked_ttl,
    checked_within,
)
from memos_core.operator.recall import Ask
from memos_core.query import (
    Changes,
    Recall,
    Where,
    checked_budget,
    checked_k,
    checked_query,
    checked_where,
)
from memos_core.reader.drafts import said
from memos_core.records import Records
from memos_core.telemetry import observed
from memos_core.timeline import At, checked_at
from memos_core.vault import news, outbox, pasts, tracing, tx_erase
from memos_core.vault.draft import Draft, statement_digest


class MemCube(LifeCycle, Sharing, TimeMachine, Files, Idle, Worked):
    """A named container of memories, as one principal sees it. Made by `MemOS.cube`.

    Every verb is one transaction and safe to call from any thread. A memory or a cube that the
    principal may not see raises NotFound, like one that does not exist.
    """

    @property
    def records(self) -> Records:
        """JSON values under keys, beside the cube's statements."""
        return Records(self._core, self._id, self._principal)

    # --- write -------------------------------------------------------------------------------

    @observed("remember")
    def remember(
        self,
        text: str,
        *,
        kind: str = "fact",
        tags: Iterable[str] = (),
        at: datetime | None = None,
        ttl: timedelta | None = None,
        visibility: Visibility | str = Visibility.PRIVATE,
        sensitivity: int = 0,
        priority: int = 0,
        trust: Trust | str = Trust.TRUSTED,
        made_by: str | None = None,
        derived_from: Iterable[str] = (),
    ) -> Memory:
        """Keep a statement; return the memory.

        A statement that the cube has already (equal text, kind and `at`) is not kept twice: it gets
        one more source, and the tags it lacked. `at` is when it happened; `ttl` is how long it may
        be known; `sensitivity` is 0 to 9, `priority` -9 to 9. `made_by` names the extractor or the
        model, where one found the words; `derived_from` are the ids of what it was found in. `trust`
        "untrusted" marks what comes from a page, a tool, a stranger; what is derived from it is too.
        """
        self._core.check_open()
        ttl = checked_ttl(ttl)
        clean = self._core.redaction.text
        text, kind = clean(checked_text(text)), clean(checked_name(kind, what="kind"))
        at = checked_time(at, what="at")
        draft = Draft(
            text=text,
            digest=statement_digest(text, kind=kind, at=at),
            kind=kind,
            tags=checked_tags(map(clean, checked_tags(tags))),
            origin=STATED if made_by is None else EXTRACTED,
            made_by=STATEMENT if made_by is None else checked_maker(made_by),
            event_at=at,
            expires_at=self._core.catalog.clock() + ttl if ttl else None,
            visibility=checked_choice(Visibility, visibility, what="visibility"),
            sensitivity=checked_within(sensitivity, 0, 9, what="sensitivity"),
            priority=checked_within(priority, -9, 9, what="priority"),
            trust=checked_choice(Trust, trust, what="trust"),
        )
        found_in = checked_tags(derived_from, what="memory id")
        with self._core.indexer.writing():
            return self._core.intake.state(self._principal, self._id, draft, derived_from=found_in)

    @observed("ingest")
    def ingest(
        self,
        messages: Iterable[Message],
        *,
        session: str | None = None,
        visibility: Visibility | str = Visibility.PRIVATE,
        trust: Trust | str = Trust.TRUSTED,
        after: Iterable[Message] = (),
        more: bool = False,
    ) -> Sequence[Memory]:
        """Keep messages verbatim, in one transaction; return one memory a message, in order.

        A message sent again (equal id; or equal speaker, text and time, in the same session) is the
        same memory. One whose text changed under the same id becomes the next version. What is told
        as "untrusted" stays so, however often it is told.

        An exchange may be kept in two parts: `more` says of the first that it goes on, `after` of the
        second which messages it follows. They are not kept again, and what was forgotten of them stays
        so; an extractor reads both parts as one. It waits ten minutes for the second.
        """
        self._core.check_open()
        level = checked_choice(Visibility, visibility, what="visibility")
        whence = checked_choice(Trust, trust, what="trust")
        clean = self._core.redaction
        drafts = said(messages, session=session, visibility=level, trust=whence, redaction=clean)
        before = said(after, session=session, redaction=clean)
        if not drafts:
            return []
        with self._core.indexer.writing():
            return self._core.intake.say(self._principal, self._id, drafts, after=before, more=more)

    @observed("revise")
    def revise(
        self,
        memory_id: str,
        text: str,
        *,
        expected: int | None = None,
        kind: str | None = None,
        tags: Iterable[str] | None = None,
        at: datetime | None = None,
        trust: Trust | str = Trust.TRUSTED,
    ) -> Memory:
        """Write the next version of a memory; return it. Earlier versions stay in its history.

        `expected` is the version that you read: if somebody was faster, Conflict tells both.
        `kind`, `tags` and `at` are kept unless given. "untrusted" words make the memory so, with all
        that is derived from it; trusted ones leave an untrusted memory as it is.
        """
        self._core.check_open()
        if expected is not None:
            checked_within(expected, 1, 1 << 62, what="expected")
        changes: dict[str, Any] = {}
        clean = self._core.redaction.text
        if kind is not None:
            changes["kind"] = clean(checked_name(kind, what="kind"))
        if tags is not None:
            changes["tags"] = list(checked_tags(map(clean, checked_tags(tags))))
        if at is not None:
            changes["event_at"] = checked_time(at, what="at")
        memory_id, text = checked_id(memory_id), clean(checked_text(text))
        whence = checked_choice(Trust, trust, what="trust")
        with self._core.indexer.writing():
            return self._core.intake.revise(
                self._principal,
                self._id,
                memory_id,
                text=text,
                expected=expected,
                changes=changes,
                trust=whence,
            )

    @observed("forget")
    def forget(
        self,
        memory_id: str | None = None,
        *,
        where: Where | None = None,
        expected: int | None = None,
        extracted: bool = False,
    ) -> Erasure:
        """Erase a memory, or all that match `where`, with versions, sources and keys; return the receipt.

        What is archived or overdue is erased as well; if anything is frozen, IllegalTransition is
        raised and nothing is erased. `expected` is the version of the memory that you read: if it was
        changed since, Conflict tells both. With `extracted`, what an extractor found in these memories
        and in no other goes with them, unless somebody has stated or revised it since. To erase
        everything, `MemOS.forget_cube`.
        """
        self._core.check_open()
        if expected is not None:
            checked_within(expected, 1, 1 << 62, what="expected")
        if (memory_id is None) == (where is None):
            raise InvalidInput(
                "name one memory to forget, or say which: forget(id) or forget(where=Where(...))"
            )
        if memory_id is not None:
            named = checked_id(memory_id)
            return erasing.erased(
                self._core,
                self._principal,
                lambda tx: tx.erase(
                    tx.open(self._id, NEEDS["forget"]), named, expected=expected, extracted=extracted
                ),
            )
        if expected is not None:
            raise InvalidInput("a filter has no version: `expected` goes with forget(id)")
        matching = checked_where(where)
        if matching.is_empty:
            raise InvalidInput("an empty filter matches everything: MemOS.forget_cube() erases a whole cube")
        return erasing.erased(
            self._core,
            self._principal,
            lambda tx: tx_erase.erase_where(
                tx, tx.open(self._id, NEEDS["forget"]), matching, extracted=extracted
            ),
        )

    def link(self, source: str, relation: Relation | str, target: str) -> Link:
        """Write the edge `source` RELATION `target` between two memories; return it.

        What a memory "supersedes" never ranks above it again; a circle of such links is refused.
        """
        self._core.check_open()
        source, target = checked_id(source), checked_id(target)
        if source == target:
            raise InvalidInput("a memory cannot be linked to itself")
        relation = checked_choice(Relation, relation, what="relation")
        with self._core.catalog.write(self._principal) as tx:
            return tx.link(tx.open(self._id), source, relation, target)

    # --- read --------------------------------------------------------------------------------

    @observed("recall")
    def recall(
        self,
        query: str,
        *,
        k: int = 10,
        budget: int | None = None,
        where: Where | None = None,
        session: str | None = None,
        at: At | None = None,
    ) -> Recall:
        """Return the (at most) `k` memories that answer the query best, best first.

        With a `budget`, they are chosen to say most within so many tokens, and turns beside them
        that make them readable come along, marked as context. `session` looks at one session only.
        `at` looks at the cube as it was: a snapshot, its label, or a moment. Who may see a memory is
        a matter of today, and what was erased since is not there. An empty cube gives an empty
        Recall; a back end that fails raises.
        """
        self._core.check_open()
        where = _in_session(checked_where(where), session)
        ask = Ask(
            query=checked_query(query),
            k=checked_k(k),
            where=where,
            budget=checked_budget(budget),
            at=checked_at(at),
        )
        return self._core.recaller.recall(self._principal, self._id, ask)

    def get(self, memory_id: str, *, at: At | None = None) -> Memory:
        """Return the present version of a memory, or that which it had `at` a state of the past."""
        at = checked_at(at)
        with self._core.reading(self._principal, self._id) as (view, cube):
            return view.memory(pasts.looked_at(view, cube, at), checked_id(memory_id))

    def list(
        self,
        *,
        where: Where | None = None,
        tags: Iterable[str] = (),
        state: State | str | None = None,
        limit: int | None = None,
        offset: int = 0,
        at: At | None = None,
    ) -> Sequence[Memory]:
        """Return the memories that match, in the order in which they were first written.

        `state` asks for those in one state: "archived" ones, or the shells of "expired" ones, are
        listed in no other way. `at` looks at the cube as it was, as in `recall`.
        """
        where = checked_where(where)
        wanted = Where(**{**_fields(where), "tags": (*where.tags, *checked_tags(tags))})
        if limit is not None:
            checked_within(limit, 0, 1 << 62, what="limit")
        checked_within(offset, 0, 1 << 62, what="offset")
        at = checked_at(at)
        with self._core.reading(self._principal, self._id) as (view, cube):
            return view.listed(
                pasts.looked_at(view, cube, at),
                wanted,
                limit=limit,
                offset=offset,
                state=None if state is None else checked_choice(State, state, what="state"),
            )

    def changes(self, *, since: int = 0) -> Changes:
        """Return the memories written, restored or shown since a change, each as it is now, and by whom.

        `since` is the `upto` of an earlier look; 0 is everything. What was forgotten, archived or
        hidden meanwhile is not told: what you may not see does not exist.
        """
        checked_within(since, 0, 1 << 62, what="since")
        with self._core.reading(self._principal, self._id) as (view, cube):
            return news.changes(view, cube, since=since)

    def history(self, memory_id: str) -> Sequence[Revision]:
        """Return every version of a memory, oldest first."""
        with self._core.reading(self._principal, self._id) as (view, cube):
            return view.history(cube, checked_id(memory_id))

    def sources(self, memory_id: str) -> Sequence[Source]:
        """Return the verbatim messages or statements that a memory came from, oldest first."""
        with self._core.reading(self._principal, self._id) as (view, cube):
            return view.sources(cube, checked_id(memory_id))

    def lineage(self, memory_id: str) -> Lineage:
        """Return where a memory comes from, and what came of it.

        That is its sources, its versions, the memories that it stands on and those that stand on it,
        what was made from it, and the record that it is found by; of all that, what you may see.
        """
        with self._core.reading(self._principal, self._id) as (view, cube):
            return tracing.lineage(view, cube, checked_id(memory_id))

    def find(self, prefix: str, *, state: State | str | None = None) -> str:
        """Return the one memory id that starts with `prefix`; InvalidInput if there are several.

        `state` looks among those in one state, as in `list`.
        """
        with self._core.reading(self._principal, self._id) as (view, cube):
            return view.id_starting(
                cube,
                checked_name(prefix, what="memory id"),
                state=None if state is None else checked_choice(State, state, what="state"),
            )

    def count(self) -> int:
        """Return how many memories of the cube are in sight."""
        with self._core.reading(self._principal, self._id) as (view, cube):
            return view.count(cube=cube)

    def lag(self) -> int:
        """Return how many changes of this cube the index has not been told yet."""
        with self._core.reading(self._principal, self._id) as (view, cube):
            return outbox.owed_of(view, cube)


def _in_session(where: Where, session: str | None) -> Where:
    if session is None:
        return where
    if where.sessions and session not in where.sessions:
        raise InvalidInput(f"session={session!r} contradicts where.sessions={where.sessions!r}")
    return Where(**{**_fields(where), "sessions": (session,)})


def _fields(where: Where) -> dict[str, Any]:
    return {name: getattr(where, name) for name in where.__slots__}
