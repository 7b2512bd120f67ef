"""A store and its model side by side, and how they are compared."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import numpy as np
from hypothesis.stateful import RuleBasedStateMachine, invariant
from sqlalchemy import func, select

from memos_core import MemCube, Memory
from memos_core.governance import cube_key
from memos_core.query import Where
from memos_core.reader.keys import key_texts
from memos_core.testing import HashEmbedder
from memos_core.tiers.text.lexical import terms
from memos_core.vault import schema
from memos_core.vault.draft import Draft
from tests.properties.model import CubeModel, Entry
from tests.properties.store import DIMENSIONS, Store
from tests.properties.strategies import NAMES, OWNERS


class Beside(RuleBasedStateMachine):
    """A store beside its model. `tally` counts what was done, by rule, over all runs of a process."""

    tally: ClassVar[Counter[str]] = Counter()

    make_store: type[Store] = Store

    def __init__(self) -> None:
        super().__init__()
        self.store = self.make_store()
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
        Beside.tally[what] += 1

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

    def stocked(self, owner: str, name: str) -> tuple[str, str]:
        """Return this cube, or, where nothing is to be seen in it, one where something is."""
        filled = [key for key, model in self.models.items() if model.visible(self.store.now)]
        return (owner, name) if (owner, name) in filled or not filled else filled[0]

    def mark_audit(self) -> None:
        cubes = {self.cube(*key).id: key for key in self.models}
        written = schema.audit.c.verb != "use"  # which is noted when uses are written down, at any time
        query = select(schema.audit.c.cube_id, func.count()).where(written).group_by(schema.audit.c.cube_id)
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
        wanted = {entry.id for entry in model.ranked(self.store.now, where)}
        shown = {hit.memory.id for hit in recall}
        if self.index_is_whole or self.store.memos._core.residents.budget or not where.is_empty:
            assert len(shown) == min(k, len(wanted)), "something committed is not found"
        elif k > len(wanted):
            sharing = {e.id for e in model.ranked(self.store.now) if set(terms(query)) & set(terms(e.text))}
            assert sharing <= shown, "something that shares a word is not found without the index"

    # --- the index ----

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
        mine = {cube_key(self.cube(*key).id) for key in self.models}
        held = {each: row for each, row in self.store.server.entries().items() if row.cube in mine}
        every = {
            entry.id: entry
            for model in self.models.values()
            for entry in model.entries.values()
            if entry.state in ("live", "frozen")
        }
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
            worded = schema.memories.c.state != "expired"
            wanted = set(view.connection.execute(select(schema.memories.c.seq).where(worded)).scalars())
            for column in (
                schema.versions.c.memory_seq,
                schema.sources.c.memory_seq,
                schema.vectors.c.memory_seq,
                schema.lexical.c.rowid,
            ):
                assert set(view.connection.execute(select(column)).scalars()) == wanted, str(column)
