"""Looking after KV segments: what there is, what it costs and saves, whether it is sound, what goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from memos_core.activation.keeper import KIND
from memos_core.core import Core
from memos_core.cube import CubeHeader, Principal, Right
from memos_core.errors import FormatError, InvalidInput, NotFound
from memos_core.governance import NEEDS
from memos_core.segment import EngineIdentity, Origin
from memos_core.vault import artifacts
from memos_core.vault.artifacts import Artifact
from memos_core.vault.derived import EVICTED
from memos_core.vault.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stored attention state. Sizes are in bytes, times in seconds.

    `identity` is everything about the model that it depends on. `start` is the position of its first
    token. `stale` says why it is no longer served, None where it is.
    """

    key: str
    cube: str  # the cube's id
    cube_name: str
    identity: EngineIdentity
    kind: str  # "chain" or "free"
    form: str
    start: int
    tokens: int
    size: int
    build_seconds: float
    saved_seconds: float
    hits: int
    created_at: datetime
    last_used: datetime | None
    pinned: bool
    stale: str | None
    sources: Sequence[Origin]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a check of the segments' files found. Damaged ones are gone already: they are made anew."""

    sound: int
    damaged: Sequence[str]  # keys


def listed(core: Core, principal: Principal, cubes: Sequence[str]) -> list[Segment]:
    """Return the segments of these cubes (ids) made from nothing that is hidden, oldest first."""
    core.derived.write_uses()
    with core.catalog.read() as view:
        entered = [view.enter(cube, principal, NEEDS["segments"]) for cube in cubes]
        found = [
            _segment(each, cube, artifacts.sources_of(view.connection, each.key))
            for cube in entered
            for each in artifacts.listed(view.connection, cube, kind=KIND, now=view.now)
        ]
    return sorted(found, key=lambda segment: segment.created_at)


def starting(segments: Sequence[Segment], prefix: str) -> Segment:
    """Return the one segment whose key starts with `prefix`."""
    found = [segment for segment in segments if segment.key.startswith(prefix)]
    if not found:
        raise NotFound("segment", prefix)
    if len(found) > 1:
        raise InvalidInput(f"several segments start with {prefix!r}: give more of the key")
    return found[0]


def evicted(core: Core, principal: Principal, segments: Sequence[Segment]) -> int:
    """Delete these segments from RAM and disk; return how many there were.

    What is evicted is made anew when it is needed; pinned ones go as well.
    """
    with core.catalog.read() as view:
        found = _known(view, principal, segments, NEEDS["evict"])
    return core.derived.refuse(list(found), reason=EVICTED)


def pin(core: Core, principal: Principal, segment: Segment, *, pinned: bool) -> None:
    """Keep a segment on the disk whatever the budget says, or let it go again."""
    with core.catalog.write(principal) as tx:
        for key in _known(tx, principal, [segment], NEEDS["pin"]):
            artifacts.pin(tx.connection, key, pinned=pinned)


def verified(
    core: Core, principal: Principal, segments: Sequence[Segment], progress: Callable[[int, int], None]
) -> Verified:
    """Read every file and compare it with its name; delete what does not match.

    BackendError where one cannot be read now; it is not deleted for that.
    """
    damaged: dict[str, FormatError | NotFound] = {}
    with core.catalog.read() as view:
        found = _known(view, principal, segments, NEEDS["verify_segments"])
    for done, (key, artifact) in enumerate(found.items(), start=1):
        try:
            core.blobs.get(artifact.blob)
        except (FormatError, NotFound) as exc:
            damaged[key] = exc
        progress(done, len(found))
    for key, cause in damaged.items():
        core.derived.unread([key], cause)
    return Verified(sound=len(found) - len(damaged), damaged=list(damaged))


def _known(
    view: View, principal: Principal, segments: Sequence[Segment], right: Right
) -> dict[str, Artifact]:
    """Enter the cubes of these segments; return by key the rows of those that are there and are shown."""
    keys: dict[str, list[str]] = {}
    for segment in segments:
        keys.setdefault(segment.cube, []).append(segment.key)
    found: dict[str, Artifact] = {}
    for cube_id, named in keys.items():
        cube = view.enter(cube_id, principal, right)
        found |= artifacts.known(view.connection, cube, named, now=view.now)
    return found


def _segment(artifact: Artifact, cube: CubeHeader, sources: Sequence[Origin]) -> Segment:
    facts = artifact.facts
    return Segment(
        key=artifact.key,
        cube=cube.id,
        cube_name=cube.name,
        identity=EngineIdentity(**facts["identity"]),
        kind=facts["kind"],
        form=facts["form"],
        start=facts["start"],
        tokens=facts["tokens"],
        size=artifact.size,
        build_seconds=artifact.build_seconds,
        saved_seconds=artifact.saved_seconds,
        hits=artifact.hits,
        created_at=artifact.created_at,
        last_used=artifact.last_used,
        pinned=artifact.pinned,
        stale=artifact.stale,
        sources=sources,
    )
