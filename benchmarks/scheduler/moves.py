"""The moves over time: `python -m benchmarks.scheduler.moves` writes docs/howto/moves.json and moves.svg.

A day of a made-up trace is replayed under the policy by cost, with a tenth of the room that everything
takes. Each row of the picture is a cube; a bar is as dark as much of its states is there, a dot is a
question.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.latency.machine import machine
from benchmarks.scheduler.house import Constants, House
from benchmarks.scheduler.replay import budget_of
from benchmarks.scheduler.traces import DAY, Trace, drifting
from memos_core.scheduler.moves import Move, MoveKind
from memos_core.scheduler.policies import COST, Policy
from memos_core.scheduler.stats import Budget, Tier

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "docs" / "howto" / "moves.json"
PICTURE = ROOT / "docs" / "howto" / "moves.svg"
SEED, CUBES, SHARE = 7, 12, 0.1
CONSTANTS = Constants(put=5e-9, key_load=2e-4, key_size=2426)
LEFT, WIDTH, ROW, TOP = 70, 820, 22, 40


class Watched(House):
    """A house that notes, after each question and move, which share of each cube has states."""

    def __init__(self, trace: Trace, constants: Constants, budget: Budget, policy: Policy) -> None:
        super().__init__(trace, constants, budget, policy)
        self.noted: list[dict[str, Any]] = []

    def _do(self, move: Move) -> None:
        super()._do(move)
        if move.tier is Tier.KV:
            kind = "trim" if move.kind is MoveKind.EVICT and move.leaves else move.kind.value
            self.noted.append(self._note(move.cube, kind, move.reason))

    def _put(self, room: Any) -> float:
        asked = self.stored or room.uses.at == self.now
        if asked and room.covered:
            self.noted.append(self._note(room.name, "asked", ""))
        return super()._put(room)

    def _note(self, name: str, what: str, why: str) -> dict[str, Any]:
        room = self.rooms[name]
        share = round(room.covered / room.tokens, 3)
        return {"at": round(self.now, 1), "cube": name, "what": what, "share": share, "why": why}


def watched() -> list[dict[str, Any]]:
    """Return what happened to the states of each cube over the day, in the order of time."""
    trace = drifting(seed=SEED, cubes=CUBES, days=1, per_day=60)
    house = Watched(trace, CONSTANTS, budget_of(trace, CONSTANTS, SHARE), COST)
    house.replayed()
    return house.noted


def drawn(noted: Sequence[dict[str, Any]]) -> str:
    """Return the picture as SVG."""
    cubes = sorted({each["cube"] for each in noted}, key=lambda name: int(name.split()[-1]))
    height = TOP + ROW * len(cubes) + 30
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 20} {height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{LEFT + WIDTH + 20}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20">A day of questions (dots) to {len(cubes)} cubes; bars are stored states, '
        "as dark as much of the cube is there</text>",
    ]
    for hour in range(0, 25, 4):
        x = LEFT + WIDTH * hour / 24
        lines.append(f'<path d="M{x:.1f} {TOP - 6}V{height - 24}" stroke="#dddddd"/>')
        lines.append(f'<text x="{x:.1f}" y="{height - 10}" text-anchor="middle">{hour}:00</text>')
    for row, cube in enumerate(cubes):
        y = TOP + ROW * row
        lines.append(f'<text x="4" y="{y + 13}">{cube}</text>')
        lines += _row(y, [each for each in noted if each["cube"] == cube])
    return "\n".join([*lines, "</svg>", ""])


def _row(y: int, noted: Sequence[dict[str, Any]]) -> Iterator[str]:
    ends = [each["at"] for each in noted[1:]] + [DAY]
    for each, end in zip(noted, ends, strict=True):
        x, until = _across(each["at"]), _across(end)
        if each["share"] > 0:
            yield (
                f'<rect x="{x:.1f}" y="{y + 3}" width="{max(until - x, 0.5):.1f}" height="{ROW - 8}" '
                f'fill="#2060a0" fill-opacity="{0.15 + 0.6 * each["share"]:.2f}"/>'
            )
    for each in noted:
        if each["what"] == "asked":
            yield f'<circle cx="{_across(each["at"]):.1f}" cy="{y + 10}" r="1.6" fill="#202020"/>'


def _across(at: float) -> float:
    return LEFT + WIDTH * min(at, DAY) / DAY


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scheduler.moves", description=__doc__)
    parser.parse_args()
    noted = watched()
    record = {
        "command": "python -m benchmarks.scheduler.moves",
        "machine": machine(),
        "setting": {"seed": SEED, "cubes": CUBES, "share": SHARE},
        "noted": noted,
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    PICTURE.write_text(drawn(noted), encoding="utf-8")
    print(f"{len(noted)} notes, {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
