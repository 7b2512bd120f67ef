"""A process made to be killed: it trains an adapter for a small model.

Run as a script: `python lora_worker.py FOLDER`. It prints a line after every step.
"""

from __future__ import annotations

import sys
from pathlib import Path

from memos_core import Adapter, MemOS, Progress, Recipe, Runtime
from memos_core.testing import HashEmbedder, InMemoryIndex
from memos_core.tiers.kv.hf import HfEngine
from tests import kv_models

RECIPE = Recipe(rank=2, steps=60, look=3, patience=60, batch=2, rate=1e-3, warmup=0)


def opened(folder: Path) -> MemOS:
    return MemOS.open(folder, embedder=HashEmbedder(dimensions=16), index=InMemoryIndex(dimensions=16))


def trained(memos: MemOS, seen: list[int] | None = None) -> Adapter:
    """Train, or go on; tell the steps."""

    def progress(each: Progress) -> None:
        print(each.step, flush=True)
        if seen is not None:
            seen.append(each.step)

    engine = HfEngine(kv_models.model("Llama"), kv_models.tokenizer())
    with Runtime(engine) as runtime:
        return runtime.train(memos.cube("crash"), recipe=RECIPE, progress=progress)


if __name__ == "__main__":
    with opened(Path(sys.argv[1])) as memos:
        trained(memos)
