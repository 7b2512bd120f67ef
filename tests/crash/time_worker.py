"""A process made to be killed: it rolls a cube back and forth, or merges a fork into it, for ever."""

from __future__ import annotations

import sys
from itertools import count

from memos_core import MemCube, MemOS
from memos_core.testing import HashEmbedder, InMemoryIndex

CUBE, FORK, MANY = "crash", "twig", 12


def opened(folder: str) -> MemOS:
    return MemOS.open(folder, embedder=HashEmbedder(dimensions=64), index=InMemoryIndex(dimensions=64))


def prepared(folder: str) -> None:
    """Make a cube with two states, "a" and "b", and a fork of it."""
    with opened(folder) as memos:
        cube = memos.cube(CUBE)
        kept = [cube.remember(f"first words, number {number}") for number in range(MANY)]
        cube.snapshot("a")
        for memory in kept:
            cube.revise(memory.id, memory.text.replace("first", "other"))
        cube.remember("something new")
        cube.snapshot("b")
        cube.fork(FORK)


def roll(cube: MemCube) -> None:
    for number in count():
        cube.rollback("ab"[number % 2])


def merge(cube: MemCube, fork: MemCube) -> None:
    ids = [memory.id for memory in fork.list()[:MANY]]
    for number in count(1):
        for memory_id in ids:
            fork.revise(memory_id, f"words of round {number}")
        cube.merge(fork, on_conflict="theirs")


def main(folder: str, what: str) -> None:
    with opened(folder) as memos:
        cube = memos.cube(CUBE)
        print("ready", flush=True)
        if what == "roll":
            roll(cube)
        else:
            merge(cube, memos.cube(FORK))


if __name__ == "__main__":
    main(*sys.argv[1:])
