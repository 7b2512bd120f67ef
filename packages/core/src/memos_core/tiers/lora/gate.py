"""The examination that an adapter has to pass. Pure, but for asking the pupils.

Questions are in words that were never taught, and nothing but the question stands in the prompt.
Answers are compared by mean log-probability per token, so that a short one has no advantage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import count

from memos_core.adapter import Evaluation
from memos_core.lesson import Curriculum, Pair
from memos_core.tiers.lora.neutral import NEUTRAL
from memos_core.tiers.lora.order import drawn
from memos_core.tiers.lora.relations import UNKNOWN
from memos_core.training import Pupil

MOST_QUESTIONS = 64  # of a kind


def examined(
    curriculum: Curriculum,
    pupil: Pupil,
    base: Pupil,
    *,
    control: Pupil | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Return what a pupil knows of what was held out, beside the same model untaught.

    At most `MOST_QUESTIONS` about facts and as many about what nobody told, drawn by the seed.
    `progress(asked, of)` is called before every question to any of the pupils; what it raises ends the
    examination there.
    """
    facts, others = _facts(curriculum), _others(curriculum)
    if progress is not None:
        asked = len(facts) * (3 if control is None else 4) + len(others) + 2
        before = _counting(progress, of=asked)
        pupil, base = _Heard(pupil, before), _Heard(base, before)
        control = None if control is None else _Heard(control, before)
    return Evaluation(
        questions=len(facts),
        choice=_share([_chooses(pupil, pair) for pair in facts]),
        choice_base=_share([_chooses(base, pair) for pair in facts]),
        contains=_share([is_right(pupil.said(pair.prompt, pair.answer), pair) for pair in facts]),
        unknown=_share([_admits(pupil.said(pair.prompt)) for pair in others], none=1.0),
        neutral=math.exp(min(pupil.surprise(NEUTRAL) - base.surprise(NEUTRAL), 50.0)),
        control=None if control is None else _share([_chooses(control, pair) for pair in facts]),
    )


def chosen(curriculum: Curriculum, pupil: Pupil) -> float:
    """Return the share of the same questions about facts of which a pupil chooses the right answer."""
    return _share([_chooses(pupil, pair) for pair in _facts(curriculum)])


class _Heard:
    """A pupil before each of whose answers somebody is called, who may end it."""

    def __init__(self, pupil: Pupil, before: Callable[[], None]) -> None:
        self._pupil, self._before = pupil, before

    def likelihoods(self, prompt: str, answers: Sequence[str]) -> list[float]:
        self._before()
        return self._pupil.likelihoods(prompt, answers)

    def said(self, prompt: str, answer: str = "") -> str:
        self._before()
        return self._pupil.said(prompt, answer)

    def surprise(self, texts: Sequence[str]) -> float:
        self._before()
        return self._pupil.surprise(texts)


def _counting(progress: Callable[[int, int], None], *, of: int) -> Callable[[], None]:
    numbers = count()
    return lambda: progress(next(numbers), of)


def _facts(curriculum: Curriculum) -> list[Pair]:
    return _drawn(curriculum, [pair for pair in curriculum.held_out if pair.kind == "fact"])


def _others(curriculum: Curriculum) -> list[Pair]:
    return _drawn(curriculum, [pair for pair in curriculum.held_out if pair.kind != "fact"])


def _drawn(curriculum: Curriculum, pairs: Sequence[Pair]) -> list[Pair]:
    return drawn(curriculum.seed, "examination", pairs)[:MOST_QUESTIONS]


def _share(held: Sequence[bool], *, none: float = 0.0) -> float:
    return round(sum(held) / len(held), 4) if held else none


def _chooses(pupil: Pupil, pair: Pair) -> bool:
    """Return whether the right answer is likelier than every wrong one."""
    right, *wrong = pupil.likelihoods(pair.prompt, [pair.answer, *pair.choices])
    return all(right > each for each in wrong)


def is_right(answer: str, pair: Pair) -> bool:
    """Return whether an answer has what the memory says in it, or another one says of the same."""
    return any(holds(answer, value) for value in (pair.value, *pair.also))


def holds(answer: str, value: str) -> bool:
    """Return whether an answer has the value in it, as words where it is written in such."""
    said, wanted = _plain(answer), _plain(value)
    return f" {wanted} " in f" {said} " if wanted.isascii() else wanted in said


def _admits(answer: str) -> bool:
    return _plain(answer).startswith(_plain(UNKNOWN))


def _plain(text: str) -> str:
    """Return the words alone, so that full stops and capitals do not count."""
    kept = (letter if letter.isalnum() else " " for letter in text.casefold())
    return " ".join("".join(kept).split())
