"""Which engine answers for a cube: the one with the adapters on that may answer, where there are such."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from memos_core import lora
from memos_core.activation.answer import Answerer
from memos_core.activation.taught import Taught
from memos_core.adapter import base_of
from memos_core.errors import BackendError, FormatError, InvalidInput, MemOSError, NotFound
from memos_core.inference import AnyEngine
from memos_core.memcube import MemCube
from memos_core.memory import checked_within
from memos_core.operator.recall import Ask
from memos_core.query import Where
from memos_core.segment import Origin
from memos_core.training import Teacher
from memos_core.vault.artifacts import Artifact

log = logging.getLogger(__name__)

_LOOKED_AT = 32  # memories for each cube, by which they are told apart
_MOST = 8  # adapters on at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """Adapters of several cubes to choose from: that of the cube that is asked, and those of `cubes`.

    At most `most` are on at once, from 1 to 8: those that were taught what answers the question best. With
    `near`, only those that were taught something as like the question as that (a cosine, -1 to 1; it
    depends on the embedder: see a recall's `likeness`). Their changes add up, so each one more costs
    the others something (docs/howto/lora.md).
    """

    cubes: Sequence[MemCube]
    most: int = 1
    near: float | None = None

    def __post_init__(self) -> None:
        checked_within(self.most, 1, _MOST, what="most")
        given = self.near
        if given is not None and (
            isinstance(given, bool) or not isinstance(given, int | float) or not -1 <= given <= 1
        ):
            raise InvalidInput(f"near must be a cosine from -1 to 1, not {given!r}")


class Worn(NamedTuple):
    """Who answers, and what they were taught; `why_not` says why without an adapter, "" with one."""

    answerer: Answerer
    key: str = ""
    sources: tuple[Origin, ...] = ()
    why_not: str = ""


class _Found(NamedTuple):
    cube: MemCube
    artifact: Artifact
    sources: tuple[Origin, ...]


class Wardrobe:
    """Puts cubes' adapters on one engine, each beside the others. Safe from several threads."""

    def __init__(
        self,
        engine: AnyEngine,
        plain: Answerer,
        *,
        answering: Callable[[AnyEngine], Answerer],
        teacher: Callable[[], Teacher],
    ) -> None:
        self._engine, self._plain = engine, plain
        self._answering, self._teacher = answering, teacher
        self._taught = Taught()

    def for_cube(self, cube: MemCube, *, blend: Blend | None = None, asked: str | None = None) -> Worn:
        """Return who answers for a cube. What is stale, failed or foreign is passed over, with its reason."""
        identity = self._engine.identity
        if identity.adapter:
            return Worn(self._plain, why_not="the model has an adapter of its own on")
        found, why_not = self._found(cube, blend, asked)
        if not found:
            return Worn(self._plain, why_not=why_not)
        try:
            teacher = self._teacher()
        except InvalidInput as exc:
            return Worn(self._plain, why_not=str(exc))
        return self._worn(cube, found, teacher)

    def close(self) -> None:
        """Let go of every adapter."""
        self._taught.clear()

    def _found(self, cube: MemCube, blend: Blend | None, asked: str | None) -> tuple[list[_Found], str]:
        """Return the adapters that may answer, the most wanted first, and why there is none."""
        others = [] if blend is None else checked(cube, blend)
        cubes = {each.id: each for each in (cube, *others)}
        found: dict[str, _Found] = {}
        reasons = []
        for each in cubes.values():
            active = lora.active(each._core, each._principal, each.id, base_of(self._engine.identity))
            if active.artifact is None:
                reasons.append(active.why_not)
            else:
                found[each.id] = _Found(each, active.artifact, active.sources)
        if blend is None or not found:
            return list(found.values()), reasons[0] if reasons else ""
        order = [each for each in found if blend.near is None or not asked]
        if asked and (len(found) > blend.most or blend.near is not None):
            order = wanted(_likenesses(cube, found, asked), found, near=blend.near)
        why_not = "" if order else "nothing that the adapters of the blend were taught is near the question"
        return [found[cube_id] for cube_id in order[: blend.most]], why_not

    def _worn(self, cube: MemCube, found: Sequence[_Found], teacher: Teacher) -> Worn:
        core, keys = cube._core, sorted(each.artifact.key for each in found)
        core.derived.register(self._taught)
        core.derived.notice()
        try:
            answerer = self._taught.get(keys, lambda: self._put_on(found, teacher))
        except _Unread as exc:
            log.warning("an adapter cannot be read", extra={"cause": str(exc)})
            core.derived.unread([exc.key], exc.cause)
            return Worn(self._plain, why_not=exc.why_not)
        for each in found:
            with core.reading(each.cube._principal, each.cube.id) as (_view, header):
                servable = core.derived.servable(header, [each.artifact.key])
            if not servable:  # it went stale while it was on its way here
                self._taught.drop([each.artifact.key])
                return Worn(self._plain, why_not="it went stale just now")
        sources = tuple(origin for each in found for origin in each.sources)
        return Worn(answerer, key="+".join(keys), sources=sources)

    def _put_on(self, found: Sequence[_Found], teacher: Teacher) -> Answerer:
        from memos_core.tiers.lora import blend, layout  # noqa: PLC0415 - an extra

        packed = []
        for each in sorted(found, key=lambda one: one.artifact.key):
            try:
                packed.append(layout.unpack(each.cube._core.blobs.get(each.artifact.blob)))
            except (FormatError, NotFound, BackendError) as exc:
                raise _Unread(each.artifact.key, exc) from exc
        if len(packed) == 1:
            weights, digest = packed[0].weights, packed[0].header.tensors
        else:
            weights = blend.cat([each.weights for each in packed])
            digest = hashlib.sha256("+".join(each.header.tensors for each in packed).encode()).hexdigest()
        try:
            return self._answering(teacher.engine_with(weights, digest=digest))
        except InvalidInput as exc:
            raise _Unread(found[0].artifact.key, exc) from exc


class _Unread(Exception):
    """An adapter that cannot be put on, damaged or not; it never leaves this module."""

    def __init__(self, key: str, cause: MemOSError) -> None:
        super().__init__(str(cause))
        self.key, self.cause = key, cause

    @property
    def why_not(self) -> str:
        if isinstance(self.cause, BackendError):
            return "its file cannot be read now"
        return "its file is damaged or not in this folder: train it again"


def checked(cube: MemCube, blend: Blend) -> Sequence[MemCube]:
    """Return the cubes of a blend; InvalidInput where they are of another store than the one asked."""
    if any(each._core is not cube._core for each in blend.cubes):
        raise InvalidInput("the cubes of a blend are of several stores: take those of one")
    return blend.cubes


def _likenesses(cube: MemCube, found: Mapping[str, _Found], asked: str) -> dict[str, float]:
    """Return by cube how like the question a memory is that its adapter was taught, the best answer's first.

    Memories that no adapter was taught count for none: they will be said as text, if at all.
    """
    ask = Ask(query=asked, k=_LOOKED_AT * len(found), where=Where(), budget=None)
    likenesses: dict[str, float] = {}
    for hit in cube._core.recaller.recall(cube._principal, list(found), ask):
        memory = hit.memory
        if Origin(memory.id, memory.version) in found[memory.cube].sources:
            likeness = -1.0 if hit.likeness is None else hit.likeness
            likenesses[memory.cube] = max(likeness, likenesses.get(memory.cube, -1.0))
    return likenesses


def wanted(likenesses: Mapping[str, float], cubes: Iterable[str], *, near: float | None) -> list[str]:
    """Return the cubes whose adapters are wanted, the most wanted first: as they answer, then as named.

    With `near`, those that are less like the question are not wanted, nor those that were not found.
    """
    if near is not None:
        return [cube_id for cube_id, likeness in likenesses.items() if likeness >= near]
    return list(dict.fromkeys([*likenesses, *cubes]))
