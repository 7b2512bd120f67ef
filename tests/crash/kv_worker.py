"""A process made to be killed: it changes a cube and has segments built from it, for ever.

Run as a script: `python kv_worker.py FOLDER SEED`. It prints a line when it begins to work.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from memos_core import MemOS, Runtime
from memos_core.testing import HashEmbedder, InMemoryIndex, ScriptedEngine

BUDGET = 100_000


def opened(folder: Path) -> MemOS:
    return MemOS.open(folder, embedder=HashEmbedder(dimensions=16), index=InMemoryIndex(dimensions=16))


def main(folder: Path, seed: int) -> None:
    draw = random.Random(seed)
    with opened(folder) as memos, Runtime(ScriptedEngine()) as runtime:
        cube = memos.cube("crash")
        print("at work", flush=True)
        while True:
            memories = cube.list()
            if len(memories) < 20 or draw.random() < 0.4:
                cube.remember(f"Fact {draw.random()}: " + "something that fills a segment. " * 20)
            elif draw.random() < 0.5:
                cube.forget(draw.choice(memories).id)
            else:
                cube.revise(draw.choice(memories).id, f"Revised {draw.random()}: " + "and longer. " * 30)
            runtime.chat("What?", cube, budget=BUDGET)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
