"""Kill a worker at a random moment, open what it left, and compare with what it had acknowledged."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from memos_core import MemCube, MemOS
from memos_core.core import CATALOG
from memos_core.testing import HashEmbedder
from memos_core.vault.catalog import utc_now
from memos_core.vault.outbox import LEASE
from tests.crash.worker import CUBE

WORKER = Path(__file__).with_name("worker.py")
EARLY = 0.1  # share of kills that do not wait until the worker has opened the store
MOST_LINES = 60  # of the journal, two a change
LONGEST_S = (0.05, 0.05, 0.5, 1.2)  # in the middle of a change; or of what follows it in the background
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Kept:
    """A memory as the journal tells it. `id` is empty for one whose acknowledgement never came."""

    id: str
    texts: tuple[str, ...]  # one a version
    sources: int
    session: str | None = None

    def same(self, other: Kept) -> bool:
        return self.id in ("", other.id) and replace(self, id=other.id) == other


@dataclass
class Ledger:
    """What must be there: every acknowledged change, in order; and the change that was under way."""

    kept: dict[str, Kept] = field(default_factory=dict)
    gone: dict[str, tuple[str, ...]] = field(default_factory=dict)  # id -> its texts
    begun: dict[str, Any] | None = None
    done: Counter[str] = field(default_factory=Counter)  # acknowledged changes by verb

    def read(self, journal: Path) -> None:
        """Take in a journal; its last line may be an intent, and may be cut off."""
        for line in journal.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            entry = json.loads(line)
            if "begin" in entry:
                self.begun = entry
            elif "done" in entry:
                assert self.begun is not None
                self.kept = self.after(self.begun, entry["done"])
                if self.begun["begin"] != "forget":
                    versions = [len(self.kept[each].texts) for each in entry["done"]]
                    assert versions == entry["versions"], "the worker was told another version"
                self.done[self.begun["begin"]] += 1
                self.begun = None

    def after(self, change: dict[str, Any], ids: list[str] | None = None) -> dict[str, Kept]:
        """Return what is kept once the change is made; memories without `ids` get made-up keys."""
        kept, texts = dict(self.kept), change["texts"]
        match change["begin"]:
            case "remember" | "ingest":
                for number, text in enumerate(texts):
                    known = ids[number] if ids else ""
                    kept[known or f"?{number}"] = Kept(known, (text,), 1, change.get("session"))
            case "revise":
                old = kept[change["id"]]
                kept[old.id] = replace(old, texts=(*old.texts, *texts))
            case "restate":
                old = kept[change["id"]]
                kept[old.id] = replace(old, texts=(*old.texts, *texts), sources=old.sources + 1)
            case "forget":
                self.gone[change["id"]] = kept.pop(change["id"]).texts
        return kept

    def settle(self, found: list[Kept]) -> str:
        """Compare with what was found; the change under way is there as a whole, or not at all."""
        if _agree(self.kept, found):
            outcome = "nothing under way" if self.begun is None else "under way: undone"
        else:
            assert self.begun is not None, _difference(self.kept, found)
            made = self.after(self.begun)
            assert _agree(made, found), _difference(made, found)
            outcome = "under way: done"
        self.kept = {each.id: each for each in found}
        self.gone = {each: texts for each, texts in self.gone.items() if each not in self.kept}
        self.begun = None
        return outcome


def _agree(wanted: dict[str, Kept], found: list[Kept]) -> bool:
    return len(wanted) == len(found) and all(a.same(b) for a, b in zip(wanted.values(), found, strict=True))


def _difference(wanted: dict[str, Kept], found: list[Kept]) -> str:
    lost = [each for each in wanted.values() if not any(each.same(other) for other in found)]
    extra = [each for each in found if not any(other.same(each) for other in wanted.values())]
    return f"lost or half-done: {lost[:3]}; not acknowledged: {extra[:3]}"


class Nursery:
    """A process that has imported everything and forks workers; they are reaped by it, by their pids."""

    def __enter__(self) -> Nursery:
        command = [sys.executable, str(WORKER)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()  # closes its input: it kills and reaps whoever is left, and ends

    def start(self, folder: Path, journal: Path, seed: int) -> int:
        return self._ask(f"{folder} {journal} {seed}")

    def reap(self, pid: int) -> int:
        """Return the exit code of a worker that has ended: -9 if it was killed."""
        return self._ask(str(pid))

    def _ask(self, line: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


_STEPS = {"use", "overlap"}
"""Steps of a life that follow from recalling and from saying again; they have lines of their own."""


class Campaign:
    """Kill after kill on one folder. `outcomes` counts in what state the kills left it."""

    def __init__(self, folder: Path, nursery: Nursery, *, seed: int) -> None:
        self.folder, self.journals, self.nursery, self.seed = folder / "store", folder, nursery, seed
        self.random = random.Random(seed)
        self.ledger = Ledger()
        self.outcomes: Counter[str] = Counter()
        self.kills = 0

    def round(self) -> None:
        """Start a worker, kill it, open the folder, check everything."""
        self.kills += 1
        journal = self.journals / f"journal-{self.kills}"
        journal.touch()
        self._kill_one(journal)
        self.ledger.read(journal)
        self._check()

    def _kill_one(self, journal: Path) -> None:
        pid = self.nursery.start(self.folder, journal, self.seed * 1000 + self.kills)
        try:
            if self.random.random() < EARLY:
                self.outcomes["killed at any moment from its start"] += 1
            else:
                self._await(journal, lines=self.random.randint(1, MOST_LINES))
            time.sleep(self.random.choice(LONGEST_S) * self.random.random())
        finally:
            os.kill(pid, signal.SIGKILL)
            code = self.nursery.reap(pid)
        assert code == -signal.SIGKILL, f"the worker ended by itself, with {code}"

    def _await(self, journal: Path, *, lines: int) -> None:
        """Wait until the worker has written so much, however slow the machine is."""
        until = time.monotonic() + PATIENCE_S
        while journal.read_bytes().count(b"\n") < lines:
            assert time.monotonic() < until, "the worker does nothing"
            time.sleep(0.005)

    def _check(self) -> None:
        shift = timedelta(0)

        def clock() -> datetime:
            return utc_now() + shift

        budget = 0 if self.kills % 2 else 64 << 20  # every other time the index has to answer
        with MemOS.open(self.folder, embedder=HashEmbedder(), clock=clock, resident_bytes=budget) as memos:
            cube = memos.cube(CUBE)
            self.outcomes[self.ledger.settle(found(cube, self.folder / CATALOG))] += 1
            self.check_rows()
            self._check_recall(cube)
            if memos.lag():
                self.outcomes["index behind at the opening"] += 1
            memos.drain()
            if memos.lag():  # leased to the dead: free when the lease runs out
                self.outcomes["debt leased to the dead"] += 1
                shift = LEASE
                memos.drain()
            assert memos.lag() == 0
            assert [finding for finding in memos.doctor().findings if not finding.ok] == []
            assert memos._core.index().count() == len(self.ledger.kept)
            self._check_recall(cube)

    def _check_recall(self, cube: MemCube) -> None:
        """Memories are found by their newest mark, and forgotten ones by none of theirs."""
        kept = list(self.ledger.kept.values())
        for each in self.random.sample(kept, min(4, len(kept))):
            mark = each.texts[-1].split()[0]
            assert each.texts[-1] in cube.recall(mark, k=5).texts, f"{mark} is not found"
        gone = list(self.ledger.gone.items())
        for memory_id, texts in self.random.sample(gone, min(3, len(gone))):
            shown = cube.recall(texts[-1].split()[0], k=5).memories
            assert not [memory for memory in shown if memory.id == memory_id or memory.text in texts]

    def check_rows(self) -> None:
        """Look beneath: every memory has all its rows, nothing hangs loose, the audit agrees."""
        with closing(sqlite3.connect(self.folder / CATALOG)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert db.execute("PRAGMA foreign_key_check").fetchall() == []
            seqs = dict(db.execute("SELECT seq, id FROM memories"))
            for table, column in (
                ("versions", "memory_seq"),
                ("sources", "memory_seq"),
                ("vectors", "memory_seq"),
                ("lexical", "rowid"),
            ):
                having = {row for (row,) in db.execute(f"SELECT DISTINCT {column} FROM {table}")}
                assert having == set(seqs), table
            for seq, count, last in db.execute(
                "SELECT memory_seq, COUNT(*), MAX(version) FROM versions GROUP BY 1"
            ):
                assert count == last == len(self.ledger.kept[seqs[seq]].texts)
            audit = Counter(db.execute("SELECT memory_id, verb FROM audit WHERE memory_id IS NOT NULL"))
            self._check_audit(audit)
            assert (
                db.execute("SELECT MAX(change) FROM audit").fetchone()
                <= db.execute("SELECT change FROM cubes").fetchone()
            )

    def _check_audit(self, audit: Counter[tuple[str, str]]) -> None:
        for each in self.ledger.kept.values():
            told = {
                verb: count
                for (memory_id, verb), count in audit.items()
                if memory_id == each.id and verb not in _STEPS
            }
            wanted = {"remember": 1, "revise": len(each.texts) - 1, "restate": each.sources - 1}
            assert told == {verb: count for verb, count in wanted.items() if count}
        erased = {memory_id for memory_id, verb in audit if verb == "forget"}
        assert erased == {memory_id for memory_id, _ in audit} - set(self.ledger.kept)
        assert set(self.ledger.gone) <= erased


def found(cube: MemCube, catalog: Path) -> list[Kept]:
    """Return what a cube shows, as a journal would tell it; `history` itself is asked for the newest ones."""
    with closing(sqlite3.connect(catalog)) as db:
        texts: dict[str, list[str]] = defaultdict(list)
        for memory_id, text in db.execute(
            "SELECT id, v.text FROM versions v JOIN memories ON seq = memory_seq ORDER BY seq, v.version"
        ):
            texts[memory_id].append(text)
        sources = Counter(
            memory_id
            for (memory_id,) in db.execute("SELECT m.id FROM sources JOIN memories m ON seq = memory_seq")
        )
    memories = cube.list()
    for memory in memories[-10:]:
        history = cube.history(memory.id)
        assert [revision.version for revision in history] == list(range(1, memory.version + 1))
        assert [revision.text for revision in history] == texts[memory.id]
    for memory in memories:
        assert (memory.text, memory.version) == (texts[memory.id][-1], len(texts[memory.id]))
    return [Kept(m.id, tuple(texts[m.id]), sources[m.id], m.session) for m in memories]
