"""A prefix in segments, cut and stored as the Runtime does it, and the time to a first token after it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias

import numpy as np

from benchmarks.kv.page_cache import uncached
from benchmarks.latency.timing import Samples, Subject, interleaved
from memos_core.activation.keeper import links
from memos_core.activation.plan import Part, Plan
from memos_core.inference import AnyEngine, Engine, Prompt, S
from memos_core.reply import Sampling
from memos_core.segment import SegmentHeader
from memos_core.vault.blobs import Blobs

ONE = Sampling(max_tokens=1)
Ids: TypeAlias = tuple[int, ...]


def chain(engine: AnyEngine, ids: Ids, cuts: Sequence[int]) -> list[SegmentHeader]:
    """Return the headers of a prefix of these ids whose segments end at `cuts`."""
    plan = Plan(head="", stable=tuple(Part(text="", memories=()) for _ in cuts[1:]))
    prompt = Prompt(ids=ids, cuts=tuple(cuts))
    return links(plan, prompt, engine.identity, form="exact", cumulative=engine.cumulative)


@dataclass(slots=True, kw_only=True)
class Stored(Generic[S]):
    """A prefix: its states as they were made, and their files. `build` comes first."""

    engine: Engine[S]
    blobs: Blobs
    headers: Sequence[SegmentHeader]
    states: list[S] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    was_cached: bool = False  # whether `uncache` ever failed

    @property
    def ids(self) -> Ids:
        return tuple(each for header in self.headers for each in header.ids)

    @property
    def size(self) -> int:
        """Bytes of the states."""
        return sum(state.size for state in self.states)

    def build(self) -> None:
        """Compute every segment after those before it, pack it, and write it down durably."""
        ids, states, names = self.ids, list[S](), list[str]()
        for header in self.headers:
            state = self.engine.prefill(ids[: header.end], states)
            names.append(self.blobs.put(self.engine.codec.pack(state, header)))
            states.append(state)
        self.states, self.names = states, names

    def forget(self) -> None:
        """Delete the files, so that the next `build` has to write them."""
        for name in self.names:
            self.blobs.delete(name)

    def read(self) -> list[S]:
        """Return the states from their files, checksums compared."""
        pairs = zip(self.names, self.headers, strict=True)
        return [self.engine.codec.unpack(self.blobs.path(name), header) for name, header in pairs]

    def uncache(self) -> None:
        """Have the system forget the files' bytes, so that they come from the disk again."""
        dropped = [uncached(self.blobs.path(name)) for name in self.names]
        self.was_cached = self.was_cached or not all(dropped)


@dataclass(frozen=True, slots=True)
class Way:
    """Where the states come from: `base()`, which is timed, after `prepare()`, which is not."""

    base: Callable[[], Sequence[Any]]
    prepare: Callable[[], object] = lambda: None


def rows(
    stored: Stored[Any], ways: Mapping[str, Way], tails: Sequence[Ids], *, rounds: int, warm_up: int = 1
) -> list[dict[str, Any]]:
    """Return a row for each question behind a prefix that was built: the time to its first token, each way.

    A way is run once a round, in turn with all others and with a build; "full" has to be among
    them. `same_first_token` says whether all ways gave one token, in every round.
    """
    firsts: dict[Ids, set[tuple[int, ...]]] = {tail: set() for tail in tails}
    subjects = {"build": Subject(lambda _: stored.build(), lambda _: stored.forget())}
    for tail in tails:
        for name, way in ways.items():
            subjects[_called(name, tail)] = _subject(stored, way, tail, firsts[tail])
    samples = interleaved(subjects, rounds=rounds, warm_up=warm_up)
    return [
        {
            "memory_tokens": len(stored.ids),
            "query_tokens": len(tail),
            "segments": len(stored.headers),
            "bytes": stored.size,
            "from_disk": not stored.was_cached,
            "same_first_token": len(firsts[tail]) == 1,
            **figures({name: samples[_called(name, tail)] for name in ways} | {"build": samples["build"]}),
        }
        for tail in tails
    ]


def _called(name: str, tail: Ids) -> str:
    return f"{name} {len(tail)}"


def _subject(stored: Stored[Any], way: Way, tail: Ids, firsts: set[tuple[int, ...]]) -> Subject:
    ids = stored.ids + tail
    engine = stored.engine
    return Subject(
        lambda _: firsts.add(tuple(token.id for token in engine.generate(ids, way.base(), ONE))),
        lambda _: way.prepare(),
    )


# --- samples to figures ----------------------------------------------------------------------


def figures(samples: Samples) -> dict[str, Any]:
    """Return milliseconds, gains over "full", and how many uses repay the "build", from seconds by way.

    Gains and uses are taken within each round; `uses` is None where half of the rounds saved nothing.
    """
    ways = [name for name in samples if name not in ("full", "build")]
    return {
        "ms": {name: quartiles([each * 1e3 for each in taken]) for name, taken in samples.items()},
        "gain": {name: quartiles(_ratios(samples["full"], samples[name])) for name in ways},
        "uses_to_repay": {name: _uses(samples, name) for name in ways},
    }


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Return the median and the quartiles."""
    found = np.percentile(np.asarray(values), (25, 50, 75)).tolist()
    return {f"p{q}": round(value, 3) for q, value in zip((25, 50, 75), found, strict=True)}


def _ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    return [above / below for above, below in zip(over, under, strict=True)]


def _uses(samples: Samples, name: str) -> float | None:
    triples = zip(samples["build"], samples["full"], samples[name], strict=True)
    uses = [build / (full - less) if full > less else float("inf") for build, full, less in triples]
    middle = statistics.median(uses)
    return round(middle, 2) if middle != float("inf") else None
