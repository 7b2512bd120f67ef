"""Load broken files into real stores, one after the other, and look at what they leave."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from memos_core import Entry, MemCube, MemOS, MemOSError, Message, Runtime, SigningKey
from memos_core.testing import HashEmbedder, InMemoryIndex, ScriptedEngine
from tests.properties.memcube_mutations import mutated

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
POLICIES = ("fail", "skip", "replace", "keep_both")
CHECK_EVERY = 500
FRESH_EVERY = 4000  # loads that one store has to live through before the next store begins
OPEN = (*["small"] * 4, *["full"] * 4, *["bare"] * 6, *["signed"] * 2)  # how often each is changed
SEALED = 0.005  # share of sealed files: each costs a third of a second for its key
PASSPHRASE = "a word"
KEY = SigningKey(bytes(32))


class Campaign:
    """File after file into one store after the other. `outcomes` counts what became of them."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.outcomes: Counter[str] = Counter()
        self._engine = ScriptedEngine().identity
        self._files = _sound(folder / "sound")
        self._stores = 0
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def _begin(self) -> None:
        """Go on with a new store."""
        self._opened.close()
        self._stores += 1
        self._memos = self._opened.enter_context(_opened(self.folder / f"store-{self._stores}"))
        self._memos.cube("mine").remember("a memory that no file may touch")

    def rounds(self, count: int) -> None:
        for number in range(count):
            self.round(number)

    def round(self, number: int) -> None:
        """Load one broken file."""
        draw = random.Random(f"{self.seed} {number}")
        file = self.folder / "broken.memcube"
        if draw.random() < SEALED:
            file.write_bytes(_resealed(self._files["sealed"], draw))
        else:
            file.write_bytes(mutated(self._files[draw.choice(OPEN)], draw))
        try:
            self._memos.load(
                file,
                name=draw.choice((None, "a", "b")),
                on_conflict=draw.choice(POLICIES),
                passphrase=PASSPHRASE,
                engines=[self._engine],
            )
        except MemOSError as exc:
            self.outcomes[type(exc).__name__] += 1
        else:
            self.outcomes["loaded"] += 1
        if (number + 1) % CHECK_EVERY == 0:
            self.check()
        if (number + 1) % FRESH_EVERY == 0:
            self._begin()

    def check(self) -> None:
        """Look at the store and around it."""
        around = {path.name for path in self.folder.iterdir()}
        stores = {f"store-{number + 1}" for number in range(self._stores)}
        assert around <= {"sound", "broken.memcube", *stores}, f"outside: {sorted(around)}"
        inside = {path.name for path in (self.folder / f"store-{self._stores}").iterdir()}
        ours = {"catalog.db", "catalog.db-wal", "catalog.db-shm", "blobs", "lock", "lock.pid"}
        assert inside <= ours, f"left over: {sorted(inside - ours)}"
        assert [memory.text for memory in self._memos.cube("mine").list()] == [
            "a memory that no file may touch"
        ]
        for cube in self._memos.cubes():
            for memory in cube.list(limit=20):
                told = [revision.version for revision in cube.history(memory.id)]  # some may be erased
                assert told == sorted(set(told)), told
                assert told[-1] == memory.version
            cube.recall("harbour", k=3)
        bad = [finding for finding in self._memos.doctor().findings if not finding.ok]
        assert bad == [], bad


def _opened(folder: Path) -> MemOS:
    return MemOS.open(folder, embedder=HashEmbedder(dimensions=16), index=InMemoryIndex(dimensions=16))


def _resealed(sound: bytes, draw: random.Random) -> bytes:
    """Return the sealed file with some bytes changed: its content cannot be reached from outside."""
    data = bytearray(sound)
    for _ in range(draw.randrange(0, 3)):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(data[: draw.choice((len(data), draw.randrange(len(data))))])


def _sound(folder: Path) -> dict[str, bytes]:
    """Return the sound files that everything begins with."""
    with _opened(folder) as memos, Runtime(ScriptedEngine()) as runtime:
        small, full = memos.cube("small"), _filled(memos.cube("full"))
        small.remember("the harbour")
        runtime.build(full)
        dumps = {
            "small": small.dump(folder / "small.memcube"),
            "full": full.dump(folder / "full.memcube"),
            "bare": full.dump(folder / "bare.memcube", vectors=False, segments=False),
            "signed": full.dump(folder / "signed.memcube", sign=KEY, segments=False),
            "sealed": small.dump(folder / "sealed.memcube", passphrase=PASSPHRASE),
        }
        return {name: dump.path.read_bytes() for name, dump in dumps.items()}


def _filled(cube: MemCube) -> MemCube:
    one, two = cube.remember("the harbour is deep", tags=["sea"], at=NOON), cube.remember("the old key")
    cube.revise(two.id, "the older key")
    cube.link(one.id, "supersedes", two.id)
    cube.ingest([Message("Ana", "hello", id="m1", at=NOON), Message("Bo", "yes")], session="s1")
    cube.freeze(cube.remember("kept").id)
    cube.archive(cube.remember("away").id)
    cube.records.put(
        [
            Entry(key="k", data={"n": [1, {"x": None}]}, texts=["salt"]),
            Entry(key="b", data={}, ttl=timedelta(days=9)),
        ]
    )
    return cube
