"""Idle time: a cube is consolidated, runs are taken back, and what was consolidated is forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from memos_core import Act, Action, Consolidating, IllegalTransition, InvalidInput, Message
from memos_core.consolidation import GIST
from tests.properties.machine import StoreMachine
from tests.properties.model import CubeModel, Entry, facts, statement_key
from tests.properties.strategies import names, owners, picks

REST, QUIET = timedelta(days=2), timedelta(hours=1)
SETTINGS = (
    Consolidating(rest=REST, quiet=QUIET, turns=2, least=2),
    Consolidating(rest=None, quiet=QUIET, turns=2, least=2),
    Consolidating(rest=None, quiet=None),
    Consolidating(rest=REST, quiet=None, supersede=False),
)
HOMES = ("Mira lives in Lisbon.", "Mira lives in Porto.", "Mira resides in Porto", "Mira lives in Faro.")
TALK = ("violin ferry harbour cat tea", "ferry harbour rent tea Lisbon", "cat violin rent moved Porto")
RELATIONS = ("supersedes", "supersedes", "supports", "derived_from")
OTHERWISE = (".", "!", " really", ", indeed.")
told = st.lists(st.tuples(st.sampled_from(("again", "again", "home", "talk")), picks), min_size=1, max_size=3)
_EMPTY = {"really", "indeed", "the", "a", "an", "that", "actually", "please", "also"}


@dataclass
class Run:
    """What a run of `consolidate` linked; what it wrote and put away is noted with the memories."""

    number: int
    links: set[tuple[str, str, str]]


def sense(text: str) -> list[str]:
    """Return the words without those that a merge may pass over: what it must not change."""
    words = re.findall(r"\w+", text.casefold().replace("resides", "lives"))
    return [word for word in words if word not in _EMPTY]


def repeats(one: Action, other: Action) -> bool:
    """Return whether an action does again what another did: any two statements of a merge are one."""
    if one.act is not other.act:
        return False
    shared = len({*one.sources} & {*other.sources})
    return shared > 1 if one.act is Act.MERGE else one.sources == other.sources


# --- what follows from what ------------------------------------------------------------------


def made_of(model: CubeModel, ids: Iterable[str]) -> list[Entry]:
    """Return what was consolidated directly from these memories, but these themselves."""
    sources = set(ids)
    found = {start for start, rel, end in model.links if rel == "derived_from" and end in sources} - sources
    return [model.entries[each] for each in sorted(found) if model.entries[each].made_in is not None]


def behind(model: CubeModel, merged: Entry) -> list[Entry]:
    """Return the statements that a merged one put away, and that nobody has moved since."""
    if merged.made_in is None or merged.kind == GIST:
        return []
    ends = [end for start, rel, end in model.links if (start, rel) == (merged.id, "derived_from")]
    there = [model.entries[each] for each in ends]
    return [each for each in there if each.state == "archived" and each.put_by == merged.made_in]


def ending_with(model: CubeModel, entry: Entry) -> tuple[list[Entry], list[Entry]]:
    """Return what is erased with a memory, that one included, and what comes back because of it."""
    own = {entry.id: entry}
    pending = [entry]
    while pending:
        fresh = [each for each in behind(model, pending.pop()) if each.id not in own]
        own |= {each.id: each for each in fresh}
        pending += fresh
    ends = dict(own)
    while fresh := made_of(model, ends):
        ends |= {each.id: each for each in fresh}
    quoting = [each for each in ends.values() if each.id not in own]
    back = {each.id: each for one in quoting for each in behind(model, one) if each.id not in ends}
    return list(ends.values()), list(back.values())


class Tidying(StoreMachine):
    """The rules of idle time."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[tuple[str, str], list[Run]] = {}

    def tell(self, owner: str, name: str, number: int, what: str) -> None:
        """Say what gives idle time something to do: the same in other words, a change, a session."""
        entry = self.pick(owner, name, number)
        if what == "talk":
            turns = [Message("Mira", f"{each} {number % 3}") for each in TALK[number % 2 :]]
            StoreMachine.ingest(self, owner, name, session="s1", turns=turns, trust="trusted")
            return
        text, kind, at, trust = HOMES[number % len(HOMES)], "fact", None, "trusted"
        if what == "again" and entry is not None and entry.kind != GIST:
            others = [entry.text.rstrip(".!") + each for each in OTHERWISE]
            text = [each for each in others if each != entry.text][number % 3]
            kind, at, trust = entry.kind, entry.event_at, entry.trust
        self.store.now += timedelta(minutes=1)
        StoreMachine.remember(self, owner, name, text=text, kind=kind, tags=(), at=at, ttl=None, trust=trust)

    @rule(owner=owners, name=names, which=st.sampled_from(SETTINGS), back=st.booleans(), said=told,
          after=st.sampled_from((timedelta(hours=2), timedelta(0), timedelta(days=4))))  # fmt: skip
    def consolidate(
        self,
        owner: str,
        name: str,
        which: Consolidating,
        after: timedelta,
        said: list[tuple[str, int]],
        *,
        back: bool,
    ) -> None:
        """Tell a cube something, consolidate it, see whether all is as told; or, taken back, as before."""
        owner, name = self.stocked(owner, name)
        for what, number in said:
            self.tell(owner, name, number, what)
        self.store.now += after
        model, cube = self.models[owner, name], self.cube(owner, name)
        before, asked = [facts(each) for each in cube.list()], [each.text for each in cube.list()][:1]
        shown = [{hit.memory.id for hit in cube.recall(text, k=99)} for text in asked]
        done = cube.consolidate(which)
        if done.run is not None:
            run = Run(done.run, set())
            self.runs.setdefault((owner, name), []).append(run)
            for action in done.actions:
                self.follow(model, run, action)
        assert (done.run is None) == (not done.actions)
        self.check_kept(owner, name)
        for text in asked:  # never what was merged beside what it was merged into
            self.check_recall(owner, name, text, k=len(model.entries) + 1)
        assert not cube.consolidate(which), "a second run found something left"
        if back and done.run is not None:
            self.take_back(owner, name, run)
            assert [facts(each) for each in cube.list()] == before, "taken back, it is not as it was"
            if self.index_is_whole:  # else what is found without it depends on what is told to it meanwhile
                assert [{hit.memory.id for hit in cube.recall(text, k=99)} for text in asked] == shown
            again = cube.consolidate(which, dry_run=True)  # it may find what the run had made needless
            assert not [one for one in again.actions if any(repeats(one, each) for each in done.actions)]
        self.mark_audit()
        self.did(
            f"consolidate: {len(done.actions) or 'nothing'}" if len(done.actions) < 2 else "consolidate: many"
        )

    @rule(owner=owners, name=names, number=picks)
    def undo(self, owner: str, name: str, number: int) -> None:
        """Take some run back, whatever happened since."""
        runs = self.runs.get((owner, name), [])
        if runs:
            self.take_back(owner, name, runs[number % len(runs)])
            self.check_kept(owner, name)

    @rule(owner=owners, name=names, number=picks)
    def forget(self, owner: str, name: str, number: int) -> None:
        """Forget a memory in whatever state: what repeats it goes with it, down to the last byte."""
        owner, name = self.stocked(owner, name)
        model, cube = self.models[owner, name], self.cube(owner, name)
        there = [each for each in model.entries.values() if each.state != "expired"]
        if not there:
            return
        told = [each for each in there if made_of(model, [each.id]) or each.made_in is not None]
        entry = (told or there)[number % len(told or there)]
        ends, back = ending_with(model, entry)
        if any(each.state == "frozen" for each in ends):
            with pytest.raises(IllegalTransition):
                cube.forget(entry.id)
            self.check_audit(owner, name, changes=0)
            self.did("forget: refused")
            return
        receipt = cube.forget(entry.id)
        assert set(receipt.memories) == {each.id for each in ends}, "what repeats it is not what went with it"
        assert set(receipt.texts) >= {each.text for each in ends}
        for each in back:
            each.state, each.put_by = "live", None
        for each in ends:
            model.forgotten(each)
        self.check_audit(owner, name, changes=1)
        self.check_kept(owner, name)
        if not self.store.server.down:
            check = self.store.memos.as_principal(owner).verify_erasure(receipt)
            assert check.ok, f"left of the erased: {check.residues}"
        self.check_recall(owner, name, entry.text, k=len(model.entries) + 1)
        self.did("forget what was consolidated" if len(ends) > 1 else "forget")

    @rule(owner=owners, name=names, first=picks, second=picks, relation=st.sampled_from(RELATIONS))
    def link(self, owner: str, name: str, first: int, second: int, relation: str) -> None:
        """Link memories, but no gists: one that supersedes something is shown with that, as was asked for."""
        if not any(
            each.kind == GIST for model in self.models.values() for each in model.visible(self.store.now)
        ):
            StoreMachine.link(self, owner, name, first=first, second=second, relation=relation)

    # --- beside the model --------------------------------------------------------------------

    def check_kept(self, owner: str, name: str) -> None:
        """The raw is kept, in the archive, word for word."""
        model = self.models[owner, name]
        away = [e for e in model.entries.values() if e.away(self.store.now) == "archived"]
        kept = [facts(each) for each in self.cube(owner, name).list(state="archived")]
        assert kept == [each.facts(model.links) for each in away], "the raw is not what was put away"

    def follow(self, model: CubeModel, run: Run, action: Action) -> None:
        """Look whether an action was due, as the documents tell it, and do it to the model."""
        sources = [model.entries[each] for each in action.sources]
        assert all(each.visible(self.store.now) for each in sources), "done to what is out of sight"
        match action.act:
            case Act.MERGE:
                assert action.into is not None
                self.merged(model, run, sources, action.into)
            case Act.GIST:
                assert action.into is not None
                self.gist(model, run, sources, action.into)
            case Act.SUPERSEDE:
                newer, older = sources
                assert newer.at > older.at, "the newer one is not the newer one"
                assert sense(newer.text) != sense(older.text)
                run.links.add((newer.id, "supersedes", older.id))
                model.linked((newer.id, "supersedes", older.id))
            case Act.ARCHIVE:
                assert self.store.now - sources[0].created_at > REST, "put away too early"
                self.put_away(run, sources)

    def merged(self, model: CubeModel, run: Run, sources: Sequence[Entry], into: str) -> None:
        last = sorted(sources, key=lambda each: each.created_at)[-1]
        rules = {
            (e.kind, e.event_at, e.expires_at, e.trust, e.visibility, e.session, e.speaker) for e in sources
        }
        assert len(rules) == 1, "what is under other rules was merged"
        assert all(sense(each.text) == sense(last.text) for each in sources), "what does not say the same"
        assert all(each.state == "live" and each.position is None for each in sources)
        tags = tuple(dict.fromkeys(tag for each in sources for tag in each.tags))
        self.write(model, run, sources, into, (last.text, last.kind, tags, last.event_at))
        entry = model.entries[into]
        entry.created_at = max(each.created_at for each in sources)
        entry.speaker, entry.session, entry.expires_at = last.speaker, last.session, last.expires_at
        self.put_away(run, sources)

    def gist(self, model: CubeModel, run: Run, sources: Sequence[Entry], into: str) -> None:
        session = sources[0].session
        turns = [
            each for each in model.visible(self.store.now)
            if each.session == session and each.position is not None
        ]  # fmt: skip
        ended = max(each.at for each in turns)
        assert self.store.now - ended >= QUIET, "the session is not over"
        assert all(each in turns for each in sources)
        known = [
            e for e in model.visible(self.store.now) if e.made_in and e.kind == GIST and e.session == session
        ]
        text = "\n".join(f"{each.speaker}: {each.text}" for each in sources)
        self.write(model, run, sources, into, (text, GIST, (), ended))
        entry = model.entries[into]
        entry.created_at, entry.session = min(each.created_at for each in sources), session
        self.put_away(run, known)

    def write(
        self, model: CubeModel, run: Run, sources: Sequence[Entry], into: str,
        version: tuple[str, str, tuple[str, ...], object],
    ) -> None:  # fmt: skip
        text, kind, _, at = version
        assert into not in model.entries, "what is merged is a memory of its own"
        doubtful = any(each.trust == "untrusted" for each in sources)
        model.entries[into] = Entry(
            into,
            [version],  # type: ignore[list-item]
            [text],
            self.store.now,
            statement=statement_key(text, kind, at),  # type: ignore[arg-type]
            trust="untrusted" if doubtful else "trusted",
            made_in=run.number,
        )
        model.links |= {(into, "derived_from", each.id) for each in sources}

    def put_away(self, run: Run, entries: Sequence[Entry]) -> None:
        for each in entries:
            assert each.state == "live", "only what is in use is put away"
            each.state, each.put_by = "archived", run.number

    def take_back(self, owner: str, name: str, run: Run) -> None:
        model, cube, now = self.models[owner, name], self.cube(owner, name), self.store.now
        mine = [each for each in model.entries.values() if each.made_in == run.number]
        written = [each for each in mine if each.state in ("live", "frozen")]
        later = [each for each in made_of(model, [each.id for each in mine]) if each.state != "archived"]
        if later or any(each.state == "frozen" for each in written):
            with pytest.raises(InvalidInput if later else IllegalTransition):
                cube.undo(run.number)
            self.check_audit(owner, name, changes=0)
            self.did("undo: refused")
            return
        back = [
            each for each in model.entries.values()
            if each.state == "archived" and each.put_by == run.number and not each.overdue(now)
        ]  # fmt: skip
        ended = {link for link in run.links & model.links if model.entries[link[0]].state != "frozen"}
        undone = cube.undo(run.number)
        assert set(undone.archived) == {each.id for each in written}
        assert set(undone.restored) == {each.id for each in back}
        assert undone.unlinked == len(ended)
        for each in written:
            each.state, each.put_by = "archived", None
        for each in back:
            each.state, each.put_by = "live", None
        model.links -= ended
        run.links -= ended
        self.check_audit(owner, name, changes=len(written) + len(back) + len(ended))
        self.did("undo")
