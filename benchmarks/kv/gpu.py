"""What a stored prefix saves on a GPU, to the first token: `benchmarks/results/kv_gpu.json`.

`python -m benchmarks.kv.gpu [--shape qwen3-8b,qwen3-32b] [--device cuda] [--rounds 7]`

Models in the shape of Qwen3-8B and Qwen3-32B with random weights in bfloat16, made on the device: they
need 17 and 66 GB of its memory, and no download. Contexts of 583, 2,773 and 6,064 tokens and queries of
167, 303 and 953 are those of the reference's published table (an H800, Qwen3, vLLM aside). What is timed:

- full: everything is computed, nothing attached;
- build: the segments are computed one after the other, packed, and written to the disk durably;
- hot: the states are on the device;
- warm: they are in pinned memory of the host, and are copied to the device first;
- cold: they are read from files, with the page cache emptied of them, checksums compared, and copied
  to the device.

`--shape tiny --device cpu` runs the same code anywhere, in seconds; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.kv.random_model import SHAPES, random_engine, weights_of
from benchmarks.kv.stored import Stored, Way, chain, rows
from benchmarks.kv.ttft import numbers
from benchmarks.kv.ttft_table import rendered_gpu
from benchmarks.latency.machine import machine
from memos_core.tiers.kv.hf import HfEngine
from memos_core.tiers.kv.hf_mover import Mover
from memos_core.tiers.kv.states import TensorState
from memos_core.vault.blobs import Blobs

RESULT = Path(__file__).parents[1] / "results" / "kv_gpu.json"
CONTEXTS, QUERIES, ROUNDS, WARM_UP = (583, 2773, 6064), (167, 303, 953), 7, 2
REFERENCE_CUT = (79.1, 94.2)  # %, of its long rows, load not counted
SEGMENT = 400  # tokens; about what a part of the Runtime's has
_BYTES = 256  # ids are drawn from these: time does not depend on which
_DESCRIPTION = "The time to a first token on a GPU, with and without a stored prefix."
Say = Callable[[str], None]


def measured(
    engine: HfEngine,
    mover: Mover,
    *,
    contexts: Sequence[int],
    queries: Sequence[int],
    rounds: int,
    folder: Path,
    say: Say,
) -> list[dict[str, Any]]:
    """Return the rows of one model; segments are made in `folder`."""
    chooser = random.Random(0)
    found: list[dict[str, Any]] = []
    for context in contexts:
        say(f"{context:,} tokens of context")
        ids = tuple(chooser.randrange(_BYTES) for _ in range(context + max(queries)))
        stored = Stored(
            engine=engine,
            blobs=Blobs(folder / f"segments-{context}"),
            headers=chain(engine, ids, [*range(SEGMENT, context, SEGMENT), context]),
        )
        stored.build()
        tails = [ids[-query:] for query in queries]
        found += rows(stored, _ways(stored, mover), tails, rounds=rounds, warm_up=WARM_UP)
        stored.forget()
    for row in found:
        row["cut_percent"] = {
            name: round(100 * (1 - 1 / gain["p50"]), 1) for name, gain in row["gain"].items()
        }
    return found


def _ways(stored: Stored[TensorState], mover: Mover) -> dict[str, Way]:
    lowered = [mover.to_host(state) for state in stored.states]

    def raised(states: Sequence[TensorState]) -> list[TensorState]:
        return [mover.to_device(state) for state in states]

    return {
        "full": Way(list),
        "hot": Way(lambda: stored.states),
        "warm": Way(lambda: raised(lowered)),
        "cold": Way(lambda: raised(stored.read()), stored.uncache),
    }


def one_shape(shape: str, arguments: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Return the part of the record that is about one model, which is gone afterwards."""
    say(f"making {shape}")
    engine = random_engine(shape, device=arguments.device, attention=arguments.attention)
    try:
        with tempfile.TemporaryDirectory(prefix="gpu-", dir=arguments.folder) as folder:
            found = measured(
                engine,
                Mover(device=torch.device(arguments.device)),
                contexts=arguments.contexts,
                queries=arguments.queries,
                rounds=arguments.rounds,
                folder=Path(folder),
                say=say,
            )
        return {"shape": shape, "parameters": weights_of(shape), "rows": found}
    finally:
        engine.close()
        del engine
        gc.collect()
        if arguments.device.startswith("cuda"):
            torch.cuda.empty_cache()


def main(given: Sequence[str] | None = None) -> None:
    """Measure and write the record."""
    arguments = _arguments(given)
    begin = time.perf_counter()

    def say(what: str) -> None:
        print(f"{time.perf_counter() - begin:6.0f} s  {what}", file=sys.stderr, flush=True)

    on_cuda = arguments.device.startswith("cuda")
    record: dict[str, Any] = {
        "command": " ".join(["python -m benchmarks.kv.gpu", *(sys.argv[1:] if given is None else given)]),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "device": torch.cuda.get_device_name(arguments.device) if on_cuda else arguments.device,
        "dtype": "bfloat16",
        "attention": arguments.attention,
        "pinned": on_cuda,
        "rounds": arguments.rounds,
        "reference_cut_percent": REFERENCE_CUT,
        "shapes": [one_shape(shape, arguments, say) for shape in arguments.shape.split(",")],
    }
    record["machine"]["versions"] |= {name: version(name) for name in ("torch", "transformers")}
    record["machine"]["versions"] |= {"cuda": torch.version.cuda} if on_cuda else {}
    record["from_disk"] = all(row["from_disk"] for shape in record["shapes"] for row in shape["rows"])
    record["seconds"] = round(time.perf_counter() - begin)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(rendered_gpu(record))


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kv.gpu", description=_DESCRIPTION)
    parser.add_argument("--shape", default="qwen3-8b,qwen3-32b", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--device", default="cuda", help="torch's word for it")
    parser.add_argument("--attention", default="sdpa", help="sdpa, eager or flash_attention_2")
    parser.add_argument("--contexts", type=numbers, default=list(CONTEXTS), help="tokens of memories")
    parser.add_argument("--queries", type=numbers, default=list(QUERIES), help="tokens behind them")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--folder", type=Path, default=None, help="where files are made; a real disk")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args(given)
    if unknown := set(arguments.shape.split(",")) - set(SHAPES):
        parser.error(f"there is no shape {', '.join(sorted(unknown))}; there are {', '.join(SHAPES)}")
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("torch sees no GPU here: use --device cpu --shape tiny to see that it runs")
    return arguments


if __name__ == "__main__":
    main()
