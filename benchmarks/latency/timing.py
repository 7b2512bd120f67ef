"""Paired samples: every subject once a round, in an order that changes, without the collector."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

_KEPT = (5, 25, 50, 75, 95, 99)

Samples = dict[str, list[float]]
"""Seconds by subject, one per round."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is timed: `run(round)`, after `prepare(round)`, which is not."""

    run: Callable[[int], object]
    prepare: Callable[[int], object] | None = None


def interleaved(subjects: Mapping[str, Subject], *, rounds: int, warm_up: int = 3, seed: int = 0) -> Samples:
    """Return the seconds that each subject took in each round. The first `warm_up` rounds do not count."""
    order, shuffler = list(subjects), random.Random(seed)
    found: Samples = {name: [] for name in order}
    with without_collector():
        for number in range(warm_up + rounds):
            shuffler.shuffle(order)
            for name in order:
                taken = timed(subjects[name], number)
                if number >= warm_up:
                    found[name].append(taken)
    return found


def timed(subject: Subject, number: int = 0) -> float:
    """Return the seconds of one run."""
    if subject.prepare is not None:
        subject.prepare(number)
    begin = time.perf_counter()
    subject.run(number)
    return time.perf_counter() - begin


@contextmanager
def without_collector() -> Generator[None]:
    """Collect once, then leave the garbage collector off: it would hit whoever happens to run."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return the count and the percentiles in milliseconds."""
    values = np.percentile(np.asarray(seconds) * 1e3, _KEPT).tolist()
    return {"n": len(seconds)} | {f"p{q}": round(v, 4) for q, v in zip(_KEPT, values, strict=True)}


def paired_ratio(samples: Samples, over: Sequence[str], under: Sequence[str]) -> float:
    """Return the median over rounds of (sum of `over`) / (sum of `under`)."""
    pairs = zip(_sums(samples, over), _sums(samples, under), strict=True)
    return statistics.median(above / below for above, below in pairs)


def _sums(samples: Samples, names: Sequence[str]) -> list[float]:
    return [sum(each) for each in zip(*(samples[name] for name in names), strict=True)]
