"""One of several processes over one store: it says, works and recalls as it is told.

`python -m tests.integration.sharing_process FOLDER CATALOG INDEX` reads orders from standard input, a JSON
list each, and answers each with a line of JSON; the first line is its process id.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from memos_core import Extracted, MemOS, Message, Passage
from memos_core.testing import HashEmbedder


class Echo:
    """An extractor by rule: it states of each turn who told of what, and which process read that."""

    identity = "extractor:echo"

    def extract(self, passages: Sequence[Passage], *, context: Sequence[Passage] = ()) -> list[Extracted]:
        return [
            Extracted(
                text=f"{each.speaker} told of {each.text.split()[-1]} to {os.getpid()}", found_in=(each.id,)
            )
            for each in passages
        ]


class Sharer:
    """An open store, and what it is told to do with it."""

    def __init__(self, memos: MemOS, undo: ExitStack) -> None:
        self.memos, self.undo = memos, undo
        self.cube = memos.cube("shared")

    def says(self, text: str) -> None:
        self.cube.ingest([Message("Mira", text)], session="s")

    def works(self) -> None:
        """Start a worker's thread; it ends with the process."""
        self.undo.enter_context(self.memos.worker(kinds=["extract"]))

    def hears(self, question: str) -> list[str]:
        return sorted(hit.memory.text for hit in self.cube.recall(question, k=9))

    def counts(self) -> dict[str, int]:
        states = [job.state.value for job in self.memos.jobs.list(cube=self.cube)]
        return {state: states.count(state) for state in states}

    def drains(self) -> int:
        self.memos.drain()
        return self.memos.lag()


def main(folder: str, catalog: str, index: str) -> None:
    with ExitStack() as undo:
        memos = undo.enter_context(
            MemOS.open(
                folder,
                catalog=catalog,
                index=index,
                jobs="procrastinate",
                embedder=HashEmbedder(dimensions=64),
                extractor=Echo(),
            )
        )
        sharer = Sharer(memos, undo)
        print(json.dumps(os.getpid()), flush=True)
        for line in sys.stdin:
            verb, *given = json.loads(line)
            print(json.dumps(getattr(sharer, verb)(*given)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
