"""Cubes that are shared: what the other principal may see of them, and what not."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from memos_core import Forbidden, NotFound
from tests.properties.life import Living
from tests.properties.model import CubeModel, Entry, facts
from tests.properties.strategies import OWNERS, names, owners, picks, texts

LEVELS = {"none": {"public"}, "read": {"public", "shared"}, "admin": {"public", "shared", "private"}}


class Sharing(Living):
    """The rules of grants and visibility."""

    def other(self, owner: str) -> str:
        return OWNERS[1 - OWNERS.index(owner)]

    def shown_to_other(self, owner: str, name: str) -> list[Entry] | None:
        """Return what the other principal may see of the cube; None where it does not exist for them."""
        model = self.models[owner, name]
        shown = [e for e in model.visible(self.store.now) if e.visibility in LEVELS[model.granted]]
        return None if model.granted == "none" and not shown else shown

    @rule(owner=owners, name=names, number=picks, query=texts,
          level=st.sampled_from(("shared", "shared", "public", "private")),
          right=st.sampled_from(("read", "read", "admin", "none", None, None)))  # fmt: skip
    def share(self, owner: str, name: str, number: int, level: str, right: str | None, query: str) -> None:
        """Give or take a right, or let a memory be seen by others; then the other principal looks."""
        owner, name = self.stocked(owner, name)
        if right is None:
            self.classify(owner, name, number, level)
        else:
            self.regrant(owner, name, right)
        self.visit(owner, name, query)

    def regrant(self, owner: str, name: str, right: str) -> None:
        model, cube, other = self.models[owner, name], self.cube(owner, name), self.other(owner)
        before = model.granted
        if before not in ("none", right):
            assert cube.revoke(other) == 1
        if right != "none":
            cube.grant(other, right)
        model.granted = right
        self.check_audit(owner, name, changes=int(before != right))
        self.did("revoke" if right == "none" else "grant")

    def classify(self, owner: str, name: str, number: int, level: str) -> None:
        entry = self.pick(owner, name, number)
        if entry is None:
            return
        cube, memory_id = self.cube(owner, name), entry.id
        if self.refused(owner, name, entry, lambda: cube.classify(memory_id, visibility=level)):
            return
        assert cube.classify(entry.id, visibility=level).header.governance.visibility == level
        entry.visibility = level
        self.check_audit(owner, name, changes=1)
        self.did("classify")

    def visit(self, owner: str, name: str, query: str) -> None:
        """The other principal looks in every way there is."""
        now, model, wanted = self.store.now, self.models[owner, name], self.shown_to_other(owner, name)
        who = self.store.memos.as_principal(self.other(owner))
        if wanted is None:
            with pytest.raises(NotFound):
                who.cube(name, owner=owner)
            self.did("visit: nothing there")
            return
        cube, links = who.cube(name, owner=owner), self.links_shown(model)
        assert [facts(memory) for memory in cube.list()] == [e.facts(links) for e in wanted], "seen wrongly"
        assert cube.count() == len(wanted), "counted wrongly"
        found = [hit.memory.id for hit in cube.recall(query, k=50)]
        assert set(found) <= {entry.id for entry in wanted}, "something hidden is found"
        if self.index_is_whole or self.store.memos._core.residents.budget:
            assert len(found) == len(wanted), "something that may be seen is not found"
        for entry in model.visible(now):
            if entry not in wanted:
                with pytest.raises(NotFound):
                    cube.get(entry.id)
        if model.granted != "admin":
            with pytest.raises(Forbidden):
                cube.remember("not mine to write")
        self.check_audit(owner, name, changes=0)
        self.did("visit")

    def links_shown(self, model: CubeModel) -> set[tuple[str, str, str]]:
        shown = LEVELS[model.granted]
        return {link for link in model.links if model.entries[link[2]].visibility in shown}
