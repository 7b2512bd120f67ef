"""The benchmark of adapters, with a teacher that learns by rote: every figure it writes, and its tables."""

import json

import pytest

from benchmarks.lora.blended import blended
from benchmarks.lora.people import person
from benchmarks.lora.table import rendered
from benchmarks.lora.taught import taught, told
from memos_core import Recipe, Runtime
from memos_core.testing import RoteTeacher
from memos_core.tiers.lora.curriculum import Syllabus, curriculum

RECIPE = Recipe(rank=2, steps=2, look=2)


@pytest.mark.parametrize("facts", [1, 5, 20, 50])
def test_a_person_has_so_many_facts_and_each_can_be_asked_for(memos, facts):
    cube = told(memos, seed=2, facts=facts)
    lessons = curriculum(cube.list(), Syllabus())
    assert (len(person(2, facts)[1]), len(cube.list()), lessons.left_out) == (facts, facts, ())
    assert len(lessons.sources) == facts


def test_the_same_seed_makes_the_same_person():
    assert (person(7, 20), person(7, 20)[0] != person(8, 20)[0]) == (person(7, 20), True)


def test_a_person_is_taught_and_asked_in_four_ways(memos):
    with Runtime(RoteTeacher()) as runtime:
        cube = told(memos, seed=2, facts=5)
        row, pupil = taught(memos, cube, runtime, RECIPE, control=True, questions=3)
        together = [blended(runtime, [pupil, pupil], count) for count in (1, 2)]
    assert list(row["ways"]) == ["base", "adapter", "text", "both"]
    assert row["ways"]["text"]["prompt_tokens"] > row["ways"]["adapter"]["prompt_tokens"]
    assert (row["evaluation"]["control"] is not None, [each["adapters"] for each in together]) == (
        True,
        [1, 2],
    )
    record = {"note": "", "rows": [{"facts": 5, "person": 0, **row}], "blended": together}
    page = rendered(json.loads(json.dumps(record)))
    assert all(words in page for words in ("| 5 |", "contains", "`cat`"))
