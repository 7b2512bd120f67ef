"""The same through the whole Runtime: a cube on the disk, its catalog asked, its segments attached."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.kv.page_cache import uncached
from benchmarks.kv.stored import ONE, figures, quartiles
from benchmarks.kv.told import BUDGET
from benchmarks.latency.timing import Samples, Subject, interleaved
from memos_core import MemCube, MemOS, Reply, Runtime
from memos_core.inference import AnyEngine

_LEVELS = {"full": "", "first": "", "hot": "device", "cold": "disk"}
"""The level that a reply's states have to come from."""


def through_runtime(
    engine: AnyEngine, memos: MemOS, cube: MemCube, question: str, *, rounds: int, warm_up: int = 1
) -> dict[str, Any]:
    """Return the row of one prompt, asked of the whole cube.

    "full" reuses nothing, "first" finds nothing stored and stores it, "hot" finds the states in RAM,
    and "cold" is a runtime that finds them on the disk only. Times are `Reply.first_token`; "build"
    is `Runtime.build`, and `took_ms` that of the whole call, in which "first" stores what it made.
    """
    runtime = Runtime(engine)
    replies: dict[str, list[Reply]] = {name: [] for name in _LEVELS}
    cold: list[bool] = []

    def asked(name: str, runtime_of: Callable[[], Runtime], *, reuse: bool = True) -> Callable[[int], None]:
        def run(_round: int) -> None:
            reply = runtime_of().chat(question, cube, budget=BUDGET, sampling=ONE, reuse=reuse)
            if reply.reuse.level != _LEVELS[name]:
                raise RuntimeError(f"{name!r} was served from {reply.reuse.level!r}: nothing to time")
            replies[name].append(reply)

        return run

    def evict(_round: int) -> None:
        memos.evict(memos.segments(cube))

    def uncache(_round: int) -> None:
        cold.append(all(map(uncached, (memos._core.folder / "blobs").glob("??/*"))))

    runtime.build(cube, budget=BUDGET)
    taken = interleaved(
        {
            "full": Subject(asked("full", lambda: runtime, reuse=False)),
            "first": Subject(asked("first", lambda: runtime), evict),
            "hot": Subject(asked("hot", lambda: runtime)),
            "cold": Subject(asked("cold", lambda: Runtime(engine)), uncache),
            "build": Subject(lambda _: runtime.build(cube, budget=BUDGET), evict),
        },
        rounds=rounds,
        warm_up=warm_up,
    )
    firsts = {name: [reply.first_token for reply in all_[warm_up:]] for name, all_ in replies.items()}
    last = replies["hot"][-1]
    return {
        "memory_tokens": last.reuse.tokens,
        "query_tokens": last.prompt_tokens - last.reuse.tokens,
        "memories": len(last.memories),
        "segments": last.reuse.segments,
        "same_text": len({reply.text for all_ in replies.values() for reply in all_}) == 1,
        "from_disk": all(cold),
        **figures(firsts | {"build": taken["build"]}),
        "took_ms": {name: quartiles([each * 1e3 for each in times]) for name, times in taken.items()},
        "uses_that_repay_the_first": _repaying(taken, firsts),
    }


def _repaying(taken: Samples, firsts: Samples) -> float:
    """Return how many hot prompts repay what "first" took longer than "full"."""
    rounds = zip(taken["first"], taken["full"], firsts["full"], firsts["hot"], strict=True)
    return round(statistics.median((first - plain) / (full - hot) for first, plain, full, hot in rounds), 2)
