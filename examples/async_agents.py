"""Four agents in one event loop share a cube: a board where jobs are posted, taken and finished.

Nobody talks to anybody. Each looks for what suits it, takes it with `expected=`, and the one who
was slower learns it from `Conflict`: compare and set, without a lock or a server.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence

from memos_core import AsyncMemCube, AsyncMemOS, Conflict, Where

JOBS = (
    "Mend the roof over room 4, where the rain comes in.",
    "Count the salt in the cellar.",
    "Carry the mapmaker's trunk to the loft.",
    "Bring the goats in before the storm.",
    "Write to the guild about the bridge.",
    "Oil the hinges of the stable door.",
)
AGENTS = {
    "Tam": "carpentry, roofs, doors and hinges",
    "Wren": "goats and other animals",
    "Dorrin": "salt, counting, carrying heavy things",
    "Pell": "letters and writing",
}
OPEN = Where(kinds=("open",))


async def work(name: str, skill: str, board: AsyncMemCube) -> int:
    """Take the open job that suits best, again and again, until none is left; return how many."""
    done = 0
    while found := await board.recall(skill, k=1, where=OPEN):
        job = found[0].memory
        try:
            await board.revise(
                job.id, f"{name} took it: {job.text}", kind="taken", tags=[name], expected=job.version
            )
        except Conflict:
            continue  # somebody was faster; look again
        print(f"  {name:<7} takes  {job.text}")
        await asyncio.sleep(0.2)  # the work itself
        done += 1
    return done


async def main() -> None:
    """Post the jobs, let everybody work, read the board."""
    with tempfile.TemporaryDirectory() as folder:
        async with await AsyncMemOS.open(folder, principal="inn") as memos:
            board = await memos.cube("board")
            await asyncio.gather(*(board.remember(job, kind="open") for job in JOBS))
            print(f"{len(JOBS)} jobs on the board, {len(AGENTS)} agents:\n")
            counts: Sequence[int] = await asyncio.gather(
                *(work(name, skill, board) for name, skill in AGENTS.items())
            )
            print("\nWho did what:")
            for name, count in zip(AGENTS, counts, strict=True):
                jobs = await board.list(tags=[name])
                print(f"  {name:<7} {count}  " + "; ".join(job.text.partition(": ")[2] for job in jobs))


if __name__ == "__main__":
    asyncio.run(main())
