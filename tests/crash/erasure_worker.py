"""A process made to be killed: it fills a cube, has segments built from it, erases it, for ever.

Run as a script: `python erasure_worker.py FOLDER SEED`. It prints a line when it begins to work.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from memos_core import MemOS, Message, Runtime
from memos_core.testing import HashEmbedder, InMemoryIndex, ScriptedEngine

MEMORIES = 300
WORD = "xylotomous"


def opened(folder: Path) -> MemOS:
    return MemOS.open(folder, embedder=HashEmbedder(dimensions=16), index=InMemoryIndex(dimensions=16))


def main(folder: Path, seed: int) -> None:
    with opened(folder) as memos, Runtime(ScriptedEngine()) as runtime:
        print("at work", flush=True)
        for number in itertools.count():
            cube = memos.cube("doomed")
            if not cube.count():
                text = f"The {WORD} thing of {seed} and {number}"
                cube.ingest([Message("Mira", f"{text}, turn {turn}") for turn in range(MEMORIES)])
            runtime.build(cube, budget=4096)
            memos.forget_cube("doomed")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
