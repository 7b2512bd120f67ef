"""Attached states against computing everything: whatever happens to memories, files and engines.

The twin engine raises where a state of another prompt is attached, and answers with a hash of its
whole prompt. Two principals, two engines, crashes, damage and eviction take part. A third principal
has a right on one of their cubes, now and then, and memories of its own there.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from memos_core import MemCube, MemOS, NotFound, Runtime, Segment
from memos_core.testing import HashEmbedder, InMemoryIndex, ScriptedEngine
from memos_core.tiers.kv import container
from tests.conftest import Clock

PRINCIPALS = ("ana", "bo")
GUEST = "cy"  # writes in Ana's cube while it is let in
TEXTS = tuple(f"Fact {n}: " + f"thing {n} is on the shelf. " * 20 for n in range(6))
BUDGET = 50_000
TAIL = "\nuser: What?\nassistant:"  # what is never stored

principals = st.sampled_from(PRINCIPALS)
which = st.integers(0, 1 << 16)


class KVMachine(RuleBasedStateMachine):
    """Each principal has a cube of the same name, and says the same things."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="memos-kv-"))
        self.clock = Clock()
        self.alive: dict[str, dict[str, int]] = {name: {} for name in PRINCIPALS}
        self.runtimes: list[Runtime] = []
        self.archived: dict[str, set[str]] = {name: set() for name in PRINCIPALS}
        self.hidden: set[str] = set()  # Ana's memories that the guest may not see
        self.of_guest: set[str] = set()  # that the guest wrote: both see them
        self.let_in = False

    @initialize()
    def begin(self) -> None:
        self.open()

    def open(self) -> None:
        embedder, index = HashEmbedder(dimensions=16), InMemoryIndex(dimensions=16)
        self.memos = MemOS.open(self.folder / "store", embedder=embedder, index=index, clock=self.clock)
        self.runtimes = [Runtime(ScriptedEngine()), Runtime(ScriptedEngine(cumulative=True, adapter="other"))]

    def cube(self, who: str) -> MemCube:
        return self.memos.as_principal(who).cube("notes")

    def some(self, who: str, choice: int) -> str | None:
        known = sorted(self.alive[who])
        return known[choice % len(known)] if known else None

    # --- memories ----------------------------------------------------------------------------

    @rule(who=principals, text=st.sampled_from(TEXTS), brief=st.booleans())
    def remember(self, who: str, text: str, brief: bool) -> None:
        memory = self.cube(who).remember(text, ttl=timedelta(hours=1) if brief else None)
        if memory.id not in self.alive[who] and who == "ana":
            self.hidden.add(memory.id)
        self.alive[who][memory.id] = memory.version

    @rule(who=principals, choice=which, text=st.sampled_from(TEXTS))
    def revise(self, who: str, choice: int, text: str) -> None:
        memory_id = self.some(who, choice)
        if memory_id in self.seen(who):
            self.alive[who][memory_id] = self.cube(who).revise(memory_id, text).version

    @rule(who=principals, choice=which)
    def forget(self, who: str, choice: int) -> None:
        memory_id = self.some(who, choice)
        if memory_id in self.seen(who):
            self.ask(who, choice % 2)  # so that there is something to go
            self.cube(who).forget(memory_id)
            del self.alive[who][memory_id]

    @rule(who=principals, choice=which)
    def archive(self, who: str, choice: int) -> None:
        memory_id = self.some(who, choice)
        if memory_id is not None and memory_id in self.seen(who):
            self.cube(who).archive(memory_id)
            self.archived[who].add(memory_id)

    @rule(who=principals, choice=which)
    def restore(self, who: str, choice: int) -> None:
        away = sorted(memory.id for memory in self.cube(who).list(state="archived"))
        if away:
            self.cube(who).restore(away[choice % len(away)])
            self.archived[who].discard(away[choice % len(away)])

    @rule(archive=st.booleans())
    def upkeep(self, archive: bool) -> None:
        self.memos.upkeep(archive_after=timedelta(hours=1) if archive else None)
        for who in PRINCIPALS:
            self.archived[who] = {memory.id for memory in self.cube(who).list(state="archived")}
            shells = {memory.id for memory in self.cube(who).list(state="expired")}
            for memory_id in shells & set(self.alive[who]):
                del self.alive[who][memory_id]  # its words are erased as by forget()

    # --- a guest -----------------------------------------------------------------------------

    @rule()
    def let_in_or_out(self) -> None:
        self.let_in = not self.let_in
        ana = self.cube("ana")
        if self.let_in:
            ana.grant(GUEST, "write")
        else:
            ana.revoke(GUEST)
        assert not self.segments_of("ana"), "what was made for other readers is still there"

    @rule(choice=which, share=st.booleans())
    def show_or_hide(self, choice: int, share: bool) -> None:
        memory_id = self.some("ana", choice)
        if memory_id is not None and memory_id in self.seen("ana") - self.of_guest:
            self.cube("ana").classify(memory_id, visibility="shared" if share else "private")
            (self.hidden.discard if share else self.hidden.add)(memory_id)

    @precondition(lambda self: self.let_in)
    @rule(text=st.sampled_from(TEXTS), shared=st.booleans())
    def the_guest_remembers(self, text: str, shared: bool) -> None:
        known = set(self.alive["ana"])
        memory = self.guest().remember(f"{text} (a guest says)", visibility="shared" if shared else "private")
        if memory.id not in known:
            self.of_guest.add(memory.id)
        self.alive["ana"][memory.id] = memory.version

    @rule(engine=st.integers(0, 1))
    def the_guest_asks(self, engine: int) -> None:
        if not self.let_in:
            with pytest.raises(NotFound):
                self.guest()
            return
        runtime, cube = self.runtimes[engine], self.guest()
        reply = runtime.chat("What?", cube, budget=BUDGET)
        plain = runtime.chat("What?", cube, budget=BUDGET, reuse=False)
        assert (reply.text, reply.memories) == (plain.text, plain.memories)
        assert set(reply.memories) == self.seen("ana") - self.hidden
        shown = {source.memory_id for each in self.segments_of(GUEST) for source in each.sources}
        assert not shown & self.hidden, "a segment tells of what is hidden"

    def guest(self) -> MemCube:
        return self.memos.as_principal(GUEST).cube("notes", owner="ana")

    def segments_of(self, who: str) -> Sequence[Segment]:
        memos = self.memos.as_principal(who)
        return memos.segments(memos.cube("notes", owner="ana", create=False))

    @rule()
    def time_passes(self) -> None:
        self.clock.move(minutes=40)

    def seen(self, who: str) -> set[str]:
        return {memory.id for memory in self.cube(who).list()}

    # --- answers -----------------------------------------------------------------------------

    @rule(who=principals, engine=st.integers(0, 1))
    def ask(self, who: str, engine: int) -> None:
        runtime, cube = self.runtimes[engine], self.cube(who)
        reply = runtime.chat("What?", cube, budget=BUDGET)
        plain = runtime.chat("What?", cube, budget=BUDGET, reuse=False)
        assert (reply.text, reply.memories) == (plain.text, plain.memories)
        assert set(reply.memories) == self.seen(who)
        again = runtime.chat("What?", cube, budget=BUDGET)
        assert again.text == plain.text
        if reply.memories:
            assert (again.reuse.built, again.prompt_tokens - again.reuse.tokens) == (0, len(TAIL))

    @rule(who=principals, choice=which)
    def ask_while_it_changes(self, who: str, choice: int) -> None:
        cube = self.cube(who)
        with closing(self.runtimes[0].stream("What?", cube, budget=BUDGET)) as stream:
            next(stream)
            self.forget(who, choice)
            stream.finished()

    # --- misfortune --------------------------------------------------------------------------

    @rule(choice=which)
    def a_file_is_damaged(self, choice: int) -> None:
        files = self.files()
        if files:
            target = files[choice % len(files)]
            data = bytearray(target.read_bytes())
            data[random.Random(choice).randrange(len(data))] ^= 1 + choice % 255
            target.write_bytes(bytes(data))
            self.read_again(choice)

    @rule(choice=which)
    def a_file_is_lost(self, choice: int) -> None:
        files = self.files()
        if files:
            files[choice % len(files)].unlink()
            self.read_again(choice)

    def read_again(self, choice: int) -> None:
        """Ask with nothing in RAM, so that the files count."""
        for runtime in self.runtimes:
            runtime._levels.clear()
        for who in PRINCIPALS:
            self.ask(who, choice % 2)

    @rule(who=principals)
    def evict(self, who: str) -> None:
        memos = self.memos.as_principal(who)
        memos.evict(memos.segments()[::2])

    @rule(crash=st.booleans())
    def reopen(self, crash: bool) -> None:
        if crash:
            self.memos._core.indexer._stop.set()  # a thread would outlive the crash
            self.memos._core.indexer._wake.set()
            self.memos._core._lock.release()
            self.memos._core.catalog._engine.dispose()
        else:
            self.memos.close()
        self.open()

    # --- what holds at any moment ------------------------------------------------------------

    @precondition(lambda self: hasattr(self, "memos"))
    @invariant()
    def nothing_of_the_erased_is_left(self) -> None:
        alive = {memory_id for known in self.alive.values() for memory_id in known}
        for path in self.files():
            try:
                sources = container.header_of(path).sources
            except Exception:  # noqa: BLE001 - damaged on purpose
                continue
            assert {source.memory_id for source in sources} <= alive, "a file outlived its memory"

    @precondition(lambda self: hasattr(self, "memos"))
    @invariant()
    def nothing_of_the_archived_is_left(self) -> None:
        away = set().union(*self.archived.values())
        for path in self.files():
            try:
                sources = container.header_of(path).sources
            except Exception:  # noqa: BLE001 - damaged on purpose
                continue
            assert not away & {source.memory_id for source in sources}, (
                "a file outlived its memory's archiving"
            )

    @precondition(lambda self: hasattr(self, "memos"))
    @invariant()
    def what_is_in_ram_has_a_row(self) -> None:
        rows = {segment.key for who in PRINCIPALS for segment in self.memos.as_principal(who).segments()}
        for runtime in self.runtimes:
            assert set(runtime._levels.keys()) <= rows

    def files(self) -> list[Path]:
        return sorted((self.folder / "store" / "blobs").glob("??/*"))

    def teardown(self) -> None:
        if hasattr(self, "memos"):
            self.memos.close()
        shutil.rmtree(self.folder, ignore_errors=True)
