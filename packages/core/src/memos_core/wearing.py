"""Which engine answers for a cube: the one with the cube's adapter on, where there is one that may."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from memos_core import lora
from memos_core.activation.answer import Answerer
from memos_core.activation.taught import Taught
from memos_core.adapter import base_of
from memos_core.errors import FormatError, InvalidInput, NotFound
from memos_core.inference import AnyEngine
from memos_core.memcube import MemCube
from memos_core.segment import Origin
from memos_core.training import Teacher
from memos_core.vault.artifacts import Artifact

log = logging.getLogger(__name__)


class Worn(NamedTuple):
    """Who answers, and what they were taught; `why_not` says why without an adapter, "" with one."""

    answerer: Answerer
    key: str = ""
    sources: tuple[Origin, ...] = ()
    why_not: str = ""


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

    def for_cube(self, cube: MemCube) -> Worn:
        """Return who answers for a cube. What is stale, failed or foreign is passed over, with its reason."""
        core, identity = cube._core, self._engine.identity
        if identity.adapter:
            return Worn(self._plain, why_not="the model has an adapter of its own on")
        found = lora.active(core, cube._principal, cube.id, base_of(identity))
        if found.artifact is None:
            return Worn(self._plain, why_not=found.why_not)
        try:
            teacher = self._teacher()
        except InvalidInput as exc:
            return Worn(self._plain, why_not=str(exc))
        artifact = found.artifact
        core.derived.holders.add(self._taught)
        try:
            answerer = self._taught.get(artifact.key, lambda: self._put_on(cube, artifact, teacher))
        except (FormatError, NotFound, InvalidInput) as exc:
            log.warning("an adapter is damaged and was deleted", extra={"cause": str(exc)})
            core.derived.refuse([artifact.key], reason="damaged")
            return Worn(self._plain, why_not="its file is damaged: train it again")
        with core.reading(cube._principal, cube.id) as (_view, header):
            servable = core.derived.servable(header, [artifact.key])
        if not servable:  # it went stale while it was on its way here
            self._taught.drop([artifact.key])
            return Worn(self._plain, why_not="it went stale just now")
        return Worn(answerer, key=artifact.key, sources=found.sources)

    def close(self) -> None:
        """Let go of every adapter."""
        self._taught.clear()

    def _put_on(self, cube: MemCube, artifact: Artifact, teacher: Teacher) -> Answerer:
        from memos_core.tiers.lora import layout  # noqa: PLC0415 - an extra

        packed = layout.unpack(cube._core.blobs.get(artifact.blob))
        engine = teacher.engine_with(packed.weights, digest=packed.header.tensors)
        return self._answering(engine)
