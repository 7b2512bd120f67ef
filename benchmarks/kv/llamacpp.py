"""What a restored slot saves on llama.cpp: `python -m benchmarks.kv.llamacpp`.

For each number of memory tokens, with 32 tokens of a question behind them: the first token after computing
the whole prompt, after putting the memories' state back from RAM, and from its file on disk.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.latency.machine import machine
from memos_core import demo
from memos_core.reply import Sampling
from memos_core.segment import segment_header
from memos_core.tiers.kv.llamacpp import LlamaCppEngine
from memos_core.tiers.kv.llamacpp_state import SlotState

RESULT = Path(__file__).parents[1] / "results" / "kv_llamacpp.json"
LENGTHS, QUERY = (128, 256, 512, 1024, 2048), 32
_ONE = Sampling(max_tokens=1)


def measured(lengths: list[int], *, rounds: int, threads: int) -> dict[str, Any]:
    """Return the record of a run."""
    engine = LlamaCppEngine.open(threads=threads, context=max(lengths) + QUERY + 256)
    try:
        ids = _ids(engine, max(lengths) + QUERY)
        for _ in engine.generate(ids[:64], [], _ONE):  # the first computation also reads the weights
            pass
        rows = [_row(engine, ids[:length] + ids[-QUERY:], length, rounds=rounds) for length in lengths]
    finally:
        engine.close()
    record: dict[str, Any] = {"machine": machine(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
    record["machine"]["versions"] |= {"xllamacpp": version("xllamacpp")}
    return record | {
        "command": "python -m benchmarks.kv.llamacpp",
        "about": f"SmolLM2-135M-Instruct Q4_1 on llama.cpp, {threads} thread(s), f16 cache, with {QUERY} "
        "tokens of a question behind the memories. Milliseconds to the first token are medians of "
        f"{rounds} runs, taken in turns; a gain is the median of the runs' own ratios to computing it all. "
        f"Load average at the end: {os.getloadavg()[0]:.1f}.",
        "rows": rows,
    }


def _ids(engine: LlamaCppEngine, count: int) -> tuple[int, ...]:
    """Return as many tokens of the demo's conversation, repeated if need be."""
    talk = "".join(f"{line['speaker']}: {line['text']}\n" for line in _demo_lines())
    ids = engine.encode([talk], []).ids
    while len(ids) < count:
        ids += ids
    return ids[:count]


def _demo_lines() -> list[dict[str, str]]:
    path = Path(demo.__file__).with_name("innkeeper.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _row(engine: LlamaCppEngine, ids: tuple[int, ...], length: int, *, rounds: int) -> dict[str, Any]:
    began = time.perf_counter()
    state = engine.prefill(ids[:length], [])
    built = time.perf_counter() - began
    header = segment_header(engine.identity, salt="", parent="", start=0, ids=ids[:length], sources=[])
    full, warm, cold, save, restore = [], [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "segment")
        path.write_bytes(engine.codec.pack(state, header))
        size = path.stat().st_size
        for _ in range(rounds):
            full.append(_seconds(lambda: _first(engine, ids, [])))
            warm.append(_seconds(lambda: _first(engine, ids, [state])))
            cold.append(_seconds(lambda: _first(engine, ids, [engine.codec.unpack(path, header)])))
            restore.append(_seconds(lambda: engine._server.restore(state.data)))
            save.append(_seconds(lambda: engine._server.save(length)))
    row = {
        "memory_tokens": length,
        "full_ms": _ms(full),
        "warm_ms": _ms(warm),
        "cold_ms": _ms(cold),
        "warm_gain": _gain(full, warm),
        "cold_gain": _gain(full, cold),
        "build_ms": round(built * 1e3, 1),
        "save_ms": _ms(save),
        "restore_ms": _ms(restore),
        "bytes_a_token": round(size / length),
    }
    print(row, flush=True)
    return row


def _first(engine: LlamaCppEngine, ids: tuple[int, ...], base: list[SlotState]) -> None:
    next(iter(engine.generate(ids, base, _ONE)), None)


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _ms(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1e3, 1)


def _gain(full: list[float], less: list[float]) -> float:
    return round(statistics.median(over / under for over, under in zip(full, less, strict=True)), 1)


def main() -> None:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kv.llamacpp", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS))
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    record = measured(arguments.lengths, rounds=arguments.rounds, threads=arguments.threads)
    arguments.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(arguments.out)


if __name__ == "__main__":
    main()
