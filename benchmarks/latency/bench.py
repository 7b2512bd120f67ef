"""A folder with one cube, and what was found out about it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.latency.corpus import Corpus
from benchmarks.latency.reopening import CUBE
from benchmarks.latency.standin import Switched
from benchmarks.latency.timing import Samples, paired_ratio, percentiles
from memos_core import MemCube, MemOS
from memos_core.memos import RESIDENT_BYTES
from memos_core.protocols import Embedder

K = 10  # hits of a recall


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """How many samples are taken."""

    reads: int = 200
    indexed_reads: int = 30
    writes: int = 60
    batches: int = 5
    reopenings: int = 3
    milvus: bool = True  # raw Milvus beside


@dataclass(slots=True, kw_only=True)
class Bench:
    """A folder with one cube, and what was found out about it."""

    folder: Path
    size: int
    embedder: Switched
    real: Embedder
    corpus: Corpus
    rounds: Rounds
    say: Callable[[str], None]
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @contextmanager
    def opened(self, *, resident_bytes: int = RESIDENT_BYTES) -> Generator[tuple[MemOS, MemCube]]:
        with MemOS.open(self.store, embedder=self.embedder, resident_bytes=resident_bytes) as memos:
            yield memos, memos.cube(CUBE)

    def keep(self, samples: Samples) -> None:
        """Put the percentiles of these series into the result."""
        self.result.setdefault("ms", {}).update({name: percentiles(each) for name, each in samples.items()})

    def ratio(self, name: str, samples: Samples, over: Sequence[str], under: Sequence[str]) -> None:
        self.result.setdefault("ratios", {})[name] = round(paired_ratio(samples, over, under), 3)


@contextmanager
def at_rest(memos: MemOS) -> Generator[None]:
    """Keep the background thread from telling the index meanwhile, so that one thing is measured."""
    with memos._core.indexer.paused():
        yield
