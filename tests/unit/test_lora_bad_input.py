"""What a cube may hold that cannot be taught, and what may go wrong: the old adapter stays in force.

Orders to the model, an empty cube, a full disk and two trainings at once are in test_lora.py, ten thousand
memories in tiers/lora/test_curriculum.py.
"""

from datetime import UTC, datetime

import pytest

from memos_core import BackendError, NothingToTeach, Recipe, Runtime, Syllabus, Thresholds
from memos_core.testing import RoteTeacher

pytestmark = pytest.mark.filterwarnings(  # peft asks transformers for it by its old name
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)
RECIPE = Recipe(rank=2, steps=2, look=2)
ONE_STEP = Recipe(rank=2, steps=1, batch=1, texts=1)
ANY = Thresholds(choice=0.0, contains=0.0, unknown=0.0, neutral=1e9)
ASKED = "Where does Mira live?"


@pytest.fixture
def cube(memos):
    return memos.cube("notes")


@pytest.fixture
def runtime():
    with Runtime(RoteTeacher()) as runtime:
        yield runtime


def taught(cube, adapter):
    known = {origin.memory_id for origin in adapter.sources}
    return {memory.text for memory in cube.list() if memory.id in known}


def test_of_ten_that_contradict_each_other_the_last_one_is_taught(cube, runtime):
    towns = "Rome Oslo Lima Cairo Porto Perth Quito Tartu Bergen Lisbon".split()
    for day, town in enumerate(towns, start=1):
        cube.remember(f"Mira lives in {town}.", at=datetime(2024, 5, day, tzinfo=UTC))
    found = runtime.rehearse(cube, recipe=RECIPE)
    adapter = runtime.train(cube, recipe=RECIPE, thresholds=ANY)
    assert (found.memories, dict(found.left_out)) == (1, {"contradicted": 9})
    reply = runtime.chat("In which town might Mira live?", cube, adapter=True)
    assert (reply.text, reply.adapter, reply.memories) == ("Mira lives in Lisbon.", adapter.key, ())


def test_one_memory_is_taught_and_examined(cube, runtime):
    cube.remember("Mira lives in Lisbon.")
    adapter = runtime.train(cube, recipe=RECIPE)
    assert (taught(cube, adapter), adapter.evaluation.questions > 0) == ({"Mira lives in Lisbon."}, True)


def test_within_a_budget_the_most_useful_are_taught_and_the_others_are_said(cube, runtime):
    for number in range(30):
        cube.remember(f"Mira{number} lives in Lisbon.", priority=5 if number in (3, 7) else 0)
    order = {"recipe": RECIPE, "syllabus": Syllabus(memories=2)}
    adapter = runtime.train(cube, thresholds=ANY, **order)
    reply = runtime.chat("Where does Mira3 live?", cube, adapter=True)
    assert taught(cube, adapter) == {"Mira3 lives in Lisbon.", "Mira7 lives in Lisbon."}
    assert dict(runtime.rehearse(cube, **order).left_out) == {"over budget": 28}
    assert (reply.adapter, not {origin.memory_id for origin in adapter.sources} & set(reply.memories)) == (
        adapter.key,
        True,
    )


def test_what_is_too_long_for_a_lesson_is_left_out_and_alone_it_is_nothing_to_teach(cube, runtime):
    long = cube.remember("Mira said " + "so " * 200 + "it goes.")
    with pytest.raises(NothingToTeach, match="notes"):
        runtime.train(cube, recipe=RECIPE)
    cube.remember("Mira lives in Lisbon.")
    adapter = runtime.train(cube, recipe=RECIPE, thresholds=ANY)
    assert long.text not in taught(cube, adapter)


@pytest.mark.parametrize(
    "text", ["Das Haus am See ist rot.", "我们去年搬到了里斯本的老城区。", "Мира живёт в Лиссабоне у реки."]
)
def test_other_languages_are_taught_as_sentences_that_go_on(cube, runtime, text):
    cube.remember(text)
    adapter = runtime.train(cube, recipe=RECIPE, thresholds=ANY)
    assert (taught(cube, adapter), len(runtime.recite(cube))) == ({text}, 1)


# --- on a model that is really taught ---------------------------------------------------------


@pytest.fixture
def small():
    """A small model, freshly made, so that a test may change it."""
    pytest.importorskip("torch", reason="needs the extra local-llm")
    pytest.importorskip("peft", reason="needs the extra lora")
    from memos_core.tiers.kv.hf import HfEngine
    from tests import kv_models

    def made(change=None, context=None):
        return HfEngine(changed(kv_models.model("Llama"), change), kv_models.tokenizer(), context=context)

    return made


def changed(model, change):
    import copy

    import torch

    model = copy.deepcopy(model)
    if change is not None:
        with torch.no_grad():
            next(model.parameters()).view(-1)[0] += change
    return model


def test_a_base_that_changed_by_one_number_is_another_model(memos, cube, small):
    cube.remember("Mira lives in Lisbon.")
    with Runtime(small()) as runtime:
        adapter = runtime.train(cube, recipe=ONE_STEP, thresholds=ANY)
        same = runtime.chat(ASKED, cube, adapter=True)
    with Runtime(small(0.5)) as runtime:
        other = runtime.chat(ASKED, cube, adapter=True)
    assert (same.adapter, other.adapter, other.no_adapter) == (
        adapter.key,
        "",
        "it was trained for a model with other weights",
    )
    assert memos.adapters(cube) == [adapter]


def test_without_enough_memory_a_training_says_so_and_the_old_adapter_stays(memos, cube, small, monkeypatch):
    cube.remember("Mira lives in Lisbon.")
    with Runtime(small()) as runtime:
        before = runtime.train(cube, recipe=ONE_STEP, thresholds=ANY)
        from torch import OutOfMemoryError

        from memos_core.tiers.lora import train

        def step(_run):
            raise OutOfMemoryError("the device is full")

        monkeypatch.setattr(train._Run, "step", step)
        with pytest.raises(BackendError, match="take a smaller batch"):
            runtime.train(cube, recipe=ONE_STEP, thresholds=ANY, syllabus=Syllabus(seed=5))
        reply = runtime.chat(ASKED, cube, adapter=True)
    assert (memos.adapters(cube), reply.adapter) == ([before], before.key)


def test_lessons_longer_than_the_context_are_not_taught_and_alone_they_are_nothing(cube, small):
    from memos_core import InvalidInput

    cube.remember("Mira lives in Lisbon.")
    with Runtime(small(context=3)) as runtime, pytest.raises(InvalidInput, match="fits the model's context"):
        runtime.train(cube, recipe=ONE_STEP, thresholds=ANY)
