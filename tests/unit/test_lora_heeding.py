"""An examination, and the training of a control, stop within one question or step when they are told to."""

import time
from datetime import timedelta

import pytest

from memos_core import Recipe, Runtime
from memos_core.testing import RoteTeacher
from memos_core.tiers.lora.curriculum import Syllabus, curriculum, shuffled
from memos_core.tiers.lora.gate import examined
from tests.unit.tiers.lora.test_curriculum import memories

RECIPE = Recipe(rank=2, steps=4, look=2)
PAYLOAD = {"rank": 2, "steps": 4, "look": 2}
FACTS = ("Mira lives in Lisbon.", "Ben lives in Oslo.", "Nora lives in Lima.", "Ada lives in Cairo.")


class Asked(RoteTeacher):
    """Its pupils note every question; at the one with the number `at` they do something first."""

    def __init__(self, at=10**9, do=lambda: None):
        super().__init__()
        self.at, self.do, self.questions, self.steps = at, do, 0, []

    def taught(self, curriculum, recipe, *, saved=None, save=None, progress=None):
        def tell(news):
            self.steps.append(news.step)
            if progress is not None:
                progress(news)

        return super().taught(curriculum, recipe, saved=saved, save=save, progress=tell)

    def pupil(self, weights):
        return Noted(self, super().pupil(weights))


class Noted:
    def __init__(self, teacher, inner):
        self._teacher, self._inner = teacher, inner

    def _note(self):
        self._teacher.questions += 1
        if self._teacher.questions == self._teacher.at:
            self._teacher.do()

    def likelihoods(self, prompt, answers):
        self._note()
        return self._inner.likelihoods(prompt, answers)

    def said(self, prompt, answer=""):
        self._note()
        return self._inner.said(prompt)

    def surprise(self, texts):
        self._note()
        return self._inner.surprise(texts)


@pytest.fixture
def told(memos):
    cube = memos.cube("notes")
    for fact in FACTS:
        cube.remember(fact)
    return cube


@pytest.fixture
def at_once(monkeypatch):
    """Let a job's progress be written down every time, not once a second."""
    monkeypatch.setattr("memos_core.scheduler.work.TELLING", 0.0)


def run(memos, teacher):
    with Runtime(teacher) as runtime:
        memos.worker(runtime=runtime).run_until_idle()


ORDERS = {"train": PAYLOAD, "evaluate": {}}


@pytest.mark.parametrize("kind", ORDERS)
@pytest.mark.parametrize("at", [1, 7, 20])
def test_one_that_is_cancelled_while_it_is_examined_asks_no_further_question(memos, told, at_once, kind, at):
    before = []
    if kind == "evaluate":
        with Runtime(RoteTeacher()) as runtime:
            before.append(runtime.train(told, recipe=RECIPE))
    teacher = Asked(at, lambda: memos.jobs.cancel(job.id))
    job = memos.jobs.submit(kind, cube=told, payload=ORDERS[kind])
    run(memos, teacher)
    assert (memos.jobs.get(job.id).state, teacher.questions, list(memos.adapters(told))) == (
        "cancelled",
        at,
        before,
    )


@pytest.mark.parametrize("kind", ORDERS)
def test_one_that_takes_too_long_while_it_is_examined_asks_no_further_question(memos, told, kind):
    if kind == "evaluate":
        with Runtime(RoteTeacher()) as runtime:
            runtime.train(told, recipe=RECIPE)
    job = memos.jobs.submit(kind, cube=told, payload=ORDERS[kind], timeout=timedelta(seconds=0.5))

    def wait():
        until = time.monotonic() + 30
        while memos.jobs.get(job.id).state == "running" and time.monotonic() < until:
            time.sleep(0.02)

    teacher = Asked(7, wait)
    run(memos, teacher)
    found = memos.jobs.get(job.id)
    assert (found.state, "took longer than 0.5 s" in found.error, teacher.questions) == ("delayed", True, 7)
    assert [each.examined for each in memos.adapters(told)] == ([] if kind == "train" else [None])


def test_one_that_is_cancelled_while_its_control_learns_stops_at_the_next_step(memos, told, at_once):
    teacher = Asked()
    inner = teacher.taught

    def taught(curriculum, recipe, **given):
        if teacher.steps:  # the second one is the control
            memos.jobs.cancel(job.id)
        return inner(curriculum, recipe, **given)

    teacher.taught = taught
    job = memos.jobs.submit("train", cube=told, payload={**PAYLOAD, "control": True})
    run(memos, teacher)
    assert (memos.jobs.get(job.id).state, teacher.steps, teacher.questions) == (
        "cancelled",
        [1, 2, 3, 4, 1],
        0,
    )


def test_one_that_is_stopped_while_it_is_examined_goes_on_from_its_last_look(memos, told):
    def stop():
        raise KeyboardInterrupt

    with Runtime(Asked(5, stop)) as runtime, pytest.raises(KeyboardInterrupt):
        runtime.train(told, recipe=RECIPE)
    again = Asked()
    with Runtime(again) as runtime:
        adapter = runtime.train(told, recipe=RECIPE)
    assert (again.steps, again.questions > 0, adapter.promoted) == ([], True, True)


def test_an_examination_tells_before_every_question_how_many_were_asked(memos, told):
    seen, teacher = [], Asked()
    with Runtime(teacher) as runtime:
        adapter = runtime.train(told, recipe=RECIPE)
        teacher.questions = 0
        runtime.examine(told, adapter, progress=lambda asked, of: seen.append((asked, of)))
    assert seen == [(number, teacher.questions) for number in range(teacher.questions)]


def test_whoever_wants_to_be_heard_is_after_a_controls_steps_and_before_every_question(memos, told):
    seen, heard, teacher = [], [], Asked()
    with Runtime(teacher) as runtime:
        runtime.train(
            told,
            recipe=RECIPE,
            control=True,
            progress=lambda news: seen.append(news.step),
            heed=lambda: heard.append(teacher.questions),
        )
    assert (seen, heard) == ([1, 2, 3, 4], [0, 0, 0, 0, *range(teacher.questions)])


def test_who_is_heard_changes_nothing_about_what_is_found():
    given, teacher = memories(*FACTS), RoteTeacher()
    lessons = curriculum(given, Syllabus())
    pupil, wrong = (
        teacher.pupil(teacher.taught(each, RECIPE).weights) for each in (lessons, shuffled(given, Syllabus()))
    )
    asked = []
    quiet, heard = (
        examined(lessons, pupil, teacher.pupil(None), control=wrong, progress=each)
        for each in (None, lambda done, of: asked.append((done, of)))
    )
    assert (heard, asked) == (quiet, [(number, len(asked)) for number in range(len(asked))])
