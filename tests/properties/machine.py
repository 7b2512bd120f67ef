"""Two principals use one store in every way the API allows, while it crashes and its index comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from memos_core import (
    BackendUnavailable,
    Conflict,
    IllegalTransition,
    InvalidInput,
    MemCube,
    Memory,
    Message,
    NotFound,
)
from memos_core.query import Where
from memos_core.vault.outbox import LEASE
from tests.properties.erasing import Erasing
from tests.properties.model import CubeModel
from tests.properties.store import RESIDENT
from tests.properties.strategies import (
    OWNERS,
    messages,
    names,
    owners,
    picks,
    sessions,
    tag_sets,
    texts,
    times,
    trusts,
    ttls,
    wheres,
)


class StoreMachine(Erasing):
    """The rules: what two principals do, and what befalls their store."""

    @initialize(resident=st.booleans())
    def begin(self, *, resident: bool) -> None:
        self.store.resident_bytes = RESIDENT if resident else 0
        self.store.reopen()

    # --- writing -----------------------------------------------------------------------------

    @rule(owner=owners, name=names, text=st.one_of(texts, texts, picks), tags=tag_sets, at=times,
          kind=st.sampled_from(("fact", "plan")), ttl=ttls, trust=trusts)  # fmt: skip
    def remember(
        self,
        owner: str,
        name: str,
        text: str | int,
        kind: str,
        tags: tuple[str, ...],
        at: datetime | None,
        ttl: timedelta | None,
        trust: str,
    ) -> None:
        now = self.store.now
        if isinstance(text, int):  # say again what is there
            owner, name = self.stocked(owner, name)
            known = self.pick(owner, name, text)
            text, kind, at = (known.text, known.kind, known.event_at) if known else ("Mira", kind, at)
            trust = known.trust if known else trust
        expires_at = now + ttl if ttl else None
        frozen = [e for e in self.frozen_like(owner, name, text, kind, at) if e.trust == trust]
        try:
            memory = self.cube(owner, name).remember(text, kind=kind, tags=tags, at=at, ttl=ttl, trust=trust)
        except IllegalTransition:
            assert any(entry.changes(tags, expires_at) for entry in frozen), "nothing of it would change"
            self.check_audit(owner, name, changes=0)
            self.did("remember: refused")
            return
        assert not any(entry.id == memory.id and entry.changes(tags, expires_at) for entry in frozen)
        self.models[owner, name].stated(
            memory, text=text, kind=kind, tags=tags, at=at, expires_at=expires_at, trust=trust, now=now
        )
        self.check_audit(owner, name, changes=1)
        self.check_found(owner, name, memory)
        self.did("remember")

    @rule(owner=owners, name=names, session=sessions, turns=st.lists(messages, max_size=5), trust=trusts)
    def ingest(self, owner: str, name: str, session: str | None, turns: list[Message], trust: str) -> None:
        model = self.models[owner, name]
        doubted = sum(entry.trust == "untrusted" for entry in model.entries.values())
        before = sum(len(entry.tellings) for entry in model.entries.values())
        if model.edits_frozen(turns, session=session, now=self.store.now):
            with pytest.raises(IllegalTransition):
                self.cube(owner, name).ingest(turns, session=session, trust=trust)
            self.check_audit(owner, name, changes=0)
            self.did("ingest: refused")
            return
        memories = self.cube(owner, name).ingest(turns, session=session, trust=trust)
        model.said(memories, turns, session=session, trust=trust, now=self.store.now)
        told = sum(len(entry.tellings) for entry in model.entries.values()) - before
        doubted -= sum(entry.trust == "untrusted" for entry in model.entries.values())
        self.check_audit(owner, name, changes=told or -doubted)
        if memories:
            self.check_found(owner, name, memories[-1])
        self.did("ingest")

    @rule(owner=owners, name=names, number=picks, text=texts, at=times,
          off=st.sampled_from((None, 0, 0, 1, 7)), kind=st.sampled_from((None, None, "fact")),
          tags=st.one_of(st.none(), tag_sets), trust=trusts)  # fmt: skip
    def revise(
        self,
        owner: str,
        name: str,
        number: int,
        text: str,
        off: int | None,
        kind: str | None,
        tags: tuple[str, ...] | None,
        at: datetime | None,
        trust: str,
    ) -> None:
        owner, name = self.stocked(owner, name)
        entry = self.pick(owner, name, number)
        if entry is None:
            return
        expected = None if off is None else len(entry.versions) + off

        def call() -> Memory:
            return self.cube(owner, name).revise(
                entry.id, text, expected=expected, kind=kind, tags=tags, at=at, trust=trust
            )

        if off:
            with pytest.raises(Conflict) as caught:
                call()
            assert caught.value.found == len(entry.versions)
            self.check_audit(owner, name, changes=0)
            self.did("revise: refused")
            return
        if self.refused(owner, name, entry, call):
            return
        memory = call()
        self.models[owner, name].revised(entry, text=text, kind=kind, tags=tags, at=at)
        if trust == "untrusted":
            self.models[owner, name].distrusted(entry)
        self.check_audit(owner, name, changes=1)
        self.check_found(owner, name, memory)
        self.did("revise")

    @rule(owner=owners, name=names, number=picks)
    def forget(self, owner: str, name: str, number: int) -> None:
        owner, name = self.stocked(owner, name)
        entry = self.pick(owner, name, number)
        model = self.models[owner, name]
        away = [each for each in model.entries.values() if not each.visible(self.store.now)]
        if away and (entry is None or number % 3 == 0):
            entry = away[number % len(away)]  # what is archived or expired is forgotten, too
        if entry is None:
            return
        cube, memory_id = self.cube(owner, name), entry.id
        if self.refused(owner, name, entry, lambda: cube.forget(memory_id)):
            return
        links = sum(entry.id in (link[0], link[2]) for link in model.links)
        receipt = cube.forget(entry.id)
        model.forgotten(entry)
        assert receipt.memory_id == entry.id
        words = {
            "artifacts": 0, "links": links, "sources": len(entry.tellings), "tags": len(entry.tags),
            "vectors": 1, "lexical": 1, "versions": len(entry.versions),
        }  # fmt: skip
        if entry.state == "expired":
            words = dict.fromkeys(words, 0)
        erased = dict(receipt.erased)  # and what was kept of its past: keys, links that were taken back
        assert {*erased} - {*words, "memories"} <= {"former keys", "copies"}
        assert erased.pop("links") >= words.pop("links")
        assert erased["memories"] == 1 + erased.get("copies", 0)
        if "copies" in erased:  # theirs count, too
            assert all(erased[place] >= count for place, count in words.items())
        else:
            assert {place: erased[place] for place in words} == words
        self.check_audit(owner, name, changes=1)
        self.check_recall(owner, name, entry.text, k=len(model.entries) + 1)
        self.did("forget")

    @rule(owner=owners, name=names, first=picks, second=picks,
          relation=st.sampled_from(("supersedes", "supersedes", "supports", "derived_from")))  # fmt: skip
    def link(self, owner: str, name: str, first: int, second: int, relation: str) -> None:
        owner, name = self.stocked(owner, name)
        model = self.models[owner, name]
        seen = model.visible(self.store.now)
        if len(seen) < 2:
            return
        source = seen.pop(first % len(seen))
        target = seen[second % len(seen)]
        edge = (source.id, relation, target.id)
        if self.refused(owner, name, source, lambda: self.cube(owner, name).link(*edge)):
            return
        if relation != "supports" and model.leads(target.id, source.id, relation):
            with pytest.raises(InvalidInput):
                self.cube(owner, name).link(*edge)
            self.check_audit(owner, name, changes=0)
            self.did("link: refused")
            return
        link = self.cube(owner, name).link(*edge)
        assert (link.source, link.relation.value, link.target) == edge
        self.check_audit(owner, name, changes=int(edge not in model.links))
        model.linked(edge)
        self.check_recall(owner, name, target.text, k=2)
        self.check_recall(owner, name, target.text, k=2, where=Where(kinds=(target.kind,)))
        self.did("link")

    # --- reading -----------------------------------------------------------------------------

    @rule(owner=owners, name=names, query=st.one_of(texts, picks), k=st.sampled_from((1, 2, 5, 50)),
          where=wheres, session=sessions, budget=st.sampled_from((None, None, 15, 60, 400)))  # fmt: skip
    def recall(
        self,
        owner: str,
        name: str,
        query: str | int,
        k: int,
        where: Where,
        session: str | None,
        budget: int | None,
    ) -> None:
        owner, name = self.stocked(owner, name)
        if isinstance(query, int):
            entry = self.pick(owner, name, query)
            query = entry.text if entry else "nothing is here"
        if session and where.sessions and session not in where.sessions:
            session = None
        self.check_recall(owner, name, query, k=k, where=where, session=session, budget=budget)
        self.did("recall")

    @rule(what=st.sampled_from(("list", "history", "trespass", "trespass", "borrow")),
          owner=owners, name=names, number=picks, where=wheres, limit=st.sampled_from((None, 0, 2)),
          verb=st.integers(0, 5), gone=st.booleans())  # fmt: skip
    def look(
        self,
        what: str,
        owner: str,
        name: str,
        number: int,
        where: Where,
        limit: int | None,
        verb: int,
        *,
        gone: bool,
    ) -> None:
        """One of the verbs that change nothing, on what may be seen or on what may not."""
        match what:
            case "list":
                self.list(owner, name, where, limit, offset=number % 4)
            case "history":
                self.history(owner, name, number)
            case "trespass":
                self.trespass(owner, name, number, verb, gone=gone)
            case "borrow":
                self.borrow(owner, name)

    def list(self, owner: str, name: str, where: Where, limit: int | None, offset: int) -> None:
        wanted = self.models[owner, name].visible(self.store.now, where)[offset:][:limit]
        shown = self.cube(owner, name).list(where=where, limit=limit, offset=offset)
        assert [memory.id for memory in shown] == [entry.id for entry in wanted]
        self.did("list")

    def history(self, owner: str, name: str, number: int) -> None:
        owner, name = self.stocked(owner, name)
        entry = self.pick(owner, name, number)
        if entry is None:
            return
        cube = self.cube(owner, name)
        told = [(r.version, r.text, r.kind, r.tags, r.event_at) for r in cube.history(entry.id)]
        wanted = [(number, *version) for number, version in enumerate(entry.versions, start=1)]
        assert told == wanted, "history is not what was written"
        assert [source.text for source in cube.sources(entry.id)] == entry.tellings
        assert cube.get(entry.id).text == entry.text
        self.did("history, sources, get")

    def trespass(self, owner: str, name: str, number: int, verb: int, *, gone: bool) -> None:
        """Every verb answers NotFound for what is forgotten, expired, or somebody else's."""
        now = self.store.now
        other = OWNERS[1 - OWNERS.index(owner)]
        if gone:
            mine = self.models[owner, name]
            away = [] if verb == 4 else [e.id for e in mine.entries.values() if not e.visible(now)]
            ids = [*mine.erased, *away]
        else:
            ids = list_of_ids(self.models, but=(owner, name))
        if self.shown_to_other(owner, name) is None:
            with pytest.raises(NotFound):
                self.store.memos.as_principal(other).cube(name, owner=owner)
        if not ids:
            return
        wanted, cube = ids[number % len(ids)], self.cube(owner, name)
        verbs: tuple[Callable[[], Any], ...] = (
            lambda: cube.get(wanted),
            lambda: cube.history(wanted),
            lambda: cube.sources(wanted),
            lambda: cube.revise(wanted, "mine now"),
            lambda: cube.forget(wanted),
            lambda: cube.link(wanted, "supersedes", mine.id) if mine else cube.get(wanted),
        )
        mine = self.pick(owner, name, number)
        with pytest.raises(NotFound):
            verbs[verb]()
        self.check_audit(owner, name, changes=0)
        self.did("trespass")

    def borrow(self, owner: str, name: str) -> None:
        """A handle that somebody else made opens nothing: the principal is asked at every verb."""
        if self.shown_to_other(owner, name) is not None:
            return
        other = OWNERS[1 - OWNERS.index(owner)]
        handle = self.cube(owner, name)
        stolen = MemCube(
            self.store.memos._core, handle._header, self.store.memos.as_principal(other).principal
        )
        for verb in (stolen.list, lambda: stolen.recall("Mira"), lambda: stolen.remember("Mira was here")):
            with pytest.raises(NotFound):
                verb()
        self.check_audit(owner, name, changes=0)
        self.did("borrow")

    # --- what happens to a store -------------------------------------------------------------

    @rule(what=st.sampled_from(("drain", "reindex", "expire")))
    def upkeep(self, what: str) -> None:
        """Drain, reindex or expire; where the index is down, try to."""
        match what:
            case "drain":
                self.drain()
            case "reindex":
                self.reindex()
            case "expire":
                self.expire()

    def drain(self) -> None:
        memos = self.store.memos
        if self.store.server.down:
            if memos.lag():
                with pytest.raises(BackendUnavailable):
                    memos.drain()
            self.did("drain while the index is down")
            return
        self.drained()
        self.did("drain")

    @rule(what=st.sampled_from(("reopen", "crash", "crash_while_paying", "outage", "lose_index")),
          resident=st.booleans(), after=st.booleans())  # fmt: skip
    def accident(self, what: str, *, resident: bool, after: bool) -> None:
        """Something befalls the store; whoever opens it next gives it RAM for its keys, or none."""
        self.store.resident_bytes = RESIDENT if resident else 0
        match what:
            case "reopen":
                self.store.reopen()
                self.did("close and reopen")
            case "crash_while_paying" if not self.store.server.down:
                self.crash_while_paying(after=after)
            case "crash" | "crash_while_paying":
                self.store.crash()
                self.did("crash")
            case "outage":
                self.store.server.down = not self.store.server.down
                self.did("index down or up")
            case "lose_index":
                self.index_is_whole = not self.store.server.entries() and self.index_is_whole
                self.store.server.lose()
                self.did("index lost")

    def crash_while_paying(self, *, after: bool) -> None:
        """The process dies just before or just after the index took the batch; its lease is left."""
        if self.store.crash_while(self.store.memos.drain, after=after):
            self.did("crash while paying")

    @precondition(lambda self: not self.store.server.down)
    @rule(owner=owners, name=names, number=picks, erase=st.booleans(), text=texts, first=texts)
    def overtake(self, owner: str, name: str, number: int, erase: bool, text: str, first: str) -> None:
        """While a payer tells the index one truth, it changes, and another tells the new one first.

        The other waits until the lease is over: a payer may sleep for longer than that.
        """
        owner, name = self.stocked(owner, name)
        entry = self.pick(owner, name, number)
        if entry is None:
            return
        self.drained()
        if not entry.visible(self.store.now) or entry.state == "frozen":
            return
        model, cube, rival = self.models[owner, name], self.cube(owner, name), self.store.rival()
        cube.revise(entry.id, first)
        model.revised(entry, text=first, kind=None, tags=None, at=None)

        def happen() -> None:
            if erase:
                cube.forget(entry.id)
                model.forgotten(entry)
            else:
                cube.revise(entry.id, text)
                model.revised(entry, text=text, kind=None, tags=None, at=None)
            self.store.now += LEASE
            rival.pay()

        self.store.server.before = happen
        self.store.memos._core.indexer.pay()
        assert self.store.server.before is None, "the index is not told of a change"
        self.check_audit(owner, name, changes=2)
        self.drained()
        self.did("overtake")

    def debtful(self) -> bool:
        """Return whether a reindex has something to tell the index."""
        return bool(self.store.memos.lag() or any(model.entries for model in self.models.values()))

    def reindex(self) -> None:
        if self.store.server.down:
            with pytest.raises(BackendUnavailable) if self.debtful() else nullcontext():
                self.store.memos.reindex()
        else:
            self.store.memos.reindex()
        self.index_is_whole = True  # told, or owed
        self.did("reindex")
        if not self.store.server.down:
            self.drained()

    @rule(
        by=st.sampled_from((timedelta(minutes=5), timedelta(hours=2), timedelta(days=4), -timedelta(hours=3)))
    )
    def wait(self, by: timedelta) -> None:
        """Let time pass; then ask for each memory whose time is up in its own words."""
        before = {key: model.visible(self.store.now) for key, model in self.models.items()}
        self.store.now += by
        for (owner, name), model in self.models.items():
            seen = model.visible(self.store.now)
            for entry in before[owner, name]:
                if entry not in seen:
                    self.check_recall(owner, name, entry.text, k=len(model.entries) + 1)
        self.did("clock forward" if by > timedelta(0) else "clock backward")


def list_of_ids(models: dict[tuple[str, str], CubeModel], *, but: tuple[str, str]) -> list[str]:
    return [each for key, model in models.items() if key != but for each in model.entries]
