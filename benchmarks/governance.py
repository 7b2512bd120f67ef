"""What asking for rights and purposes costs a recall, and how long erasing and verifying take.

`python -m benchmarks.governance` writes `benchmarks/results/governance.json`. Vectors are cheap ones
of the usual size (384), so that a recall is shorter, and the share of the check larger, than with a model.
Times of the check and of recalls are first deciles over the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.latency.corpus import vocabulary
from benchmarks.latency.machine import machine
from benchmarks.latency.timing import Subject, interleaved, without_collector
from memos_core import MemCube, MemOS, Message, Principal, Right, Where
from memos_core.testing import HashEmbedder
from memos_core.vault.view import View

RESULT = Path(__file__).parent / "results" / "governance.json"
DIMENSIONS = 384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder) / "store") as memos:
        cube = filled(memos.as_principal("ana").cube("notes"), given.memories)
        policy = policy_costs(memos, cube, rounds=given.rounds)
        erasures = erasure_times(memos, cube)
    record = {
        "command": "python -m benchmarks.governance",
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "memories": given.memories,
        "policy": policy,
        "erasures": erasures,
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"policy": policy, "erasures": erasures}, indent=1))


def opened(folder: Path) -> MemOS:
    return MemOS.open(folder, embedder=HashEmbedder(dimensions=DIMENSIONS))


def filled(cube: MemCube, count: int, *, word: str = "n") -> MemCube:
    """Write messages of some twenty words, a hundred to a session."""
    words = vocabulary()
    for start in range(0, count, 100):
        turns = range(start, min(start + 100, count))
        said = [Message("Mira", " ".join(_sentence(words, turn, word)), id=str(turn)) for turn in turns]
        cube.ingest(said, session=f"s{start}", visibility="shared")
    return cube


def _sentence(words: list[str], number: int, word: str) -> list[str]:
    """Return words of which every third is this memory's own."""
    common = [words[(number * 31 + 17 * place * place) % len(words)] for place in range(14)]
    return [
        each
        for place, one in enumerate(common)
        for each in (one, *([f"{word}{number}x{place}"] * (place % 2)))
    ]


def policy_costs(memos: MemOS, cube: MemCube, *, rounds: int) -> list[dict[str, Any]]:
    """Return, for each way of holding a right, what entering takes and which share of a recall that is."""
    ana = memos.as_principal("ana")
    cube.grant("bob", "admin")
    for number in range(50):
        ana.group(f"group {number}", members=["carol", f"somebody {number}"])
    for group in ana.groups():
        cube.grant(group, "admin" if group.name == "group 49" else "read")
    cube.limit(purposes=["support"])
    who = {
        "owner": Principal("ana", purpose="support"),
        "admin by a grant": Principal("bob", purpose="support"),
        "admin by one of 50 groups": Principal("carol", purpose="support"),
    }
    with memos._core.catalog.read() as view:  # a recall has a snapshot open as well
        subjects = {f"enter: {name}": Subject(_entering(view, cube, each)) for name, each in who.items()}
        subjects |= {f"recall: {name}": Subject(_recalling(memos, cube, each)) for name, each in who.items()}
        taken = interleaved(subjects, rounds=rounds)
    cube_again = memos.as_principal("ana", purpose="support").cube("notes")
    cube_again.limit()
    rows = []
    for name in who:
        enter = _quiet(taken[f"enter: {name}"])
        recall = _quiet(taken[f"recall: {name}"])
        rows.append(
            {
                "who": name,
                "check_ms": round(1000 * enter, 4),
                "recall_ms": round(1000 * recall, 3),
                "share_of_a_recall": f"{enter / recall:.1%}",
            }
        )
    return rows


def _quiet(taken: list[float]) -> float:
    """Return the first decile: on a machine that others use as well, it is nearest to what the work takes."""
    return statistics.quantiles(taken, n=10)[0]


def _entering(view: View, cube: MemCube, who: Principal) -> Callable[[int], object]:
    """Return what looks up cube, rights and purpose."""
    return lambda _round: view.enter(cube.id, who, Right.READ)


def _recalling(memos: MemOS, cube: MemCube, who: Principal) -> Callable[[int], object]:
    asking = MemCube(memos._core, cube._header, who)
    words = vocabulary()
    return lambda number: asking.recall(
        f"{words[number % len(words)]} {words[(7 * number) % len(words)]}", k=10
    )


def erasure_times(memos: MemOS, cube: MemCube) -> list[dict[str, Any]]:
    """Return the seconds of erasing, of overwriting the bytes (a drain) and of verifying."""
    memos.drain()
    ana = memos.as_principal("ana")
    other = filled(ana.cube("doomed"), 1000, word="d")
    memos.drain()
    first = cube.list(limit=1)[0]
    acts: dict[str, Callable[[], Any]] = {
        "one memory": lambda: cube.forget(first.id),
        "100 by a filter": lambda: cube.forget(where=Where(sessions=("s100",))),
        f"a cube of {other.count():,}": lambda: ana.forget_cube("doomed"),
        "a person who said the rest": lambda: ana.forget_principal("Mira"),
    }
    rows = []
    with without_collector():
        for name, act in acts.items():
            receipt, erase = _timed(act)
            _, drain = _timed(memos.drain)
            check, verify = _timed(lambda receipt=receipt: ana.verify_erasure(receipt))
            if not check.ok:
                raise AssertionError(f"{name}: {check.residues[:3]}")
            rows.append(
                {
                    "erased": name,
                    "memories": len(receipt.memories),
                    "erase_s": round(erase, 3),
                    "overwrite_s": round(drain, 3),
                    "verify_s": round(verify, 3),
                    "pieces": check.looked_for,
                    "mib_searched": round(check.size / 2**20, 1),
                }
            )
    return rows


def _timed(act: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    found = act()
    return found, time.perf_counter() - begin


if __name__ == "__main__":
    main()
