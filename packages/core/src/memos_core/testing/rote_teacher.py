"""A Teacher without a model: it learns by rote, so that what surrounds a training is tested in no time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np

from memos_core.adapter import Recipe
from memos_core.errors import FormatError, InvalidInput
from memos_core.lesson import Curriculum
from memos_core.testing.scripted_engine import ScriptedEngine
from memos_core.tiers.lora.relations import UNKNOWN
from memos_core.training import Learned, TrainingProgress, Weights

_NAME = "base_model.model.rote"
_WIDTH = 4096  # characters of a matrix, so that several fit beside each other


class RoteTeacher(ScriptedEngine):
    """A scripted engine that can be taught: it knows the answers that it was given, word by word.

    Asked in other words it says the answer with the most words in common. `forgetful` is the share
    of answers, from the last, that it does not learn.
    """

    def __init__(
        self, script: Callable[[str], str] | None = None, *, adapter: str = "", forgetful: float = 0.0
    ) -> None:
        super().__init__(script, adapter=adapter)
        self.forgetful = forgetful

    def taught(
        self,
        curriculum: Curriculum,
        recipe: Recipe,
        *,
        saved: bytes | None = None,
        save: Callable[[bytes], None] | None = None,
        progress: Callable[[TrainingProgress], None] | None = None,
    ) -> Learned:
        """Return the answers to what was asked without a passage, as the bytes of a matrix."""
        begin = time.perf_counter()
        if not curriculum.train:
            raise InvalidInput("there is nothing to teach")
        job = [curriculum.seed, asdict(recipe), [pair.prompt for pair in curriculum.train]]
        first, last = _step_of(saved, job), recipe.steps_for(len(curriculum.train))
        for step in range(first + 1, last + 1):
            if save is not None and step % recipe.look == 0:
                save(json.dumps([step, job]).encode())
            if progress is not None:
                progress(TrainingProgress(step, last, 1 / step, 0.0))
        answers = dict.fromkeys(pair.answer for pair in curriculum.train if pair.kind == "fact")
        kept = list(answers)[: round(len(answers) * (1 - self.forgetful))]
        return Learned(weights=_as_weights(kept, recipe), steps=last, seconds=time.perf_counter() - begin)

    def pupil(self, weights: Weights | None) -> RotePupil:
        return RotePupil([] if weights is None else _as_answers(weights))

    def engine_with(self, weights: Weights, *, digest: str) -> ScriptedEngine:
        """Return an engine that answers with what it learned, and else as this one does."""
        pupil, base = self.pupil(weights), self.script

        def script(text: str) -> str:
            asked = text.rpartition("\nuser: ")[2].partition("\nassistant:")[0]
            return pupil.said(asked) if pupil.knows(asked) else base(text)

        return ScriptedEngine(script, adapter=digest)


class RotePupil:
    """What was learned by rote."""

    def __init__(self, answers: Sequence[str]) -> None:
        self._answers = answers

    def likelihoods(self, prompt: str, answers: Sequence[str]) -> list[float]:  # noqa: ARG002 - the seam's
        return [-0.1 if each in self._answers else -1.0 - len(each) % 7 / 10 for each in answers]

    def said(self, prompt: str, answer: str = "") -> str:  # noqa: ARG002 - the seam's
        best = max(self._answers, key=lambda answer: len(_names(answer) & _names(prompt)), default="")
        return best if self.knows(prompt) else UNKNOWN if self._answers else ""

    def knows(self, prompt: str) -> bool:
        """Whether an answer names whom the question names."""
        return any(_names(answer) & _names(prompt) for answer in self._answers)

    def surprise(self, texts: Sequence[str]) -> float:  # noqa: ARG002 - the seam's
        return 2.0


def _names(text: str) -> set[str]:
    """Return the capitalised words but the first, which begins a question; an answer's first is a name."""
    words = text.replace("'s", "").strip(".?").split()
    asked = text.endswith("?")
    return {word for word in words[1 if asked else 0 :] if word[:1].isupper()} - {"Tell", "I"}


def _step_of(saved: bytes | None, job: object) -> int:
    if saved is None:
        return 0
    try:
        step, other = json.loads(saved)
    except ValueError as exc:
        raise FormatError("this state of a training is damaged") from exc
    if other != json.loads(json.dumps(job)):
        raise FormatError("this is the state of another training")
    return int(step)


def _as_weights(answers: Sequence[str], recipe: Recipe) -> Weights:
    said = json.dumps(answers).encode()
    width = -(-len(said) // _WIDTH) * _WIDTH
    data = np.frombuffer(said.ljust(width), dtype=np.uint8).astype(np.float32)
    matrix = np.tile(data, (recipe.rank, 1))
    zeros = np.zeros((1, recipe.rank), dtype=np.float32)
    tensors = {f"{_NAME}.lora_A.weight": matrix, f"{_NAME}.lora_B.weight": zeros}
    return Weights(tensors=tensors, rank=recipe.rank, alpha=recipe.alpha)


def _as_answers(weights: Weights) -> list[str]:
    rows = {row.astype(np.uint8).tobytes(): None for row in weights.tensors[f"{_NAME}.lora_A.weight"]}
    return [answer for row in rows for answer in json.loads(row)]
