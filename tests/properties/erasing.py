"""The rules of trust, of purposes, and of erasing many memories at once."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from memos_core import Erasure, IllegalTransition, InvalidInput, NotFound, WrongPurpose
from memos_core.query import Where
from tests.properties.model import CubeModel
from tests.properties.strategies import names, owners, picks, texts, wheres
from tests.properties.travel import Traveling


class Erasing(Traveling):
    """A memory is doubted or trusted again; a cube serves a purpose; a filter or a cube is forgotten."""

    @rule(owner=owners, name=names, number=picks, trust=st.sampled_from(("untrusted", "trusted", "purpose")),
          query=texts)  # fmt: skip
    def doubt(self, owner: str, name: str, number: int, trust: str, query: str) -> None:
        owner, name = self.stocked(owner, name)
        if trust == "purpose":
            self.limit_purposes(owner, name, query)
            return
        model, cube, entry = self.models[owner, name], self.cube(owner, name), self.pick(owner, name, number)
        if entry is None:
            return
        if trust == "untrusted" and number % 2:
            self.copy(owner, name, entry, None)  # then something stands on it
        memory_id = entry.id
        if self.refused(owner, name, entry, lambda: cube.classify(memory_id, trust=trust)):
            return
        if trust == "trusted" and entry.trust == "untrusted" and model.has_doubtful_origin(entry):
            with pytest.raises(InvalidInput):
                cube.classify(entry.id, trust=trust)
            self.check_audit(owner, name, changes=0)
            self.did("trust: refused")
            return
        assert cube.classify(entry.id, trust=trust).trust == trust
        if trust == "untrusted":
            model.distrusted(entry)
        entry.trust = trust
        self.check_audit(owner, name, changes=1)
        self.did("trust" if trust == "trusted" else "distrust")

    def limit_purposes(self, owner: str, name: str, query: str) -> None:
        """Let the cube serve a purpose: every verb refuses whoever has none, its owner as well."""
        cube, model = self.cube(owner, name), self.models[owner, name]
        cube.limit(purposes=["support"])
        for verb in (cube.list, cube.count, lambda: cube.recall(query), lambda: cube.remember(query)):
            with pytest.raises(WrongPurpose):
                verb()
        if (owner, name) in self.twigs:
            with pytest.raises(WrongPurpose):
                self.twig(owner, name).count()
        served = self.store.memos.as_principal(owner, purpose="support").cube(name)
        assert served.count() == len(model.visible(self.store.now))
        served.limit()
        self.check_audit(owner, name, changes=2)
        self.did("limit purposes")

    @rule(owner=owners, name=names, where=wheres, number=picks)
    def forget_many(self, owner: str, name: str, where: Where, number: int) -> None:
        """Forget what is like one of the memories, seen, archived or overdue; now and then the cube."""
        owner, name = self.stocked(owner, name)
        if number % 8 == 0:
            self.forget_cube(owner, name)
            return
        cube, model = self.cube(owner, name), self.models[owner, name]
        kept = [entry for entry in model.entries.values() if entry.state != "expired"]
        if kept and number % 4:
            like = kept[number % len(kept)]
            speakers, sessions = ((each,) if each else () for each in (like.speaker, like.session))
            where = Where(kinds=(like.kind,), tags=like.tags, speakers=speakers, sessions=sessions)
        if where.is_empty:
            with pytest.raises(InvalidInput):
                cube.forget(where=where)
            return
        matching = [e for e in model.entries.values() if e.state != "expired" and e.matches(where)]
        if any(entry.state == "frozen" for entry in matching):
            with pytest.raises(IllegalTransition):
                cube.forget(where=where)
            self.check_audit(owner, name, changes=0)
            self.did("forget where: refused")
            return
        receipt = cube.forget(where=where)
        assert self.own(receipt) == {entry.id for entry in matching}, "not what matches is erased"
        assert set(receipt.texts) >= {entry.text for entry in matching}
        for entry in matching:
            model.forgotten(entry)
        self.check_audit(owner, name, changes=len(matching))
        for entry in matching[:2]:
            self.check_recall(owner, name, entry.text, k=len(model.entries) + 1)
        self.did("forget where" if matching else "forget where: nothing matches")

    def forget_cube(self, owner: str, name: str) -> None:
        """Erase the cube, frozen memories too; one that is made anew under its name has nothing of it."""
        former, model = self.cube(owner, name), self.models[owner, name]
        receipt = self.store.memos.as_principal(owner).forget_cube(name)
        assert self.own(receipt) == set(model.entries), "not all of the cube is erased"
        with pytest.raises(NotFound):
            former.count()
        del self.handles[owner, name]
        fresh = CubeModel(owner, name)
        fresh.erased = [*model.erased, *model.entries]
        self.models[owner, name] = fresh
        self.mark_audit()
        assert self.cube(owner, name).id != former.id
        assert [each.id for each in self.store.memos.as_principal(owner).erasures()][-1] == receipt.id
        self.left_alone(owner, name)
        self.did("forget cube")

    def own(self, receipt: Erasure) -> set[str]:
        """Return what a receipt names but the copies of forks, which come after what they are copies of."""
        copies = receipt.erased.get("copies", 0)
        return set(receipt.memories[: len(receipt.memories) - copies])

    def left_alone(self, owner: str, name: str) -> None:
        """Look what is left of the fork of a cube that was forgotten, and forget it, too."""
        self.snapshots.pop((owner, name), None)
        if (owner, name) in self.twigs:
            self.what_ends_in_a_base_ends_in_its_fork()
            self.check_twig(owner, name)
            self.store.memos.as_principal(owner).forget_cube(self.twigs.pop((owner, name)).name)
            self.mark_audit()
