"""What a chat model said when it was asked for other words, kept in the store with its memory's lineage.

A training that is interrupted goes on with the same lessons, since what was said once is not asked again;
and whatever changes or erases the memory takes its phrasings along (ADR 0022).
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from memos_core.core import Core
from memos_core.cube import CubeHeader
from memos_core.errors import BackendError, MemOSError
from memos_core.extract.phrasing import ChatPhraser
from memos_core.lesson import Curriculum
from memos_core.memory import Memory
from memos_core.tiers.lora.curriculum import Syllabus
from memos_core.tiers.lora.phrased import Question, asked_of, enriched, taught_ways
from memos_core.vault import artifacts

log = logging.getLogger(__name__)

PHRASED: Final = "lora-phrases"  # of artifacts
PHRASER, PHRASES = "phraser", "phrases"  # beside a syllabus in a header: who said it, and its digest
_FAILED: Final = "failed"  # a fact of those of which the model said nothing of use
_PATIENCE: Final = 3  # failures in a row, after which it is not asked any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """The phrasings that are taught of some lessons; `told` is what a header says of them, {} for none."""

    ways: dict[Question, list[str]]
    told: dict[str, str]

    def among(self, lessons: Curriculum) -> Curriculum:
        """Return these lessons, or others about the same questions, with the phrasings added."""
        return enriched(lessons, self.ways)


NO_PHRASES: Final = Phrases(ways={}, told={})


def without_phrases(syllabus: Any) -> dict[str, Any]:
    """Return what a header says of how its lessons were made, without their phrasings."""
    return {name: value for name, value in syllabus.items() if name not in (PHRASER, PHRASES)}


class Phrasings:
    """The phrasings of one cube by one phraser."""

    def __init__(self, core: Core, cube: CubeHeader, phraser: ChatPhraser) -> None:
        self._core, self._cube, self._phraser = core, cube, phraser
        self._failures = 0  # in a row

    def of(self, memories: Sequence[Memory], lessons: Curriculum, syllabus: Syllabus) -> Phrases:
        """Return what of the phraser's words is taught beside these lessons, asked now or before.

        A phraser that fails costs only its phrasings: that is noted as a warning, and until `clear` the
        memory counts as one that nothing was said of.
        """
        asked = asked_of(memories, syllabus)
        said: dict[Question, list[str]] = {}
        for _, group in groupby(sorted(asked), key=lambda question: question.origin):
            said |= self._of_memory(list(group))
        ways = taught_ways(lessons, asked, said)
        if not ways:
            return NO_PHRASES
        told = json.dumps(sorted([*question.origin, question.text, new] for question, new in ways.items()))
        digest = hashlib.sha256(told.encode()).hexdigest()
        return Phrases(ways=ways, told={PHRASER: self._phraser.identity, PHRASES: digest})

    def clear(self) -> None:
        """Forget where the phraser failed, so that the next training asks it again."""
        with self._core.catalog.read() as view:
            rows = artifacts.of_kind(view.connection, PHRASED)
        mine = [row.key for row in rows if row.cube_id == self._cube.id and row.facts.get(_FAILED)]
        if mine:
            self._core.derived.refuse(mine, reason="finished")

    def _of_memory(self, questions: Sequence[Question]) -> dict[Question, list[str]]:
        texts = [question.text for question in questions]
        facts = [PHRASED, self._phraser.identity, self._cube.id, *questions[0].origin, texts]
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        said = self._known(key, of=len(texts))
        if said is None:
            begin = time.perf_counter()
            said = self._asked(texts)
            self._keep(key, questions, said, seconds=time.perf_counter() - begin)
        return dict(zip(questions, said, strict=True)) if said else {}

    def _known(self, key: str, *, of: int) -> list[list[str]] | None:
        """Return what was said before, [] where it failed; None where nobody asked, or it is damaged."""
        found = self._core.derived.servable(self._cube, [key])
        if not found:
            return None
        try:
            said = json.loads(self._core.blobs.get(found[key].blob))["said"]
            if len(said) in (0, of):
                return [list(map(str, each)) for each in said]
            cause = f"{len(said)} answers to {of} questions"
        except (MemOSError, ValueError, TypeError, KeyError) as exc:
            cause = str(exc)
        log.warning("the phrasings of a memory are damaged", extra={"cause": cause})
        self._core.derived.refuse([key], reason="damaged")
        return None

    def _asked(self, texts: list[str]) -> list[list[str]]:
        """Return what the phraser says now, [] where it fails."""
        if self._failures >= _PATIENCE:
            return []
        asking = ThreadPoolExecutor(max_workers=1, thread_name_prefix="memos-phraser")
        try:
            answer = asking.submit(self._phraser.phrased, texts)
            error = (
                answer.exception()
            )  # whatever a function of somebody else's raises: no training fails by it
        finally:
            asking.shutdown(wait=False, cancel_futures=True)
        if error is None:
            self._failures = 0
            return answer.result()
        if not isinstance(error, Exception):
            raise error  # the process is told to end
        self._failures += 1
        cause = f"{type(error).__name__}: {error}"
        log.warning("a memory is taught in the rules' words only: %s", cause, extra={"cause": cause})
        return []

    def _keep(
        self, key: str, questions: Sequence[Question], said: list[list[str]], *, seconds: float
    ) -> None:
        """Keep what was said, unless its memory was changed meanwhile: then the training ends by that."""
        try:
            self._core.derived.store(
                self._cube.id,
                key=key,
                kind=PHRASED,
                engine=self._phraser.identity,
                data=json.dumps({"key": key, "said": said}).encode(),
                facts={} if said else {_FAILED: True},
                build_seconds=seconds,
                sources=[questions[0].origin],
            )
        except BackendError as exc:  # a full disk costs only that it is asked again
            log.warning("the phrasings of a memory were not kept", extra={"cause": str(exc)})
