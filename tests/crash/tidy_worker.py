"""A process made to be killed: it consolidates a cube and takes that back, for ever.

Run as a script: `python tidy_worker.py FOLDER`. It prints a line before it consolidates, before it takes
the run back, and when both are done.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from memos_core import Consolidating, MemCube, MemOS, Message
from memos_core.testing import HashEmbedder, InMemoryIndex

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
PAIRS, TURNS = 12, 12
SETTINGS = Consolidating(rest=None, quiet=timedelta(days=7), turns=3, least=6)
THINGS = "apple boat cloud drum eagle fern grape house iron jewel kite lamp".split()


def opened(folder: Path) -> MemOS:
    return MemOS.open(folder, embedder=HashEmbedder(dimensions=16), index=InMemoryIndex(dimensions=16))


def filled(cube: MemCube) -> None:
    """Give the cube what every part of a run finds something in: pairs, a change, an old session."""
    for number in range(PAIRS):
        cube.remember(f"Mira owns {number} drums.")
        cube.remember(f"Mira owns {number} drums")
    cube.remember("Mira lives in Lisbon.", at=BEGIN)
    cube.remember("Mira lives in Porto.", at=BEGIN + timedelta(days=1))
    said = (
        f"The {THINGS[n]} beside the {THINGS[n - 1]} was near the {THINGS[n - 2]} at noon"
        for n in range(TURNS)
    )
    cube.ingest(
        [Message("Mira", text, at=BEGIN + timedelta(minutes=n)) for n, text in enumerate(said)], session="s1"
    )


def anew(memos: MemOS, number: int) -> MemCube:
    """Return a cube of which no run was ever taken back: what was is not done again."""
    cube = memos.cube(f"notes{number}")
    if not cube.count():
        filled(cube)
    return cube


def main(folder: Path) -> None:
    with opened(folder) as memos:
        number = len(memos.cubes())
        while True:
            cube = anew(memos, number)
            print("consolidating", flush=True)
            done = cube.consolidate(SETTINGS)
            print("undoing", flush=True)
            cube.undo(done)
            print("undone", flush=True)
            number += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
