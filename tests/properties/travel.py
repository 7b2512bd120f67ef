"""Cubes through time: snapshots, the past, rollbacks; forks that diverge from their base and are merged."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from memos_core import IllegalTransition, MemCube
from tests.properties.model import CubeModel, Entry, facts, statement_key
from tests.properties.sharing import Sharing
from tests.properties.strategies import names, owners, picks, texts

Key = tuple[str, str]


class Twig:
    """A fork beside its model. Its model knows memories by the ids that the base has, or had."""

    def __init__(self, base: CubeModel, name: str) -> None:
        self.name = name
        self.model = deepcopy(base)
        self.model.erased = []
        self.agreed: dict[str, Any] = {each.id: says(each) for each in self.model.entries.values()}
        self.pairs: dict[str, str] = {each: each for each in self.model.entries}  # fork's ids to the base's


def says(entry: Entry | None) -> Any:
    """Return what a merge compares; what is put away is like what is gone."""
    if entry is None or entry.state == "archived":
        return None
    return (*entry.versions[-1], entry.speaker, entry.state)


def said(entry: Entry) -> Any:
    return (*entry.versions[-1], entry.speaker)


class Traveling(Sharing):
    """The rules of time and of forks."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshots: dict[Key, list[CubeModel]] = {}
        self.twigs: dict[Key, Twig] = {}
        self.numbers = count()

    # --- the past ----------------------------------------------------------------------------

    @rule(owner=owners, name=names, number=picks, what=st.sampled_from(("snapshot", "at", "at", "rollback")),
          query=texts)  # fmt: skip
    def travel(self, owner: str, name: str, number: int, what: str, query: str) -> None:
        """Name a state, look at one, or go back to one."""
        owner, name = self.stocked(owner, name)
        taken = self.snapshots.setdefault((owner, name), [])
        if what == "snapshot" or not taken:
            made = self.cube(owner, name).snapshot(f"state {len(taken)}")
            taken.append(deepcopy(self.models[owner, name]))
            assert made.label == self.cube(owner, name).snapshots()[-1].label
            self.mark_audit()
            self.did("snapshot")
            return
        label = number % len(taken)
        self.change_words(owner, name, number, query)
        if what == "at":
            self.look_back(owner, name, taken[label], f"state {label}", query)
        else:
            self.go_back(owner, name, taken[label], f"state {label}", less=number % 3 != 1)

    def change_words(self, owner: str, name: str, number: int, text: str) -> None:
        """Let something differ from what was."""
        entry = self.pick(owner, name, number)
        if entry is not None and entry.state != "frozen":
            self.cube(owner, name).revise(entry.id, text)
            self.models[owner, name].revised(entry, text=text, kind=None, tags=None, at=None)
            self.mark_audit()

    def look_back(self, owner: str, name: str, then: CubeModel, label: str, query: str) -> None:
        cube, wanted = self.cube(owner, name), self.past(self.models[owner, name], then)
        shown = cube.list(at=label)
        assert [facts(memory) for memory in shown] == wanted, "the past is not as it was"
        found = [facts(hit.memory) for hit in cube.recall(query, k=99, at=label)]
        assert len(found) == len(wanted), "the past is not found whole"
        assert all(each in wanted for each in found), "something that was not is found in the past"
        self.check_audit(owner, name, changes=0)
        self.did("look back")

    def past(self, now: CubeModel, then: CubeModel) -> list[tuple[Any, ...]]:
        """Return the facts of a past state: the words of then, of what today's rules still show."""
        present = {
            each.id: each
            for each in now.entries.values()
            if each.state != "expired" and not each.overdue(self.store.now)
        }
        links = {link for link in then.links if {link[0], link[2]} <= present.keys()}
        found = []
        for entry in then.entries.values():
            if entry.id in present and entry.state in ("live", "frozen"):
                today = present[entry.id]
                shown = deepcopy(entry)
                shown.expires_at = None if today.state == "frozen" else today.expires_at
                found.append(shown.facts(links))
        return found

    def go_back(self, owner: str, name: str, then: CubeModel, label: str, *, less: bool) -> None:
        """Roll back; with `less`, something of then is forgotten first."""
        cube, model = self.cube(owner, name), self.models[owner, name]
        lost = [each for each in model.visible(self.store.now) if each.id in then.entries]
        if less and lost and lost[0].state != "frozen":
            cube.forget(lost[0].id)
            model.forgotten(lost[0])
        changes = self.gone_back(model, then)
        done = cube.rollback(label)
        assert len({*done.revised, *done.moved, *done.archived}) == changes, "not what was to be done"
        assert {each.memory_id for each in done.gone} <= {
            *model.erased, *(e.id for e in model.entries.values() if e.state == "expired"),
        }  # fmt: skip
        self.mark_audit()
        self.used = owner, name
        for entry in model.visible(self.store.now)[:2]:
            self.check_recall(owner, name, entry.text, k=len(model.entries) + 1)
        if not self.store.server.down:
            self.drained()
        self.did("roll back")

    def gone_back(self, model: CubeModel, then: CubeModel) -> int:
        """Bring the model back; return how many memories changed."""
        now, changed = self.store.now, 0
        kept = [e for e in model.entries.values() if e.state != "expired" and not e.overdue(now)]
        free = {entry.id for entry in kept if entry.state != "frozen"}
        for entry in kept:
            before = then.entries.get(entry.id)
            state = "archived" if before is None else before.state
            words = before is not None and said(before) != said(entry)
            if entry.state == "frozen" or not (words or state != entry.state):
                continue
            if before is not None and words:
                entry.versions.append(before.versions[-1])
                entry.speaker = before.speaker
                entry.statement = statement_key(entry.text, entry.kind, entry.event_at)
            entry.state = state
            changed += 1
        freed = {entry.id for entry in kept if entry.id in free and entry.state != "frozen"}
        model.links -= {link for link in model.links - then.links if link[0] in freed}
        reach = {entry.id for entry in kept}
        for link in sorted(then.links - model.links):
            circle = link[1] != "supports" and model.leads(link[2], link[0], link[1])
            if link[0] in freed and link[2] in reach and not circle:
                model.linked(link)
        return changed

    # --- forks -------------------------------------------------------------------------------

    def twig(self, owner: str, name: str) -> MemCube:
        return self.store.memos.as_principal(owner).cube(self.twigs[owner, name].name)

    @rule(owner=owners, name=names, number=picks, text=texts,
          what=st.sampled_from(("remember", "revise", "revise", "forget", "archive", "restore", "link")),
          merge=st.sampled_from((None, None, "ours", "theirs")), into=st.booleans())  # fmt: skip
    def branch(
        self, owner: str, name: str, number: int, text: str, what: str, merge: str | None, *, into: bool
    ) -> None:
        """Fork a cube, write to the fork, or merge the two, one into the other."""
        owner, name = self.stocked(owner, name)
        if (owner, name) not in self.twigs:
            self.twigs[owner, name] = Twig(self.models[owner, name], f"{name} twig")
            self.cube(owner, name).fork(f"{name} twig")
            self.did("fork")
        elif merge is None:
            self.write(owner, name, number, text, what)
        else:
            if into:
                self.change_words(owner, name, number, text)
            else:
                self.write(owner, name, number, text, "revise")
            self.join(owner, name, merge, into=into)
        self.mark_audit()
        self.used = owner, name
        self.check_twig(owner, name)

    def write(self, owner: str, name: str, number: int, text: str, what: str) -> None:
        cube, model, now = self.twig(owner, name), self.twigs[owner, name].model, self.store.now
        if what == "remember":
            text = f"{text} {next(self.numbers)}"
            memory = cube.remember(text)
            model.stated(
                memory, text=text, kind="fact", tags=(), at=None, expires_at=None, trust="trusted", now=now
            )
            self.did("remember in a fork")
            return
        wanted = "archived" if what == "restore" else "live"
        there = [e for e in model.entries.values() if e.state == wanted and not e.overdue(now)]
        if not there:
            return
        entry, other = there[number % len(there)], there[(number + 1) % len(there)]
        match what:
            case "revise":
                cube.revise(entry.id, text)
                model.revised(entry, text=text, kind=None, tags=None, at=None)
            case "forget":
                cube.forget(entry.id)
                model.forgotten(entry)
            case "link" if other is not entry:
                cube.link(entry.id, "supports", other.id)
                model.links.add((entry.id, "supports", other.id))
            case "archive" | "restore":
                getattr(cube, what)(entry.id)
                entry.state = "archived" if what == "archive" else "live"
        self.did(f"{what} in a fork")

    def check_twig(self, owner: str, name: str) -> dict[str, str]:
        """Compare a fork with its model; return the model's ids by those that the fork now has."""
        cube, model, now = self.twig(owner, name), self.twigs[owner, name].model, self.store.now
        shown, ids = [], {}
        for state, there in (
            (None, model.visible(now)),
            ("archived", [e for e in model.entries.values() if e.away(now) == "archived"]),
        ):
            listed = cube.list(state=state)
            assert len(listed) == len(there), "a fork shows more or less than it should"
            ids |= {memory.id: entry.id for memory, entry in zip(listed, there, strict=True)}
            shown += list(zip(listed, there, strict=True))
        for memory, entry in shown:
            wanted = entry.facts({link for link in model.links if {link[0], link[2]} <= set(ids.values())})
            told = list(facts(memory))
            told[0], told[11] = ids[told[0]], frozenset((how, ids[target]) for how, target in told[11])
            assert tuple(told) == wanted, "a fork is not as it was left"
        return ids

    @invariant()
    def what_ends_in_a_base_ends_in_its_fork(self) -> None:
        for key, twig in self.twigs.items():
            for mine, base in list(twig.pairs.items()):
                there = self.models[key].entries.get(base)
                if base in self.models[key].erased and mine in twig.model.entries:
                    twig.model.forgotten(twig.model.entries[mine])
                if there is not None and there.trust == "untrusted" and mine in twig.model.entries:
                    twig.model.distrusted(twig.model.entries[mine])  # whatever its base doubts
        for owner, name in self.twigs:
            if (owner, name) == self.used and self.turn % 2:  # every other step: looking costs most here
                self.check_twig(owner, name)

    def expire(self) -> None:
        super().expire()
        for twig in self.twigs.values():
            for entry in twig.model.entries.values():
                if entry.overdue(self.store.now) and entry.state != "expired":
                    twig.model.expired(entry)

    # --- merges ------------------------------------------------------------------------------

    def join(self, owner: str, name: str, policy: str, *, into: bool) -> None:
        """Merge the fork into its base, or (`into` the fork) the base into it."""
        base, fork = self.cube(owner, name), self.twig(owner, name)
        ids = self.check_twig(owner, name)
        ours, theirs = (fork, base) if into else (base, fork)
        joining = Joining(self.models[owner, name], self.twigs[owner, name], into=into, now=self.store.now)
        if policy == "theirs" and joining.writes_frozen():
            with pytest.raises(IllegalTransition):
                ours.merge(theirs, on_conflict=policy)
            self.did("merge: refused")
            return
        wanted = joining.conflicts()
        done = ours.merge(theirs, on_conflict=policy)
        assert len(done.conflicts) == wanted, "not the conflicts that there are"
        joining.apply(policy, {ids.get(a, a): ids.get(b, b) for a, b in done.memories.items()})
        again = ours.merge(theirs, on_conflict="report")
        assert (again.added, again.revised, again.moved, again.conflicts) == ((), (), (), ()), "merged twice"
        self.did("merge")


class Joining:
    """One merge, in the model."""

    def __init__(self, base: CubeModel, twig: Twig, *, into: bool, now: datetime) -> None:
        self.twig, self.into, self.now = twig, into, now
        self.ours, self.theirs = (twig.model, base) if into else (base, twig.model)

    def pairs(self) -> list[tuple[str, Entry | None, Entry | None]]:
        """Return (the fork's id, ours, theirs) of what both have or had and may be looked at."""
        found = []
        for mine, base in self.twig.pairs.items():
            names = (mine, base) if self.into else (base, mine)
            o, t = self.ours.entries.get(names[0]), self.theirs.entries.get(names[1])
            there = [each for each in (o, t) if each is not None]
            if there and not any(each.state == "expired" or each.overdue(self.now) for each in there):
                found.append((mine, o, t))
        return found

    def changed(self) -> list[tuple[str, Entry | None, Entry | None, bool]]:
        """Return the pairs in which they changed something, and whether both did."""
        found = []
        for mine, o, t in self.pairs():
            agreed = self.twig.agreed[mine]
            if says(t) != agreed and says(t) != says(o):
                found.append((mine, o, t, says(o) != agreed or (o is not None and o.state == "frozen")))
        return found

    def conflicts(self) -> int:
        return sum(conflict for *_, conflict in self.changed())

    def writes_frozen(self) -> bool:
        return any(o is not None and o.state == "frozen" for _, o, _t, _c in self.changed())

    def apply(self, policy: str, named: dict[str, str]) -> None:
        known = {*self.twig.pairs} if not self.into else {*self.twig.pairs.values()}
        fresh = [e for e in self.theirs.visible(self.now) if e.id not in known]
        links = set(self.theirs.links)
        ids = {(b if self.into else m): (m if self.into else b) for m, b in self.twig.pairs.items()}
        for mine, o, t, conflict in self.changed():
            self.twig.agreed[mine] = says(t)
            if conflict and policy == "ours":
                continue
            if t is None:
                assert o is not None
                o.state = "archived"
            elif o is None:
                self.add(t, mine, named)
            else:
                if said(t) != said(o):
                    o.versions.append(t.versions[-1])
                    o.speaker, o.statement = t.speaker, t.statement
                    if t.trust == "untrusted":
                        self.ours.distrusted(o)
                o.state = t.state
        for entry in fresh:
            new = self.add(entry, named[entry.id], named)
            mine, base = (new, entry.id) if self.into else (entry.id, new)
            self.twig.pairs[mine], self.twig.agreed[mine] = base, says(entry)
            ids[entry.id] = new
        self.unite(links, ids)

    def add(self, entry: Entry, new: str, named: dict[str, str]) -> str:
        """Give ours a memory of theirs, unless it has the same statement."""
        if named[entry.id] in self.ours.entries:
            return named[entry.id]
        copy = deepcopy(entry)
        copy.id = new
        taken = [e.position for e in self.ours.entries.values() if e.session == entry.session]
        if entry.position is not None and entry.position in taken:
            copy.position = 1 + max(each for each in taken if each is not None)
        self.ours.tellings += 1
        copy.told = self.ours.tellings
        self.ours.entries[new] = copy
        return new

    def unite(self, links: set[tuple[str, str, str]], ids: dict[str, str]) -> None:
        kept = {
            e.id: e for e in self.ours.entries.values() if e.state != "expired" and not e.overdue(self.now)
        }
        for start, how, end in sorted(links):
            link = (ids.get(start, start), how, ids.get(end, end))
            if start not in ids or not {link[0], link[2]} <= kept.keys() or kept[link[0]].state == "frozen":
                continue
            circle = how != "supports" and self.ours.leads(link[2], link[0], how)
            if link[0] != link[2] and not circle:
                self.ours.linked(link)
