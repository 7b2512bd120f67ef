"""The life of a memory, as the machine leads it: steps, copies, upkeep, and what a frozen one refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from memos_core import IllegalTransition
from tests.properties.beside import Beside
from tests.properties.model import Entry, statement_key
from tests.properties.strategies import names, owners, picks, texts

NEEDS = {"archive": "live", "restore": "archived", "freeze": "live", "unfreeze": "frozen", "copy": "live"}
LEADS = {"archive": "archived", "restore": "live", "freeze": "frozen", "unfreeze": "live"}
STEPS = (*NEEDS, "archive", "restore")


class Living(Beside):
    """The rules of the life cycle."""

    @rule(
        owner=owners, name=names, number=picks, text=st.one_of(st.none(), texts), verb=st.sampled_from(STEPS)
    )
    def lead(self, owner: str, name: str, number: int, verb: str, text: str | None) -> None:
        """Take a step with a memory, seen or archived; what the table lacks is refused."""
        owner, name = self.stocked(owner, name)
        now, model = self.store.now, self.models[owner, name]
        there = [entry for entry in model.entries.values() if entry.away(now) in (None, "archived")]
        if not there:
            return
        wanted = [entry for entry in there if NEEDS[verb] == entry.state] or there
        entry, cube = wanted[number % len(wanted)], self.cube(owner, name)
        if verb == "copy":
            self.copy(owner, name, entry, text)
            return
        if NEEDS[verb] != entry.state:
            with pytest.raises(IllegalTransition):
                getattr(cube, verb)(entry.id)
            self.check_audit(owner, name, changes=0)
            self.did(f"{verb}: refused")
            return
        getattr(cube, verb)(entry.id)
        entry.state, entry.put_by = LEADS[verb], None
        self.check_audit(owner, name, changes=1)
        self.check_recall(owner, name, entry.text, k=len(model.entries) + 1)
        self.did(verb)

    def copy(self, owner: str, name: str, entry: Entry, text: str | None) -> None:
        if not entry.visible(self.store.now):
            return
        memory = self.cube(owner, name).copy(entry.id, text)
        self.models[owner, name].copied(memory, entry, text=text, now=self.store.now)
        self.check_audit(owner, name, changes=2)
        self.check_found(owner, name, memory)
        self.did("copy")

    def expire(self) -> None:
        """Erase what is overdue, in every cube."""
        every = [entry for model in self.models.values() for entry in model.entries.values()]
        if any(entry.expires_at and entry.state == "live" for entry in every):
            self.store.now += timedelta(days=4)  # longer than any of them has
        now = self.store.now
        due = [(m, e) for m in self.models.values() for e in m.entries.values() if e.overdue(now)]
        fresh = [(model, entry) for model, entry in due if entry.state != "expired"]
        assert self.store.memos.upkeep().expired >= len(fresh)  # forks have copies of their own
        for model, entry in fresh:
            model.expired(entry)
        self.mark_audit()
        for (owner, name), model in self.models.items():
            for state in ("expired", "archived"):
                wanted = [e.id for e in model.entries.values() if e.away(now) == state]
                shown = self.cube(owner, name).list(state=state)
                assert [memory.id for memory in shown] == wanted, f"{state} ones are not listed"
        self.did("expire" if fresh else "expire: nothing is due")

    def refused(self, owner: str, name: str, entry: Entry, write: Callable[[], Any]) -> bool:
        """Return whether the memory is frozen; then the write is tried, and has to change nothing."""
        if entry.state != "frozen":
            return False
        with pytest.raises(IllegalTransition):
            write()
        self.check_audit(owner, name, changes=0)
        self.did("frozen: refused")
        return True

    def frozen_like(
        self, owner: str, name: str, text: str, kind: str, at: datetime | None
    ) -> Sequence[Entry]:
        key = statement_key(text, kind, at)
        seen = self.models[owner, name].visible(self.store.now)
        return [entry for entry in seen if entry.statement == key and entry.state == "frozen"]
