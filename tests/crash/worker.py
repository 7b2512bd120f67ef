"""A process made to be killed: it changes a store for ever, and says when each change begins and is done.

`python worker.py FOLDER JOURNAL SEED`. The journal gets two JSON lines a change, each synced to the
disk: the intent before the call, the acknowledgement (what the call returned) after it.
"""

from __future__ import annotations

import json
import os
import random
import sys
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


def main(folder: str, journal: str, seed: str) -> None:
    with MemOS.open(folder, embedder=HashEmbedder()) as memos:
        worker = Worker(memos.cube(CUBE), Journal(Path(journal)), int(seed))
        print("ready", flush=True)
        worker.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
