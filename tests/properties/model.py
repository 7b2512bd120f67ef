"""What a store should hold, as plain dicts: written from the documentation, not from the code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from memos_core import Memory, Message, State
from memos_core.query import Hit, Where

Key = tuple[Any, ...]


@dataclass
class Entry:
    """One memory. `versions` has (text, kind, tags, event time) of each, oldest first."""

    id: str
    versions: list[tuple[str, str, tuple[str, ...], datetime | None]]
    tellings: list[str]
    created_at: datetime
    expires_at: datetime | None = None
    speaker: str | None = None
    session: str | None = None
    position: int | None = None
    statement: Key | None = None  # equal keys are one statement
    messages: dict[Key, str] = field(default_factory=dict)  # the text last told under this key
    told: int = 0  # when a message was last told, counted over the cube
    state: str = "live"  # or "archived", "frozen", "expired"
    visibility: str = "private"
    trust: str = "trusted"
    made_in: int | None = None  # the run of `consolidate` that wrote it
    put_by: int | None = None  # the run that put it away, unless somebody has moved it since

    @property
    def text(self) -> str:
        return self.versions[-1][0]

    @property
    def kind(self) -> str:
        return self.versions[-1][1]

    @property
    def tags(self) -> tuple[str, ...]:
        return self.versions[-1][2]

    @property
    def event_at(self) -> datetime | None:
        return self.versions[-1][3]

    @property
    def at(self) -> datetime:
        return self.event_at or self.created_at

    def overdue(self, now: datetime) -> bool:
        return self.state != "frozen" and self.expires_at is not None and self.expires_at <= now

    def away(self, now: datetime) -> str | None:
        """Return why it is out of sight: "expired", "archived", or None where it is in sight."""
        if self.overdue(now):
            return "expired"
        return self.state if self.state in ("archived", "expired") else None

    def visible(self, now: datetime) -> bool:
        return self.away(now) is None

    def changes(self, tags: tuple[str, ...], expires_at: datetime | None) -> bool:
        """Return whether stating it again with these would change its header."""
        longer = self.expires_at is not None and (expires_at is None or expires_at > self.expires_at)
        return longer or not set(tags) <= set(self.tags)

    def matches(self, where: Where) -> bool:
        return (
            (not where.kinds or self.kind in where.kinds)
            and set(where.tags) <= set(self.tags)
            and (not where.speakers or self.speaker in where.speakers)
            and (not where.sessions or self.session in where.sessions)
            and (where.since is None or where.since <= self.at)
            and (where.until is None or self.at < where.until)
            and (where.trust is None or self.trust == where.trust)
        )

    def facts(self, links: Iterable[tuple[str, str, str]]) -> tuple[Any, ...]:
        lineage = frozenset((relation, target) for source, relation, target in links if source == self.id)
        return (
            self.id, len(self.versions), *self.versions[-1], self.expires_at,
            self.speaker, self.session, self.position, self.created_at, lineage,
            self.state == "frozen", self.trust,
        )  # fmt: skip


def facts(memory: Memory) -> tuple[Any, ...]:
    """Return what the model knows of a memory, in the order of `Entry.facts`."""
    said = memory.header.descriptive
    return (
        memory.id, memory.version, memory.text, said.kind, said.tags, said.event_at,
        memory.header.governance.expires_at, said.speaker, said.session, said.position, said.created_at,
        frozenset((link.relation.value, link.target) for link in memory.header.behaviour.lineage),
        memory.state is State.FROZEN, memory.trust.value,
    )  # fmt: skip


def statement_key(text: str, kind: str, at: datetime | None) -> Key:
    return (" ".join(text.split()), kind, at)


def message_key(message: Message, session: str | None) -> Key:
    if message.id is not None:
        return (session, message.id)
    return (session, message.speaker, message.at, message.text)


@dataclass
class CubeModel:
    """One cube: its memories in the order in which they were first written."""

    owner: str
    name: str
    entries: dict[str, Entry] = field(default_factory=dict)
    links: set[tuple[str, str, str]] = field(default_factory=set)
    erased: list[str] = field(default_factory=list)
    tellings: int = 0
    granted: str = "none"  # to the other principal

    def visible(self, now: datetime, where: Where | None = None) -> list[Entry]:
        return [e for e in self.entries.values() if e.visible(now) and e.matches(where or Where())]

    def ranked(self, now: datetime, where: Where | None = None) -> list[Entry]:
        """Return what a recall may return: gists only to whoever asks for that kind."""
        asked = where is not None and "gist" in where.kinds
        return [entry for entry in self.visible(now, where) if asked or entry.kind != "gist"]

    # --- changes: each takes what the store returned, says what is wrong with it, and follows suit ---

    def stated(
        self,
        memory: Memory,
        *,
        text: str,
        kind: str,
        tags: tuple[str, ...],
        at: datetime | None,
        expires_at: datetime | None,
        trust: str,
        now: datetime,
    ) -> None:
        key = statement_key(text, kind, at)
        equal = [entry for entry in self.visible(now) if (entry.statement, entry.trust) == (key, trust)]
        if not equal:
            assert memory.id not in self.entries, "a new statement is a new memory"
            self.entries[memory.id] = Entry(
                memory.id,
                [(text, kind, tags, at)],
                [text],
                now,
                expires_at=expires_at,
                statement=key,
                trust=trust,
            )
            return
        assert memory.id in {entry.id for entry in equal}, "an equal statement is the same memory"
        entry = self.entries[memory.id]
        entry.tellings.append(text)
        lacking = tuple(tag for tag in tags if tag not in entry.tags)
        longer = entry.expires_at is not None and (expires_at is None or expires_at > entry.expires_at)
        if longer:
            entry.expires_at = expires_at
        if lacking or (longer and memory.version == len(entry.versions) + 1):
            entry.versions.append((entry.text, entry.kind, (*entry.tags, *lacking), entry.event_at))

    def said(
        self,
        memories: Sequence[Memory],
        messages: Sequence[Message],
        *,
        session: str | None,
        trust: str,
        now: datetime,
    ) -> None:
        assert len(memories) == len(messages), "one memory a message"
        position = 1 + max(
            (e.position for e in self.entries.values() if e.session == session and e.position is not None),
            default=-1,
        )
        for memory, message in zip(memories, messages, strict=True):
            key = message_key(message, session)
            self.tellings += 1
            known = self.known(key, now)
            if known is None:
                assert memory.id not in self.entries, "a new message is a new memory"
                self.entries[memory.id] = Entry(
                    memory.id,
                    [(message.text, "message", (), message.at)],
                    [message.text],
                    now,
                    speaker=message.speaker,
                    session=session,
                    position=position,
                    messages={key: message.text},
                    told=self.tellings,
                    trust=trust,
                )
                position += 1
                continue
            if trust == "untrusted":
                self.distrusted(known)
            assert memory.id == known.id, "a message sent again is the same memory"
            if known.messages[key] != message.text:
                known.messages[key] = message.text
                known.told = self.tellings
                known.tellings.append(message.text)
                known.versions.append((message.text, known.kind, known.tags, message.at))
                known.speaker, known.statement = message.speaker, None

    def known(self, key: Key, now: datetime) -> Entry | None:
        """Return what came from this message; two may have, if one was away when it was sent again."""
        found = [entry for entry in self.visible(now) if key in entry.messages]
        return max(found, key=lambda entry: entry.told, default=None)

    def edits_frozen(self, messages: Sequence[Message], *, session: str | None, now: datetime) -> bool:
        """Return whether one of the messages would change a frozen memory."""
        for message in messages:
            key = message_key(message, session)
            known = self.known(key, now)
            if known and known.state == "frozen" and known.messages[key] != message.text:
                return True
        return False

    def copied(self, memory: Memory, source: Entry, *, text: str | None, now: datetime) -> None:
        words = source.text if text is None else text
        key: Key | None = statement_key(words, source.kind, source.event_at)
        if any((entry.statement, entry.trust) == (key, source.trust) for entry in self.visible(now)):
            key = None
        assert memory.id not in self.entries, "a copy is a memory of its own"
        self.entries[memory.id] = Entry(
            memory.id,
            [(words, *source.versions[-1][1:])],
            [words],
            now,
            expires_at=source.expires_at,
            speaker=source.speaker,
            statement=key,
            visibility=source.visibility,
            trust=source.trust,
        )
        self.links.add((memory.id, "derived_from", source.id))

    def expired(self, entry: Entry) -> None:
        entry.state = "expired"
        entry.messages, entry.statement, entry.session, entry.position = {}, None, None, None
        self.links = {link for link in self.links if entry.id not in (link[0], link[2])}

    def revised(
        self, entry: Entry, *, text: str, kind: str | None, tags: tuple[str, ...] | None, at: datetime | None
    ) -> None:
        _, old_kind, old_tags, old_at = entry.versions[-1]
        new = (text, kind or old_kind, old_tags if tags is None else tags, at or old_at)
        entry.versions.append(new)
        entry.statement = statement_key(text, new[1], new[3])

    def distrusted(self, entry: Entry) -> int:
        """Doubt a memory, and all that is derived from it; return how many were trusted before."""
        reached, pending = {entry.id}, [entry.id]
        while pending:
            one = pending.pop()
            fresh = {
                start for start, rel, end in self.links if end == one and rel == "derived_from"
            } - reached
            reached |= fresh
            pending += fresh
        lowered = [self.entries[each] for each in reached if self.entries[each].trust == "trusted"]
        for each in lowered:
            each.trust = "untrusted"
        return len(lowered)

    def linked(self, link: tuple[str, str, str]) -> None:
        """Write a link; what becomes derived from doubtful words is doubtful."""
        self.links.add(link)
        if link[1] == "derived_from" and self.entries[link[2]].trust == "untrusted":
            self.distrusted(self.entries[link[0]])

    def has_doubtful_origin(self, entry: Entry) -> bool:
        return any(
            rel == "derived_from" and start == entry.id and self.entries[end].trust == "untrusted"
            for start, rel, end in self.links
        )

    def forgotten(self, entry: Entry) -> None:
        del self.entries[entry.id]
        self.erased.append(entry.id)
        self.links = {link for link in self.links if entry.id not in (link[0], link[2])}

    # --- what an answer must be ---------------------------------------------------------------

    def check_listed(self, memories: Sequence[Memory], now: datetime, where: Where | None = None) -> None:
        wanted = [entry.facts(self.links) for entry in self.visible(now, where)]
        assert [facts(memory) for memory in memories] == wanted

    def check_hits(
        self, hits: Sequence[Hit], now: datetime, *, where: Where, k: int, budget: int | None
    ) -> None:
        """Nothing gone, stale, expired, foreign or filtered out; no successor missing or below."""
        shown = [hit.memory.id for hit in hits]
        assert len(set(shown)) == len(shown), "a memory is shown twice"
        for hit in hits:
            assert hit.memory.id not in self.erased, "a forgotten memory is shown"
            assert hit.memory.id in self.entries, "a foreign memory is shown"
            entry = self.entries[hit.memory.id]
            assert entry.visible(now), "an expired memory is shown"
            assert facts(hit.memory) == entry.facts(self.links), "a stale memory is shown"
            assert hit.context or entry.matches(where), "a memory is shown that was filtered out"
            assert entry.kind != "gist" or "gist" in where.kinds, "a gist is shown to whoever did not ask"
            assert 0 <= hit.score <= 1
        found = [hit for hit in hits if not hit.context]
        assert len(found) <= k
        assert budget is not None or len(found) == len(hits), "context comes with a budget only"
        if budget is None:
            assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
        self._check_succession([hit.memory.id for hit in found], now, where)

    def _check_succession(self, shown: Sequence[str], now: datetime, where: Where) -> None:
        place = {memory_id: number for number, memory_id in enumerate(shown)}
        for newer, relation, older in self.links:
            if relation != "supersedes" or older not in place:
                continue
            entry = self.entries[newer]
            if entry.visible(now) and entry.matches(where):
                assert newer in place, "a superseded memory is shown without its successor"
                assert place[newer] < place[older], "a superseded memory outranks its successor"

    def leads(self, newer: str, older: str, relation: str) -> bool:
        """Return whether there is a way from `newer` to `older`, over however many links of one kind."""
        seen, pending = set(), [newer]
        while pending:
            one = pending.pop()
            if one not in seen:
                seen.add(one)
                pending += [end for start, rel, end in self.links if start == one and rel == relation]
        return older in seen
