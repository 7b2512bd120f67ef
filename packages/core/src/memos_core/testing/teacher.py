"""The kit for whoever teaches a model: the same lessons make the same adapter, interrupted or not.

What concerns going on is asked of every method of a `Recipe`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from memos_core.adapter import METHODS, Recipe
from memos_core.errors import FormatError, InvalidInput
from memos_core.lesson import Curriculum, Pair
from memos_core.segment import Origin
from memos_core.training import Learned, Teacher, TrainingProgress


class _Stop(Exception):
    """What a test stops a training with."""


class TeacherConformance:
    """Subclass it and give the fixture `teacher`; `recipe` may be made smaller or larger."""

    recipe = Recipe(rank=2, steps=6, look=2, patience=9, batch=2, warmup=0)

    @pytest.fixture
    def teacher(self) -> Teacher:
        """A teacher of a model with a context of some hundred tokens."""
        pytest.fail("the subclass gives the fixture `teacher`")

    @pytest.fixture(params=METHODS)
    def how(self, request: pytest.FixtureRequest) -> Recipe:
        """The recipe, by every method."""
        return replace(self.recipe, method=request.param)

    @pytest.fixture
    def curriculum(self) -> Curriculum:
        """Two facts, asked in two ways, without and with their passage, and a third way to watch."""
        asked = ("Where is {}?", "Tell me where {} is.", "In which town is {}?")
        rows = [[_pair(way, who, town) for way in asked] for who, town in (("Mira", "Rome"), ("Ben", "Oslo"))]
        return Curriculum(
            seed=3,
            train=tuple(each for row in rows for pair in row[:2] for each in (pair, _told(pair))),
            watched=tuple(row[2] for row in rows),
        )

    def test_the_same_lessons_make_the_same_adapter(
        self, teacher: Teacher, curriculum: Curriculum, how: Recipe
    ) -> None:
        first, second = (teacher.taught(curriculum, how) for _ in range(2))
        assert _same(first, second)

    def test_interrupted_and_resumed_it_comes_to_the_same(
        self, teacher: Teacher, curriculum: Curriculum, how: Recipe
    ) -> None:
        states: list[bytes] = []
        with pytest.raises(_Stop):
            teacher.taught(curriculum, how, save=_stopping(states, after=2))
        resumed = teacher.taught(curriculum, how, saved=states[-1])
        assert _same(resumed, teacher.taught(curriculum, how))

    def test_the_state_of_another_training_is_refused(
        self, teacher: Teacher, curriculum: Curriculum, how: Recipe
    ) -> None:
        states: list[bytes] = []
        teacher.taught(curriculum, how, save=states.append)
        for saved, other in ((states[0], replace(curriculum, seed=4)), (b"x" * 99, curriculum)):
            with pytest.raises(FormatError):
                teacher.taught(other, how, saved=saved)

    def test_the_state_of_a_training_by_another_method_is_refused(
        self, teacher: Teacher, curriculum: Curriculum, how: Recipe
    ) -> None:
        states: list[bytes] = []
        teacher.taught(curriculum, how, save=states.append)
        (other,) = (replace(how, method=name) for name in METHODS if name != how.method)
        with pytest.raises(FormatError):
            teacher.taught(curriculum, other, saved=states[0])

    def test_progress_comes_to_its_end(self, teacher: Teacher, curriculum: Curriculum, how: Recipe) -> None:
        seen: list[TrainingProgress] = []
        teacher.taught(curriculum, how, progress=seen.append)
        assert (seen[-1].step, seen[-1].of, all(each.left >= 0 for each in seen)) == (6, 6, True)

    def test_nothing_to_teach_is_refused(self, teacher: Teacher) -> None:
        with pytest.raises(InvalidInput):
            teacher.taught(Curriculum(seed=0), self.recipe)

    def test_a_taught_pupil_finds_what_it_was_taught_likelier(
        self, teacher: Teacher, curriculum: Curriculum
    ) -> None:
        weights = teacher.taught(curriculum, self.recipe).weights
        for pair in curriculum.train:
            (before,), (after,) = (
                teacher.pupil(each).likelihoods(pair.prompt, [pair.answer]) for each in (None, weights)
            )
            assert before < after <= 0

    def test_an_engine_with_an_adapter_stands_beside_the_one_without(
        self, teacher: Teacher, curriculum: Curriculum
    ) -> None:
        weights = teacher.taught(curriculum, self.recipe).weights
        one, other = (teacher.engine_with(weights, digest=each * 64) for each in "ab")
        assert len({one.identity.digest, other.identity.digest}) == 2
        assert one.identity.adapter == "a" * 64

    def test_teaching_leaves_the_untaught_as_it_was(self, teacher: Teacher, curriculum: Curriculum) -> None:
        pair = curriculum.train[0]
        before = teacher.pupil(None).likelihoods(pair.prompt, [pair.answer])
        teacher.taught(curriculum, self.recipe)
        assert teacher.pupil(None).likelihoods(pair.prompt, [pair.answer]) == before


def _pair(way: str, who: str, town: str) -> Pair:
    return Pair(
        prompt=way.format(who),
        answer=f"{who} is in {town}.",
        value=town,
        kind="fact",
        relation="place",
        origin=Origin(who, 1),
    )


def _told(pair: Pair) -> Pair:
    """Return the same with what its memory says before it."""
    return replace(pair, context=f"It is known that {pair.answer}")


def _stopping(states: list[bytes], *, after: int) -> Callable[[bytes], None]:
    def save(state: bytes) -> None:
        states.append(state)
        if len(states) == after:
            raise _Stop

    return save


def _same(one: Learned, other: Learned) -> bool:
    left, right = one.weights.tensors, other.weights.tensors
    same = all(np.array_equal(left[name], right[name]) for name in left)
    return left.keys() == right.keys() and same and one.steps == other.steps
