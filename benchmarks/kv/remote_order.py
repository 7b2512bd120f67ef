"""What a stable order of memories gains on a server: `python -m benchmarks.kv.remote_order`.

One talk of several turns over a cube, asked of a local llama.cpp server that keeps the prompt before. The
memories in the prompt are the same in both orders; only their order differs: best first for the question,
as recall gives them, or the same in every turn. Answers in the history are fixed, so prompts are, too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.kv.local_server import local_server
from benchmarks.latency.machine import machine
from memos_core import Memory, MemOS, demo
from memos_core.inference import Turn
from memos_core.reply import Sampling
from memos_core.tiers.kv.remote import RemoteModel

RESULT = Path(__file__).parents[1] / "results" / "kv_remote_order.json"
_HEAD = "You keep the inn The Heron's Elbow. Answer in one sentence from these notes.\n"
_QUESTIONS = (
    "Which room does Ysolde sleep in?",
    "What should not be in her cider?",
    "Who painted the sign outside?",
    "What does a bed cost a night?",
    "What is Ysolde's trade?",
    "Which river does she draw?",
)

Order = Callable[[Sequence[Memory]], list[Memory]]


class Asked(NamedTuple):
    """One turn as the server told it."""

    seconds: float  # to the first piece of text
    prompt: int  # tokens
    cached: int  # of these, not computed


def measured(*, memories: int, top: int, runs: int, threads: int) -> dict[str, Any]:
    """Return the record of a run."""
    sets = {f"all {memories} memories": memories, f"the best {top} of them": top}
    orders: dict[str, Order] = {
        "as recalled": list,
        "stable": lambda hits: sorted(hits, key=lambda each: each.id),
    }
    found: dict[tuple[str, str], list[list[Asked]]] = {(each, order): [] for each in sets for order in orders}
    with tempfile.TemporaryDirectory() as folder, MemOS.open(folder) as memos:
        cube = memos.cube("inn")
        for line in _lines()[:memories]:
            cube.remember(f"{line['speaker']}: {line['text']}")
        recalled = [[hit.memory for hit in cube.recall(question, k=memories)] for question in _QUESTIONS]
    with local_server(context=4096, threads=threads) as server:
        model = RemoteModel(model=server.model, base_url=server.base_url, api_key=server.api_key)
        for _ in range(runs):
            for (each, order), told in found.items():
                _forget(model)
                told.append(_talk(model, [orders[order](hits[: sets[each]]) for hits in recalled]))
                print(each, order, [round(turn.seconds, 2) for turn in told[-1]], flush=True)
        model.close()
    return _record(found, list(sets), runs=runs, threads=threads)


def _lines() -> list[dict[str, str]]:
    path = Path(demo.__file__).with_name("innkeeper.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _forget(model: RemoteModel) -> None:
    """Leave another prompt in the server's slot, so that each talk begins alike."""
    for _ in model.complete(["Something else."], [Turn("user", "Well?")], Sampling(max_tokens=1)):
        pass


def _talk(model: RemoteModel, shown: Sequence[Sequence[Memory]]) -> list[Asked]:
    turns, told = [], []
    for question, memories in zip(_QUESTIONS, shown, strict=True):
        turns.append(Turn("user", question))
        parts = [_HEAD, *(f"- {memory.text}\n" for memory in memories)]
        began = time.perf_counter()
        answer = model.complete(parts, turns, Sampling(max_tokens=4))
        next(answer, None)
        seconds = time.perf_counter() - began
        for _ in answer:
            pass
        told.append(Asked(seconds, answer.prompt_tokens or 0, answer.cached_tokens or 0))
        turns.append(Turn("assistant", "It is as the notes say."))
    return told


def _record(
    found: dict[tuple[str, str], list[list[Asked]]], sets: list[str], *, runs: int, threads: int
) -> dict[str, Any]:
    record: dict[str, Any] = {"machine": machine(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
    record["machine"]["versions"] |= {"xllamacpp": version("xllamacpp"), "openai": version("openai")}
    record |= {
        "command": "python -m benchmarks.kv.remote_order",
        "about": f"SmolLM2-135M-Instruct Q4_1 behind llama.cpp's server, one slot, {threads} thread(s), a "
        f"talk of {len(_QUESTIONS)} turns, medians of the turns after the first and of {runs} runs. A gain "
        "is the median of the ratios of the same turn in the same run: as recalled / stable. "
        f"Load average at the end: {os.getloadavg()[0]:.1f}.",
    }
    rows = []
    for each in sets:
        recalled, stable = (_later(found[each, order]) for order in ("as recalled", "stable"))
        gain = statistics.median(
            over.seconds / under.seconds for over, under in zip(recalled, stable, strict=True)
        )
        for order, turns in (("as recalled", recalled), ("stable", stable)):
            rows.append(_row(each, order, turns) | {"gain": round(gain, 1) if order == "stable" else 1.0})
    return record | {"rows": rows}


def _later(runs: Sequence[Sequence[Asked]]) -> list[Asked]:
    return [turn for run in runs for turn in run[1:]]


def _row(memories: str, order: str, turns: Sequence[Asked]) -> dict[str, Any]:
    return {
        "memories": memories,
        "order": order,
        "first_token_ms": round(statistics.median(turn.seconds for turn in turns) * 1e3),
        "prompt_tokens": round(statistics.median(turn.prompt for turn in turns)),
        "cached_tokens": round(statistics.median(turn.cached for turn in turns)),
        "cached_share": round(statistics.median(turn.cached / turn.prompt for turn in turns), 3),
    }


def main() -> None:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kv.remote_order", description=__doc__)
    parser.add_argument("--memories", type=int, default=16)
    parser.add_argument("--top", type=int, default=6)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    record = measured(memories=given.memories, top=given.top, runs=given.runs, threads=given.threads)
    given.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(given.out)


if __name__ == "__main__":
    main()
