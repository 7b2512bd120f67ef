"""Two principals use one store in every way the API allows, while it crashes and its index comes and goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import func, select

from memos_core import BackendUnavailable, Conflict, InvalidInput, MemCube, Memory, Message, NotFound
from memos_core.query import Where
from memos_core.reader.keys import key_texts
from memos_core.testing import HashEmbedder
from memos_core.tiers.text.lexical import terms
from memos_core.vault import schema
from memos_core.vault.draft import Draft
from tests.properties.model import CubeModel, Entry
from tests.properties.store import BEGIN, DIMENSIONS, RESIDENT, Store

OWNERS, NAMES = ("ann", "bob"), ("notes", "diary")
WORDS = "Mira Lisbon Porto moved cat violin harbour ferry rent tea you the is 2024 May".split()
NASTY = (
    "the and of you",  # stop words only
    "🎉🎉",
    "我们搬到了里斯本。",
    '\'; DROP TABLE memories; -- "quoted" %_',
    "nul\0inside",
    "Did Mira move to Porto?",
    "the ferry leaves the harbour. " * 70,  # several keys
)
TAGS = ("home", "work", "日本")
TIMES = (
    None,
    BEGIN - timedelta(days=300),
    BEGIN - timedelta(days=299),
    (BEGIN - timedelta(days=300)).astimezone(timezone(timedelta(hours=9))),
)

texts = st.one_of(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join),
    st.lists(st.sampled_from(WORDS[:3]), min_size=1, max_size=2).map("  ".join),
    st.sampled_from(NASTY),
)
sessions = st.sampled_from((None, "s1", "s2"))
tag_sets = st.lists(st.sampled_from(TAGS), max_size=2, unique=True).map(tuple)
times = st.sampled_from(TIMES)
ttls = st.sampled_from((None, None, timedelta(hours=1), timedelta(days=3)))
messages = st.builds(
    Message,
    st.sampled_from(("Mira", "Ivo", "assistant")),
    texts,
    at=times,
    id=st.sampled_from((None, None, None, "m1", "m2")),
)
wheres = st.one_of(
    st.just(Where()),
    st.just(Where()),
    st.builds(
        Where,
        kinds=st.sampled_from(((), ("fact",), ("message", "plan"))),
        tags=st.sampled_from(((), ("home",))),
        speakers=st.sampled_from(((), ("Mira",))),
        sessions=st.sampled_from(((), ("s1",), ("s1", "s2"))),
        since=st.sampled_from(TIMES),
        until=st.sampled_from((None, BEGIN)),
    ),
)
owners, names = st.sampled_from(("ann", "ann", "bob")), st.sampled_from(("notes", "notes", "diary"))
picks = st.integers(0, 30)  # which memory: modulo how many there are


class StoreMachine(RuleBasedStateMachine):
    """The store beside its model. `tally` counts what was done, by rule, over all runs of a process."""

    tally: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.models = {(owner, name): CubeModel(owner, name) for owner in OWNERS for name in NAMES}
        self.handles: dict[Any, Any] = {}  # cubes as the open store gave them; "of" which one
        self.index_is_whole = True
        self.used, self.turn = (OWNERS[0], NAMES[0]), 0
        self.audited: dict[tuple[str, str], int] = {}
        self.mark_audit()

    def teardown(self) -> None:
        self.store.close()

    # --- shorthand ---------------------------------------------------------------------------

    def did(self, what: str) -> None:
        StoreMachine.tally[what] += 1

    def cube(self, owner: str, name: str) -> MemCube:
        if self.handles.setdefault("of", self.store.memos) is not self.store.memos:
            self.handles = {"of": self.store.memos}
        if (owner, name) not in self.handles:
            self.handles[owner, name] = self.store.memos.as_principal(owner).cube(name)
        cube: MemCube = self.handles[owner, name]
        return cube

    def pick(self, owner: str, name: str, number: int) -> Entry | None:
        seen = self.models[owner, name].visible(self.store.now)
        return seen[number % len(seen)] if seen else None

    def mark_audit(self) -> None:
        cubes = {self.cube(*key).id: key for key in self.models}
        query = select(schema.audit.c.cube_id, func.count()).group_by(schema.audit.c.cube_id)
        with self.store.memos._core.catalog.read() as view:
            counts = {row[0]: row[1] for row in view.connection.execute(query)}
        self.audited = {key: counts[cube_id] for cube_id, key in cubes.items()}

    def check_audit(self, owner: str, name: str, *, changes: int) -> None:
        """The cube has got a line for each change, and no other cube has got one."""
        self.used, before = (owner, name), self.audited
        self.mark_audit()
        for key, count in self.audited.items():
            if key == (owner, name):
                assert count - before[key] >= changes, "a change without a line in the audit"
                assert changes or count == before[key], "a line in the audit without a change"
            else:
                assert count == before[key], "another cube was written to"

    def check_found(self, owner: str, name: str, memory: Memory) -> None:
        """Read your writes: what was just committed is found by its own text."""
        model = self.models[owner, name]
        entry = model.entries[memory.id]
        self.check_recall(owner, name, entry.text, k=len(model.entries) + 1)

    def check_recall(
        self,
        owner: str,
        name: str,
        query: str,
        *,
        k: int,
        where: Where | None = None,
        session: str | None = None,
        budget: int | None = None,
    ) -> None:
        model, where = self.models[owner, name], where or Where()
        recall = self.cube(owner, name).recall(query, k=k, where=where, session=session, budget=budget)
        if session is not None:
            where = Where(
                **{n: getattr(where, n) for n in where.__slots__ if n != "sessions"}, sessions=(session,)
            )
        model.check_hits(recall.hits, self.store.now, where=where, k=k, budget=budget)
        if budget is not None:
            return
        wanted = {entry.id for entry in model.visible(self.store.now, where)}
        shown = {hit.memory.id for hit in recall}
        if self.index_is_whole or self.store.memos._core.residents.budget or not where.is_empty:
            assert len(shown) == min(k, len(wanted)), "something committed is not found"
        elif k > len(wanted):
            sharing = {e.id for e in model.visible(self.store.now) if set(terms(query)) & set(terms(e.text))}
            assert sharing <= shown, "something that shares a word is not found without the index"

    # --- writing -----------------------------------------------------------------------------

    @rule(owner=owners, name=names, text=texts, kind=st.sampled_from(("fact", "plan")), tags=tag_sets,
          at=times, ttl=ttls)  # fmt: skip
    def remember(
        self,
        owner: str,
        name: str,
        text: str,
        kind: str,
        tags: tuple[str, ...],
        at: datetime | None,
        ttl: timedelta | None,
    ) -> None:
        now = self.store.now
        memory = self.cube(owner, name).remember(text, kind=kind, tags=tags, at=at, ttl=ttl)
        self.models[owner, name].stated(
            memory, text=text, kind=kind, tags=tags, at=at, expires_at=now + ttl if ttl else None, now=now
        )
        self.check_audit(owner, name, changes=1)
        self.check_found(owner, name, memory)
        self.did("remember")

    @rule(owner=owners, name=names, session=sessions, turns=st.lists(messages, max_size=5))
    def ingest(self, owner: str, name: str, session: str | None, turns: list[Message]) -> None:
        model = self.models[owner, name]
        before = sum(len(entry.tellings) for entry in model.entries.values())
        memories = self.cube(owner, name).ingest(turns, session=session)
        model.said(memories, turns, session=session, now=self.store.now)
        told = sum(len(entry.tellings) for entry in model.entries.values()) - before
        self.check_audit(owner, name, changes=told)
        if memories:
            self.check_found(owner, name, memories[-1])
        self.did("ingest")

    @rule(owner=owners, name=names, number=picks, text=texts, at=times,
          off=st.sampled_from((None, 0, 0, 1, 7)), kind=st.sampled_from((None, None, "fact")),
          tags=st.one_of(st.none(), tag_sets))  # fmt: skip
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
    ) -> None:
        entry = self.pick(owner, name, number)
        if entry is None:
            return
        expected = None if off is None else len(entry.versions) + off

        def call() -> Memory:
            return self.cube(owner, name).revise(
                entry.id, text, expected=expected, kind=kind, tags=tags, at=at
            )

        if off:
            with pytest.raises(Conflict) as caught:
                call()
            assert caught.value.found == len(entry.versions)
            self.check_audit(owner, name, changes=0)
            self.did("revise: refused")
            return
        memory = call()
        self.models[owner, name].revised(entry, text=text, kind=kind, tags=tags, at=at)
        self.check_audit(owner, name, changes=1)
        self.check_found(owner, name, memory)
        self.did("revise")

    @rule(owner=owners, name=names, number=picks)
    def forget(self, owner: str, name: str, number: int) -> None:
        entry = self.pick(owner, name, number)
        if entry is None:
            return
        model = self.models[owner, name]
        links = sum(entry.id in (link[0], link[2]) for link in model.links)
        receipt = self.cube(owner, name).forget(entry.id)
        model.forgotten(entry)
        assert receipt.memory_id == entry.id
        assert dict(receipt.erased) == {
            "links": links, "sources": len(entry.tellings), "tags": len(entry.tags), "vectors": 1,
            "lexical": 1, "versions": len(entry.versions), "memories": 1,
        }  # fmt: skip
        self.check_audit(owner, name, changes=1)
        self.check_recall(owner, name, entry.text, k=len(model.entries) + 1)
        self.did("forget")

    @rule(owner=owners, name=names, first=picks, second=picks,
          relation=st.sampled_from(("supersedes", "supersedes", "supports")))  # fmt: skip
    def link(self, owner: str, name: str, first: int, second: int, relation: str) -> None:
        source, target = self.pick(owner, name, first), self.pick(owner, name, second)
        if source is None or target is None or source is target:
            return
        model = self.models[owner, name]
        edge = (source.id, relation, target.id)
        if relation == "supersedes" and model.supersedes(target.id, source.id):
            with pytest.raises(InvalidInput):
                self.cube(owner, name).link(*edge)
            self.check_audit(owner, name, changes=0)
            self.did("link: refused")
            return
        link = self.cube(owner, name).link(*edge)
        assert (link.source, link.relation.value, link.target) == edge
        self.check_audit(owner, name, changes=int(edge not in model.links))
        model.links.add(edge)
        self.check_recall(owner, name, target.text, k=2)
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
        entry = self.pick(owner, name, number)
        if entry is None:
            return
        cube = self.cube(owner, name)
        told = [(r.version, r.text, r.kind, r.tags, r.event_at) for r in cube.history(entry.id)]
        assert told == [(number + 1, *version) for number, version in enumerate(entry.versions)]
        assert [source.text for source in cube.sources(entry.id)] == entry.tellings
        assert cube.get(entry.id).text == entry.text
        self.did("history, sources, get")

    def trespass(self, owner: str, name: str, number: int, verb: int, *, gone: bool) -> None:
        """Every verb answers NotFound for what is forgotten, expired, or somebody else's."""
        now = self.store.now
        other = OWNERS[1 - OWNERS.index(owner)]
        if gone:
            mine = self.models[owner, name]
            ids = [*mine.erased, *(each.id for each in mine.entries.values() if not each.visible(now))]
        else:
            ids = list_of_ids(self.models, but=(owner, name))
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

    @rule(whole=st.sampled_from((False, False, True)))
    def upkeep(self, *, whole: bool) -> None:
        """Drain or reindex; where the index is down, try to."""
        if whole:
            self.reindex()
        else:
            self.drain()

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

    def drained(self) -> None:
        """Pay everything, then compare the index with the catalog."""
        memos = self.store.memos
        memos.drain()
        assert memos.lag() == 0, "debt is left after a drain"
        self.check_projection()
        if self.index_is_whole:
            assert memos.doctor().ok, memos.doctor()

    def check_projection(self) -> None:
        """The index holds what the catalog says, in ids, versions, texts and vectors; no more, no less."""
        held = self.store.server.entries()
        every = {entry.id: entry for model in self.models.values() for entry in model.entries.values()}
        assert set(held) <= set(every), "the index holds what is gone"
        assert not self.index_is_whole or set(held) == set(every), "the index lacks what is there"
        embedder = HashEmbedder(dimensions=DIMENSIONS)
        for memory_id, row in held.items():
            entry = every[memory_id]
            assert (row.version, row.text) == (len(entry.versions), entry.text), "the index is behind"
            draft = Draft(text=entry.text, digest="", event_at=entry.event_at, speaker=entry.speaker)
            assert np.allclose(row.vectors, embedder.embed(key_texts(draft)), atol=2e-3), (
                "keys of another text"
            )

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
        """While a payer tells the index one truth, it changes, and another payer tells the new one first."""
        entry = self.pick(owner, name, number)
        if entry is None:
            return
        self.drained()
        if not entry.visible(self.store.now):
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
            rival.pay()

        self.store.server.before = happen
        self.store.memos._core.indexer.pay()
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
        self.store.now += by
        self.did("clock forward" if by > timedelta(0) else "clock backward")

    # --- always ------------------------------------------------------------------------------

    @invariant()
    def every_cube_is_as_the_model_says(self) -> None:
        """The cube that was just used, and another in turn: with four it takes half the time of all."""
        self.turn = (self.turn + 1) % len(self.models)
        for owner, name in {self.used, list(self.models)[self.turn]}:
            shown = self.cube(owner, name).list()
            self.models[owner, name].check_listed(shown, self.store.now)

    @invariant()
    def every_row_has_its_rows(self) -> None:
        with self.store.memos._core.catalog.read() as view:
            wanted = set(view.connection.execute(select(schema.memories.c.seq)).scalars())
            for column in (
                schema.versions.c.memory_seq,
                schema.sources.c.memory_seq,
                schema.vectors.c.memory_seq,
                schema.lexical.c.rowid,
            ):
                assert set(view.connection.execute(select(column)).scalars()) == wanted, str(column)


def list_of_ids(models: dict[tuple[str, str], CubeModel], *, but: tuple[str, str]) -> list[str]:
    return [each for key, model in models.items() if key != but for each in model.entries]
