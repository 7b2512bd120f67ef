"""Teaching a transformers model: lessons through its own template, and the taught model as an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from memos_core.adapter import Recipe
from memos_core.inference import AnyEngine, Turn
from memos_core.lesson import Curriculum, Pair
from memos_core.reply import Sampling
from memos_core.tiers.kv.hf import HfEngine
from memos_core.tiers.lora.distil import Lesson, informed
from memos_core.tiers.lora.neutral import REPLAY
from memos_core.tiers.lora.passes import Passes, Row
from memos_core.tiers.lora.switch import Placed, Switch
from memos_core.tiers.lora.train import Job, rows_fit, trained
from memos_core.training import Learned, TrainingProgress, Weights

ANSWER_TOKENS = 32  # of an answer in the examination
_ROOM = 8  # tokens by which one may be longer than the right one


class HfTeacher:
    """Teaches the model of a transformers engine, which goes on answering meanwhile.

    Adapters are on for the threads of their own engines only. Safe from several threads.
    """

    def __init__(self, engine: HfEngine) -> None:
        self._engine = engine
        self._switch = Switch(engine.model)
        self._passes = Passes(engine.model)

    def taught(
        self,
        curriculum: Curriculum,
        recipe: Recipe,
        *,
        saved: bytes | None = None,
        save: Callable[[bytes], None] | None = None,
        progress: Callable[[TrainingProgress], None] | None = None,
    ) -> Learned:
        """Return the adapter that these lessons make; see `Teacher.taught`.

        Lessons longer than the model's context are passed over; the examination shows what that costs.
        """
        neutral = [_plain(self._engine, text) for text in REPLAY]
        lessons = self._lessons(curriculum.train, recipe)
        job = Job(
            seed=curriculum.seed,
            lessons=tuple(lesson.row for lesson in lessons),
            watched=self._rows(curriculum.watched),
            neutral=rows_fit(neutral, context=self._engine.context),
            recipe=recipe,
            base=self._engine.identity.weights,
            informed=tuple(lesson.informed for lesson in lessons) if recipe.method == "distil" else (),
        )
        return trained(self._engine.model, job, saved=saved, save=save, progress=progress)

    def pupil(self, weights: Weights | None) -> HfPupil:
        """Return the model with these weights, or as it is; InvalidInput where they do not fit it."""
        if weights is None:
            return HfPupil(self._engine, self._passes)
        return HfPupil(self._under(self._switch.placed(weights), digest="examined"), self._passes)

    def engine_with(self, weights: Weights, *, digest: str) -> AnyEngine:
        """Return the engine with these weights on; InvalidInput where they do not fit the model."""
        return self._under(self._switch.placed(weights), digest=digest)

    def _under(self, placed: Placed, *, digest: str) -> HfEngine:
        return self._engine.under(lambda: self._switch.on(placed), changes=digest)

    def _rows(self, pairs: Sequence[Pair]) -> tuple[Row, ...]:
        return rows_fit([self._row(pair) for pair in pairs], context=self._engine.context)

    def _lessons(self, pairs: Sequence[Pair], recipe: Recipe) -> list[Lesson]:
        """Return what is learned by this method, without what the model or its teacher cannot read whole."""
        if recipe.method == "distil":
            found = informed(pairs)
            told = [
                Lesson(self._row(pair), None if known is None else self._row(known)) for pair, known in found
            ]
        else:
            told = [Lesson(self._row(pair)) for pair in pairs]
        longest = self._engine.context
        return [each for each in told if max(len(row.ids) for row in each if row) <= longest]

    def _row(self, pair: Pair) -> Row:
        return _row(self._engine, pair.prompt, pair.answer, context=pair.context)


class HfPupil:
    """A transformers model as it is examined."""

    def __init__(self, engine: HfEngine, passes: Passes) -> None:
        self._engine, self._passes = engine, passes

    def likelihoods(self, prompt: str, answers: Sequence[str]) -> list[float]:
        """Return for each answer its mean log-probability per token, the ending one included."""
        losses = self._losses([_row(self._engine, prompt, answer) for answer in answers])
        return [-float(each.mean()) for each in losses]

    def said(self, prompt: str, answer: str = "") -> str:
        """Return the greedy answer, of at most 32 tokens, or some more than `answer` has."""
        ids = self._engine.encode([], [Turn("user", prompt)]).ids
        most = max(ANSWER_TOKENS, len(self._engine.spelled(answer)) + _ROOM) if answer else ANSWER_TOKENS
        tokens = self._engine.generate(ids, [], Sampling(max_tokens=most))
        return "".join(token.text for token in tokens)

    def surprise(self, texts: Sequence[str]) -> float:
        """Return the mean negative log-probability of the texts' tokens, the first of each not counted."""
        return float(torch.cat(self._losses([_plain(self._engine, text) for text in texts])).mean())

    def _losses(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        with torch.inference_mode(), self._engine.around():
            return self._passes.losses(rows)


def _row(engine: HfEngine, prompt: str, answer: str, *, context: str = "") -> Row:
    asked = engine.encode([context] if context else [], [Turn("user", prompt)]).ids
    return Row((*asked, *engine.spelled(answer)), len(asked))


def _plain(engine: HfEngine, text: str) -> Row:
    return Row(tuple(engine.spelled(text)[:-1]), 1)
