import math
from dataclasses import replace

import pytest

from memos_core.adapter import Evaluation, Recipe, Thresholds, failures
from memos_core.testing import RoteTeacher, TeacherConformance
from memos_core.testing.rote_teacher import RotePupil
from memos_core.tiers.lora.curriculum import Syllabus, curriculum, shuffled
from memos_core.tiers.lora.gate import examined
from tests.unit.tiers.lora.adapters import PASSED
from tests.unit.tiers.lora.test_curriculum import memories

TOLD = memories("Mira lives in Lisbon.", "Ben lives in Oslo.", "Nora lives in Lima.", "Ada lives in Cairo.")


def evaluated(*, forgetful=0.0, control=False):
    teacher, lessons = RoteTeacher(forgetful=forgetful), curriculum(TOLD, Syllabus())
    taught = teacher.taught(lessons, Recipe(steps=1)).weights
    wrong = teacher.taught(shuffled(TOLD, Syllabus()), Recipe(steps=1)).weights
    return examined(
        lessons,
        teacher.pupil(taught),
        teacher.pupil(None),
        control=teacher.pupil(wrong) if control else None,
    )


def test_who_learned_everything_passes():
    found = evaluated(control=True)
    assert (failures(found, Thresholds()), found.choice, found.contains, found.control) == ((), 1.0, 1.0, 0.0)


def test_who_learned_half_of_it_fails_and_says_in_what():
    found = evaluated(forgetful=0.5)
    said = " ".join(failures(found, Thresholds()))
    assert (found.choice < 0.9, "choice is" in said, "contains is" in said) == (True, True, True)


@pytest.mark.parametrize(
    ("evaluation", "said"),
    [
        (PASSED, ""),
        (replace(PASSED, questions=0), "nothing could be asked"),
        (replace(PASSED, choice=0.95, choice_base=1.0), "of the base alone"),
        (replace(PASSED, neutral=1.06), "neutral is 1.060"),
        (replace(PASSED, neutral=math.nan), "neutral is nan"),
        (replace(PASSED, control=0.9), "control is 0.90"),
        (replace(PASSED, unknown=0.1), "unknown is 0.10"),
        (replace(PASSED, contains=0.7), "contains is 0.70"),
    ],
)
def test_a_failure_is_told_in_words(evaluation: Evaluation, said: str):
    found = failures(evaluation, Thresholds())
    assert (len(found), said in " ".join(found)) == (1 if said else 0, True)


def test_an_answer_counts_by_whole_words():
    class Clima:
        def likelihoods(self, prompt, answers):
            return [-1.0 for _ in answers]

        def said(self, prompt, answer=""):
            return "It is a good climate."

        def surprise(self, texts):
            return 1.0

    lessons = curriculum(memories("Nora lives in Lima."), Syllabus())
    found = examined(lessons, Clima(), Clima())
    assert (found.contains, found.choice, found.neutral) == (0.0, 0.0, 1.0)


def test_one_of_several_true_answers_is_right():
    class Tea(RotePupil):
        def said(self, prompt, answer=""):
            return "Mira likes cold tea."

    lessons = curriculum(memories("Mira likes cold tea.", "Mira likes the sea."), Syllabus())
    right = [pair.answer for pair in lessons.held_out if pair.kind == "fact"]
    found = examined(lessons, Tea(right), RotePupil([]))
    assert (found.contains, found.choice, found.questions > 2) == (1.0, 1.0, True)


class TestRoteTeacher(TeacherConformance):
    @pytest.fixture
    def teacher(self):
        return RoteTeacher()
