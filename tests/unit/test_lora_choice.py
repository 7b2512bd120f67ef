"""Which of a cube's adapters answers: the one that was chosen, and never one that failed since."""

import pytest

from memos_core import (
    Blend,
    InvalidInput,
    NotFound,
    Recipe,
    Runtime,
    Syllabus,
    Thresholds,
)
from memos_core.testing import RoteTeacher

RECIPE = Recipe(rank=2, steps=2, look=2)
ANY = Thresholds(choice=0.0, contains=0.0, unknown=0.0)
ASKED = "In which town might Mira live?"


@pytest.fixture
def told(memos):
    cube = memos.cube("notes")
    for fact in ("Mira lives in Lisbon.", "Ben lives in Oslo.", "Nora lives in Lima.", "Ada lives in Cairo."):
        cube.remember(fact)
    return cube


@pytest.fixture
def runtime():
    with Runtime(RoteTeacher()) as runtime:
        yield runtime


@pytest.fixture
def two(told, runtime):
    """Two adapters of one cube, the older first."""
    return [runtime.train(told, recipe=RECIPE, syllabus=Syllabus(seed=seed)) for seed in (1, 2)]


def answering(runtime, cube):
    return runtime.chat(ASKED, cube, adapter=True, reuse=False)


class Other(RoteTeacher):
    """Another model."""

    @property
    def identity(self):
        from dataclasses import replace

        return replace(super().identity, weights="other")


def test_an_older_one_that_is_activated_answers_and_so_it_does_after_the_next_training(
    memos, told, runtime, two
):
    memos.activate_adapter(two[0])
    third = runtime.train(told, recipe=RECIPE, syllabus=Syllabus(seed=3))
    chosen = [each.chosen for each in memos.adapters(told)]
    assert (answering(runtime, told).adapter, chosen) == (two[0].key, [True, None, None])
    memos.activate_adapter(third)
    chosen = [each.chosen for each in memos.adapters(told)]
    assert (answering(runtime, told).adapter, chosen) == (third.key, [None, None, True])


def test_the_choice_outlives_the_process(open_memos, runtime):
    with open_memos() as memos:
        cube = memos.cube("notes")
        cube.remember("Mira lives in Lisbon.")
        made = [
            runtime.train(cube, recipe=RECIPE, syllabus=Syllabus(seed=seed), thresholds=ANY)
            for seed in (1, 2)
        ]
        memos.activate_adapter(made[0])
    with open_memos() as memos:
        assert answering(runtime, memos.cube("notes")).adapter == made[0].key


def test_one_that_is_deactivated_lets_an_older_one_answer_and_the_last_one_says_why(
    memos, told, runtime, two
):
    memos.deactivate_adapter(two[1])
    first = answering(runtime, told)
    memos.deactivate_adapter(two[0])
    second = answering(runtime, told)
    assert (first.adapter, second.adapter, second.no_adapter, len(second.memories)) == (
        two[0].key,
        "",
        "it was deactivated",
        4,
    )
    memos.activate_adapter(two[1])
    assert answering(runtime, told).adapter == two[1].key


def test_a_chosen_one_that_goes_stale_leaves_the_choice_to_the_newest(memos, told, runtime):
    older = runtime.train(told, recipe=RECIPE)
    zoe = told.remember("Zoe lives in Perth.")
    newer = runtime.train(told, recipe=RECIPE)
    memos.activate_adapter(newer)
    told.forget(zoe.id)
    assert answering(runtime, told).adapter == older.key


def test_the_choice_is_for_one_model(memos, told, runtime, two):
    with Runtime(Other()) as other:
        theirs = other.train(told, recipe=RECIPE)
        memos.activate_adapter(two[0])
        memos.activate_adapter(theirs)
        assert answering(other, told).adapter == theirs.key
    assert answering(runtime, told).adapter == two[0].key


def test_one_that_failed_cannot_be_activated(memos, told):
    with Runtime(RoteTeacher(forgetful=0.75)) as runtime:
        adapter = runtime.train(told, recipe=RECIPE)
    with pytest.raises(InvalidInput, match=r"did not pass.*contains is 0\.25.*train another one"):
        memos.activate_adapter(adapter)
    assert memos.adapters(told)[0].chosen is None


@pytest.mark.parametrize("verb", ["activate_adapter", "deactivate_adapter"])
@pytest.mark.parametrize("gone", ["stale", "dropped"])
def test_what_is_gone_cannot_be_chosen(memos, told, two, verb, gone):
    if gone == "stale":
        told.forget(told.list()[0].id)
    else:
        memos.drop_adapters(two)
    with pytest.raises(NotFound, match="adapter"):
        getattr(memos, verb)(two[0])


def test_who_chose_stands_in_the_audit(memos, told, two):
    memos.activate_adapter(two[0])
    memos.deactivate_adapter(two[0])
    lines = [(line.verb, line.detail) for line in memos.audit() if line.verb.endswith("activate_adapter")]
    assert sorted(lines) == [("activate_adapter", two[0].key), ("deactivate_adapter", two[0].key)]


# --- examined again --------------------------------------------------------------------------


def test_examined_again_it_comes_to_the_same_and_that_is_kept(memos, told, runtime, two):
    found = runtime.examine(told, two[0])
    assert (found.examined.evaluation, found.examined.failed) == (two[0].evaluation, ())
    assert (memos.adapters(told)[0], found.promoted) == (found, True)


def test_without_a_name_the_one_that_answers_is_examined(memos, told, runtime, two):
    memos.activate_adapter(two[0])
    assert runtime.examine(told).key == two[0].key


def test_one_that_fails_when_it_is_examined_again_answers_no_more_until_it_passes(memos, told, runtime):
    adapter = runtime.train(told, recipe=RECIPE)
    strict = Thresholds(neutral=0.5)
    failed = runtime.examine(told, adapter, thresholds=strict)
    reply = answering(runtime, told)
    assert (failed.promoted, failed.failed, reply.adapter) == (False, (), "")
    assert reply.no_adapter.startswith("it did not pass when it was examined again: neutral is 1.000")
    with pytest.raises(InvalidInput, match="neutral is"):
        memos.activate_adapter(failed)
    assert (runtime.examine(told, failed).promoted, answering(runtime, told).adapter) == (True, adapter.key)


def test_the_last_examination_counts_also_where_the_first_was_failed(told):
    with Runtime(RoteTeacher(forgetful=0.75)) as runtime:
        adapter = runtime.train(told, recipe=RECIPE)
        lenient = runtime.examine(told, adapter, thresholds=ANY)
        reply = answering(runtime, told)
    assert (adapter.promoted, lenient.promoted, reply.adapter) == (False, True, adapter.key)


def test_one_of_another_model_is_not_examined_on_this_one(told, two):
    with Runtime(Other()) as other, pytest.raises(InvalidInput, match="other weights"):
        other.examine(told, two[0])


def test_one_of_another_cube_is_refused(memos, two, runtime):
    with pytest.raises(InvalidInput, match="of the cube 'notes'"):
        runtime.examine(memos.cube("other"), two[0])


def test_what_is_stale_or_not_there_is_not_examined(told, runtime, two):
    told.forget(told.list()[0].id)
    for given in (two[0], None):
        with pytest.raises(NotFound, match="adapter"):
            runtime.examine(told, given)


# --- beside others ---------------------------------------------------------------------------


class Noting(RoteTeacher):
    """Notes the rank of every adapter that it is examined with."""

    def __init__(self):
        super().__init__()
        self.ranks = []

    def pupil(self, weights):
        self.ranks.append(0 if weights is None else weights.rank)
        return super().pupil(weights)


def test_beside_others_an_adapter_is_asked_with_theirs_on_as_many_as_may_be(memos, told):
    with Runtime(Noting()) as runtime:
        for name, text in (("zoe", "Zoe lives in Perth."), ("gus", "Gus lives in Quito.")):
            memos.cube(name).remember(text)
            runtime.train(memos.cube(name), recipe=RECIPE, thresholds=ANY)
        runtime.train(told, recipe=RECIPE)
        runtime.engine.ranks.clear()
        others = [memos.cube("zoe"), told, memos.cube("gus"), memos.cube("empty")]
        claims = [runtime.recite(told)]
        claims += [runtime.recite(told, blend=Blend(cubes=others, most=most)) for most in (1, 2, 8)]
    assert (runtime.engine.ranks, [len(each) for each in claims]) == ([2, 2, 4, 6], [4, 4, 4, 4])
