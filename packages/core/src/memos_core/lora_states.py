"""The states of a cube's unfinished trainings, kept in the store with the lineage of what they hold."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

from memos_core.core import Core
from memos_core.errors import BackendError, FormatError, NotFound
from memos_core.lora import STANDING
from memos_core.segment import Origin
from memos_core.vault import artifacts

log = logging.getLogger(__name__)


class States:
    """What of one cube's trainings is kept to go on from. `job` names the training that is under way."""

    def __init__(self, core: Core, cube_id: str, *, job: str, engine: str, sources: Sequence[Origin]) -> None:
        self._core, self._cube_id = core, cube_id
        self._job, self._engine, self._sources = job, engine, sources

    def last(self) -> bytes | None:
        """Return the state to go on from; one that is damaged is deleted."""
        for artifact in reversed(self._rows()):
            if artifact.facts["job"] != self._job:
                continue
            try:
                return self._core.blobs.get(artifact.blob)
            except (FormatError, NotFound) as exc:
                log.warning("a state of a training is damaged", extra={"cause": str(exc)})
                self._core.derived.unread([artifact.key], exc)
        return None

    def keep(self, state: bytes) -> bool:
        """Keep a state in the place of the ones before, this training's or another's of the cube.

        Return False where one of its memories was changed meanwhile: then nothing is kept. Another process
        that trains the same comes to the same states.
        """
        before = [row.key for row in self._rows()]
        key = hashlib.sha256(f"{self._job}{hashlib.sha256(state).hexdigest()}".encode()).hexdigest()
        try:
            kept = self._core.derived.store(
                self._cube_id,
                key=key,
                kind=STANDING,
                engine=self._engine,
                data=state,
                facts={"job": self._job},
                build_seconds=0.0,
                sources=self._sources,
            )
        except BackendError as exc:  # a full disk costs only that it could not go on from here
            log.warning("the state of a training was not kept", extra={"cause": str(exc)})
            return True
        if kept:
            self._core.derived.refuse(before, reason="replaced")
        return kept or key in before

    def clear(self) -> None:
        """Delete every state of the cube's trainings."""
        self._core.derived.refuse([row.key for row in self._rows()], reason="finished")

    def _rows(self) -> list[artifacts.Artifact]:
        with self._core.catalog.read() as view:
            rows = artifacts.of_kind(view.connection, STANDING)
        return [row for row in rows if row.cube_id == self._cube_id]
