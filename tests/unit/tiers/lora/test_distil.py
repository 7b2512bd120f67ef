from dataclasses import asdict, replace

import pytest

pytest.importorskip("torch", reason="needs the extra local-llm")
pytest.importorskip("peft", reason="needs the extra lora")

import torch

from memos_core.adapter import Recipe, adapter_key, written
from memos_core.segment import Origin
from memos_core.tiers.lora.curriculum import Syllabus, curriculum
from memos_core.tiers.lora.distil import Lesson, cost, informed
from memos_core.tiers.lora.passes import Row, loss
from memos_core.tiers.lora.phrased import asked_of, enriched
from memos_core.tiers.lora.train import Job
from tests.unit.tiers.lora.adapters import BASE
from tests.unit.tiers.lora.test_curriculum import memories

ROW = Row((1, 2, 3), 1)  # the answer is two tokens


def test_every_question_is_learned_once_and_those_about_facts_have_a_teacher():
    train = curriculum(memories("Mira lives in Rome.", "Ben lives in Oslo."), Syllabus()).train
    found = informed(train)
    assert [pair for pair, _ in found] == [pair for pair in train if not pair.context]
    assert {(pair.kind == "fact", told is not None) for pair, told in found} == {(True, True), (False, False)}
    assert all(told is None or replace(told, context="") == pair for pair, told in found)


def test_a_pair_that_is_there_only_with_its_passage_has_a_teacher():
    (pair,) = [
        each for each in curriculum(memories("Mira lives in Rome."), Syllabus()).train if each.context
    ][:1]
    assert informed([pair]) == [(replace(pair, context=""), pair)]


def test_a_phrasing_of_a_chat_model_has_the_teacher_that_its_question_has():
    told, syllabus = memories("Mira lives in Rome."), Syllabus()
    (asked,) = asked_of(told, syllabus)
    rich = enriched(curriculum(told, syllabus), {asked: ["In which town is Mira at home?"]})
    found = {pair.prompt: teacher for pair, teacher in informed(rich.train)}
    assert found["In which town is Mira at home?"] == replace(
        found[asked.text], prompt="In which town is Mira at home?"
    )


def test_who_says_what_the_teacher_says_has_nothing_to_learn():
    logits = torch.tensor([[1.0, 2.0, 0.5, -1.0], [0.0, 3.0, 1.0, 1.0]])
    found = cost([Lesson(ROW, ROW)], [logits + 7.0], [logits])  # a constant changes no probability
    assert float(found) == pytest.approx(0.0, abs=1e-6)


def test_the_cost_is_the_divergence_from_the_teacher_summed_over_the_tokens():
    pupil, teacher = torch.zeros(2, 4), torch.log(torch.tensor([[0.5, 0.5, 1e-9, 1e-9]] * 2))
    two = torch.log(torch.tensor(2.0))  # a half where the pupil has a quarter: ln 2 at each of two tokens
    assert float(cost([Lesson(ROW, ROW)], [pupil], [teacher])) == pytest.approx(2 * float(two), abs=1e-5)


def test_without_a_teacher_the_cost_is_that_of_the_words():
    torch.manual_seed(0)
    one, other, teacher = (torch.randn(2, 5) for _ in range(3))
    both = cost([Lesson(ROW), Lesson(ROW, ROW)], [one, other], [teacher])
    apart = loss(ROW, one).sum() + cost([Lesson(ROW, ROW)], [other], [teacher])
    assert float(both) == pytest.approx(float(apart))


def test_another_method_is_another_key_and_the_default_keeps_the_key_of_before():
    facts = {"base": BASE, "cube": "the-cube", "sources": (Origin("m1", 3),), "syllabus": asdict(Syllabus())}
    default = Recipe(  # as it was when there was one method
        rank=16, alpha=32.0, targets="all-linear", rate=8e-4, warmup=4, batch=8,
        replay=1.0, texts=3, steps=90, look=15, patience=3,
    )  # fmt: skip
    before = "79ff8f6aef65f312ee9be748d6c910aabe2e96b03213e5e541289fc24c01dd12"
    assert adapter_key(**facts, recipe=default) == before
    assert adapter_key(**facts, recipe=replace(default, method="distil")) != before
    assert ("method" in written(default), written(Recipe(method="distil"))["method"]) == (False, "distil")


def test_a_training_that_was_begun_when_there_was_one_method_goes_on():
    recipe = Recipe(
        rank=16, alpha=32.0, targets="all-linear", rate=8e-4, warmup=4, batch=8,
        replay=1.0, texts=3, steps=90, look=15, patience=3,
    )  # fmt: skip
    rows = {"lessons": (Row((1, 2, 3), 2),), "watched": (Row((1, 2), 1),), "neutral": (Row((4, 5), 1),)}
    found = Job(seed=1, **rows, recipe=recipe, base="w").digest
    assert found == "fe8a0ed016c0834d390f619bbd2d253bb7a0adcec1ca8eabfb2c371eb1d703fe"
