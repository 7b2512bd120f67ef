"""The states of a prompt's stable prefix: found where somebody may have them, made where nobody has.

A segment's key covers the identity of the engine, the readers, the tokens and every memory with its
version, as the catalog shows them to this caller now. So what is found under a key is right, and
whatever changed is not found.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from memos_core.activation.plan import Plan
from memos_core.cube import CubeHeader
from memos_core.errors import BackendError, Closed, FormatError, NotFound
from memos_core.inference import AnyEngine, Prompt, State
from memos_core.segment import EngineIdentity, Origin, SegmentHeader, segment_header
from memos_core.tiers.kv.eviction import Entry, spread
from memos_core.tiers.kv.levels import Levels, Worth
from memos_core.vault.artifacts import GIVER, Artifact
from memos_core.vault.derived import Derived

log = logging.getLogger(__name__)

KIND = "kv"  # of artifacts
LEVELS = ("", "device", "host", "disk")  # from the fastest to the slowest


@dataclass(slots=True, kw_only=True)
class Attached:
    """What a prompt does not have to compute, and what was made on the way."""

    states: list[State] = field(default_factory=list)
    tokens: int = 0
    saved: dict[str, float] = field(default_factory=dict)  # seconds, by key of the segment
    level: str = ""
    made: list[Made] = field(default_factory=list)

    def count(self, header: SegmentHeader, *, artifact: Artifact, level: str) -> None:
        """Count a state that was found."""
        self.tokens += len(header.ids)
        self.saved[artifact.key] = artifact.build_seconds
        self.level = max(self.level, level, key=LEVELS.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A state that was computed for want of a stored one."""

    header: SegmentHeader
    state: State
    seconds: float


def facts_of(header: SegmentHeader, *, giver: str = "") -> dict[str, object]:
    """Return what is written down about a segment beside what every artifact has.

    With a `giver`, who gave the system text in it, nobody else is shown that it exists.
    """
    given = {GIVER: giver} if giver else {}
    return given | {
        "parent": header.parent,
        "start": header.start,
        "tokens": len(header.ids),
        "kind": header.kind,
        "form": header.form,
        "identity": asdict(header.identity),
    }


def links(
    plan: Plan, prompt: Prompt, identity: EngineIdentity, *, form: str, cumulative: bool
) -> list[SegmentHeader]:
    """Return the headers of the stable prefix's segments, in order; each follows on from the one before.

    A cumulative engine's segments all hold the prefix from 0.
    """
    found: list[SegmentHeader] = []
    sources: list[Origin] = []
    parts = [plan.behind, *(part.origins for part in plan.stable)]
    start, parent = 0, ""
    for origins, end in zip(parts, prompt.cuts, strict=False):
        sources.extend(origins)
        if end == start:
            continue
        header = segment_header(
            identity,
            salt=plan.group,
            parent="" if cumulative else parent,
            start=0 if cumulative else start,
            ids=prompt.ids[0 if cumulative else start : end],
            sources=sources,
            form=form,
        )
        found.append(header)
        start, parent = end, header.key
    return found


def free_links(
    plan: Plan, prompt: Prompt, head: SegmentHeader, *, form: str
) -> list[tuple[SegmentHeader, tuple[int, ...]]]:
    """Return the headers of segments made right after `head`, one a part, with head's tokens before each."""
    found = []
    parts = (*plan.stable, *plan.volatile)
    for part, start, end in zip(parts, prompt.cuts, prompt.cuts[1:], strict=False):
        header = segment_header(
            head.identity,
            salt=plan.group,
            parent=head.key,
            start=head.end,
            ids=prompt.ids[start:end],
            sources=part.origins,
            kind="free",
            form=form,
        )
        found.append((header, (*head.ids, *header.ids)))
    return found


class Keeper:
    """Finds and makes states for one engine. Safe from several threads."""

    def __init__(self, engine: AnyEngine, levels: Levels[State]) -> None:
        self._engine, self._levels = engine, levels

    def chain(
        self,
        attached: Attached,
        derived: Derived,
        cube: CubeHeader,
        headers: Sequence[SegmentHeader],
        ids: Sequence[int],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Attach these links, one after the other: what is there is found, what lacks is made.

        What a damaged link stands before is as good as it was, and found all the same.
        """
        rows = derived.servable(cube, [header.key for header in headers])
        if self._engine.cumulative:
            headers = self._longest(attached, derived, cube, rows, headers)
        for header in headers:
            found = self.find(derived, cube, rows, header)
            if found is not None:
                attached.states.append(found[0])
                attached.count(header, artifact=rows[header.key], level=found[1])
                continue
            made = self.make(header, ids[: header.end], attached.states)
            attached.made.append(made)
            attached.states.append(made.state)
            if progress is not None:
                progress(header.end, headers[-1].end)

    def _longest(
        self,
        attached: Attached,
        derived: Derived,
        cube: CubeHeader,
        rows: Mapping[str, Artifact],
        headers: Sequence[SegmentHeader],
    ) -> list[SegmentHeader]:
        """Attach the longest state that is there; return what is still to be made: one state of all."""
        for header in reversed(headers):
            found = self.find(derived, cube, rows, header)
            if found is not None:
                attached.states.append(found[0])
                attached.count(header, artifact=rows[header.key], level=found[1])
                return list(headers[-1:]) if header is not headers[-1] else []
        return list(headers[-1:])

    def find(
        self, derived: Derived, cube: CubeHeader, rows: Mapping[str, Artifact], header: SegmentHeader
    ) -> tuple[State, str] | None:
        """Return a segment's state and the level it came from, None where it cannot be had."""
        artifact = rows.get(header.key)
        if artifact is None:
            return None
        held = self._levels.get(header.key)
        if held is not None:
            return held
        try:
            state = self._levels.raised(self._engine.codec.unpack(derived.path(artifact), header))
        except (FormatError, NotFound, BackendError) as exc:
            log.warning("a KV segment cannot be read and is computed instead", extra={"cause": str(exc)})
            derived.unread([header.key], exc)
            return None
        worth = Worth(build=artifact.build_seconds, parent=header.parent)
        self._hold(derived, cube, header.key, state, worth)
        return state, "disk"

    def _hold(self, derived: Derived, cube: CubeHeader, key: str, state: State, worth: Worth) -> None:
        """Keep a state in RAM, unless it went stale or its store was closed on the way there."""
        self._levels.put(key, state, worth=worth)
        is_servable = False
        try:
            is_servable = key in derived.servable(cube, [key])
        finally:
            if not is_servable:
                self._levels.drop([key])

    def make(self, header: SegmentHeader, ids: Sequence[int], base: Sequence[State]) -> Made:
        """Compute one segment after `base`."""
        begin = time.perf_counter()
        state = self._engine.prefill(ids, base)
        return Made(header=header, state=state, seconds=time.perf_counter() - begin)

    def store(self, derived: Derived, cube: CubeHeader, made: Sequence[Made], *, giver: str = "") -> int:
        """Keep what was made, on disk and in RAM; return how many segments were stored.

        A disk that does not take them costs the next caller time, and this one nothing. So it is where
        the cube was erased or the store closed while the answer was being said. One that is
        stored already, in a file that could not be read here, is held in RAM. `giver` is the plan's.
        """
        kept = 0
        for each in made:
            try:
                kept += self._store(derived, cube, each, giver)
            except (BackendError, NotFound, Closed) as exc:
                log.warning("a KV segment was not stored", extra={"cause": str(exc)})
                break
        stored = derived.servable(cube, [each.header.key for each in made])
        for each in made:
            if each.header.key in stored:
                worth = Worth(build=each.seconds, parent=each.header.parent)
                self._hold(derived, cube, each.header.key, each.state, worth)
        return kept

    def entry(self, made: Made, now: float) -> Entry:
        """Return what was made as it would be if it were stored now."""
        return Entry(
            key=made.header.key,
            size=len(self._engine.codec.pack(made.state, made.header)),
            build=made.seconds,
            use=spread(0, first=now, last=now),
            parent=made.header.parent,
        )

    def _store(self, derived: Derived, cube: CubeHeader, made: Made, giver: str) -> bool:
        header = made.header
        return derived.store(
            cube.id,
            key=header.key,
            kind=KIND,
            engine=header.identity.digest,
            data=self._engine.codec.pack(made.state, header),
            facts=facts_of(header, giver=giver),
            build_seconds=made.seconds,
            sources=header.sources,
        )
