"""A process made to be killed: it changes a store for ever, and says when each change begins and is done.

Run as a script it waits for orders (`nurse`). The journal gets a JSON line when the worker is ready,
then two a change, each synced to the disk: the intent before the call, the acknowledgement (what the
call returned) after it.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from memos_core import MemCube, Memory, MemOS, Message
from memos_core.testing import HashEmbedder

CUBE = "crash"
WORDS = "harbour ferry gull violin quartet invoice radiator oven train migration".split()


class Journal:
    """Lines that are on the disk when `write` returns."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, **line: Any) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")
        os.fsync(self._file)


class Worker:
    """Draws one change after the other. Every text is one of a kind, so that it can be told afterwards."""

    def __init__(self, cube: MemCube, journal: Journal, seed: int) -> None:
        self.cube, self.journal, self.seed = cube, journal, seed
        self.random = random.Random(seed)
        self.made = 0
        self.live = [memory.id for memory in cube.list()]

    def run(self) -> None:
        changes = (
            [self.remember] * 4 + [self.ingest] * 2 + [self.revise] * 3 + [self.forget] * 2 + [self.restate]
        )
        while True:
            self.random.choice(changes)()

    def remember(self) -> None:
        text = self.text()
        self.journal.write(begin="remember", texts=[text])
        self.acknowledge([self.cube.remember(text, tags=["kept"])])

    def ingest(self) -> None:
        texts = [self.text() for _ in range(self.random.randint(2, 40))]
        session = f"session {self.random.randint(0, 5)}"
        self.journal.write(begin="ingest", texts=texts, session=session)
        messages = [Message("Mira" if number % 2 else "Ivo", text) for number, text in enumerate(texts)]
        self.acknowledge(self.cube.ingest(messages, session=session))

    def restate(self) -> None:
        """Say again what is known, with a tag that it lacks: a source and a version in one change."""
        if self.live:
            known = self.cube.get(self.random.choice(self.live))
            if known.session is None:
                tag = f"again {self.made}"
                self.made += 1
                self.journal.write(begin="restate", id=known.id, texts=[known.text])
                again = self.cube.remember(known.text, tags=[tag])
                self.journal.write(done=[again.id], versions=[again.version])

    def revise(self) -> None:
        if self.live:
            chosen, text = self.random.choice(self.live), self.text()
            self.journal.write(begin="revise", id=chosen, texts=[text])
            memory = self.cube.revise(chosen, text)
            self.journal.write(done=[memory.id], versions=[memory.version])

    def forget(self) -> None:
        if len(self.live) > 5:
            chosen = self.live.pop(self.random.randrange(len(self.live)))
            self.journal.write(begin="forget", id=chosen, texts=[])
            self.journal.write(done=[self.cube.forget(chosen).memory_id], versions=[0])

    def acknowledge(self, memories: list[Memory]) -> None:
        self.live += [memory.id for memory in memories]
        self.journal.write(
            done=[memory.id for memory in memories], versions=[memory.version for memory in memories]
        )

    def text(self) -> str:
        self.made += 1
        words = " ".join(self.random.choices(WORDS, k=self.random.choice((2, 5, 300))))
        return f"mark{self.seed}x{self.made} {words}"


def work(folder: str, journal: str, seed: str) -> None:
    with MemOS.open(folder, embedder=HashEmbedder()) as memos:
        lines = Journal(Path(journal))
        worker = Worker(memos.cube(CUBE), lines, int(seed))
        lines.write(ready=os.getpid())
        worker.run()


def nurse() -> None:
    """Fork a worker for each line FOLDER JOURNAL SEED and tell its pid; reap one for each line PID.

    The imports are paid once: they take ten times what a worker lives. At the end of the input,
    whoever is left is killed and reaped.
    """
    for module in ("memos_core.tiers.text.milvus", "milvus_lite.db", "milvus_lite.adapter.grpc.servicer"):
        importlib.import_module(module)  # none of them starts a thread: a fork is safe
    alive: set[int] = set()
    for line in sys.stdin:
        match line.split():
            case [folder, journal, seed]:
                pid = os.fork()
                if pid == 0:
                    _live(folder, journal, seed)
                alive.add(pid)
                print(pid, flush=True)
            case [pid]:
                alive.discard(int(pid))
                print(os.waitstatus_to_exitcode(os.waitpid(int(pid), 0)[1]), flush=True)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _live(folder: str, journal: str, seed: str) -> None:
    try:
        work(folder, journal, seed)
    finally:  # it works until it is killed: to come here is to have failed
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    nurse()
