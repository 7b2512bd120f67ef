"""The benchmark of adapters, with a teacher that learns by rote: every figure it writes, and its tables."""

import json
import time
from dataclasses import replace

import pytest

from benchmarks.lora.__main__ import main
from benchmarks.lora.blended import blended
from benchmarks.lora.costs import Way, break_even, cheapest
from benchmarks.lora.people import person
from benchmarks.lora.sequential import stage
from benchmarks.lora.table import rendered
from benchmarks.lora.taught import taught, told
from benchmarks.report import page
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


def test_a_person_is_taught_and_asked_in_every_way(memos):
    with Runtime(RoteTeacher()) as runtime:
        cube = told(memos, seed=2, facts=5)
        row, pupil = taught(memos, cube, runtime, RECIPE, control=True, questions=3)
        together = [blended(runtime, [pupil, pupil], count) for count in (1, 2)]
    assert list(row["ways"]) == ["base", "adapter", "text", "kv", "both"]
    assert (
        row["tokens_saved"] == row["ways"]["text"]["prompt_tokens"] - row["ways"]["adapter"]["prompt_tokens"]
    )
    assert set(row["costs"]) == {"text", "KV", "LoRA"}
    assert row["ways"]["text"]["prompt_tokens"] > row["ways"]["adapter"]["prompt_tokens"]
    assert (row["evaluation"]["control"] is not None, [each["adapters"] for each in together]) == (
        True,
        [1, 2],
    )
    rows = [{"facts": facts, "person": 0, **row, "note": "two, quiet"} for facts in (20, 5)]
    record = {"rows": rows, "blended": together, "stages": []}
    page = rendered(json.loads(json.dumps(record)))
    assert all(words in page for words in ("| 5 |", "contains", "`cat`", "tokens saved", "| two, quiet |"))
    assert page.index("| 5 |") < page.index("| 20 |")


def test_the_uses_from_which_on_a_dearer_way_is_the_cheaper_one():
    ways = {"text": Way(once=0, each=1.0), "KV": Way(once=3.1, each=0.4), "LoRA": Way(once=100.25, each=0.2)}
    even = break_even(ways)
    assert even == {"KV over text": 6, "LoRA over text": 126, "LoRA over KV": 486}
    for pair, uses in even.items():
        dear, _, cheap = pair.partition(" over ")
        both = {dear: ways[dear], cheap: ways[cheap]}
        assert (cheapest(both, uses - 1), cheapest(both, uses)) == (cheap, dear)


def test_a_way_that_saves_nothing_at_each_use_is_never_the_cheaper_one():
    assert break_even({"text": Way(once=0, each=1.0), "KV": Way(once=3, each=1.0)}) == {"KV over text": None}


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Run the benchmark with the twin, into a file; return the record and how often anything was taught."""
    taught_ = []

    class Counting(RoteTeacher):
        def taught(self, *given, **named):
            taught_.append(1)
            return super().taught(*given, **named)

    monkeypatch.setattr(Runtime, "open", lambda: Runtime(Counting()))

    def run(*words):
        taught_.clear()
        out = tmp_path / "lora.json"
        here = ("--out", str(out), "--work", str(tmp_path / "work"), "--facts", "2", "--questions", "2")
        main([*here, *words, "--steps", "2"])
        return json.loads(out.read_text()), len(taught_)

    return run


def test_a_run_writes_every_part_and_a_second_one_makes_only_what_is_missing(bench):
    words = ("--blend", "1", "2", "--stages", "2")
    first, taught_ = bench(*words, "--people", "2")
    again, none = bench(*words, "--people", "2")
    more, one = bench(*words, "--people", "3")
    parts = ("rows", "blended", "stages")
    assert [len(first[part]) for part in parts] == [2, 2, 2]
    assert [again[part] for part in parts] == [first[part] for part in parts]
    assert (taught_, none, one, more["rows"][:2], len(more["rows"])) == (5, 0, 1, first["rows"], 3)
    assert [row["told"] for row in first["stages"]] == [2, 4]
    assert "first: choice" in rendered(more)


def test_a_row_that_was_not_finished_is_made_again(bench, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("benchmarks.lora.__main__.stage", lambda *_given, **_named: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bench("--people", "1", "--blend", "--stages", "1")
    record, taught_ = bench("--people", "1", "--blend", "--stages", "1")
    assert (taught_, len(record["rows"]), len(record["stages"])) == (1, 1, 1)


def test_a_stage_takes_what_its_training_took_however_often_it_is_begun(memos):
    class Slow(RoteTeacher):
        def taught(self, *given, **named):
            time.sleep(0.1)
            return replace(super().taught(*given, **named), seconds=0.1)

    with Runtime(Slow()) as runtime:
        rows = [stage(memos, runtime, RECIPE, seed=2, facts=2, number=1) for _ in range(2)]
    assert [row["seconds"] for row in rows] == [0.1, 0.1]


def test_rows_of_other_settings_are_left_alone(bench):
    bench("--people", "1", "--blend", "--stages", "0")
    with pytest.raises(SystemExit, match="seed"):
        bench("--people", "1", "--seed", "9")


def controls(record):
    """Return who was taught wrong answers, beside their training or after it."""
    beside = [row["person"] for row in record["rows"] if row["evaluation"]["control"] is not None]
    return beside, [row["person"] for row in record["controls"]]


@pytest.mark.parametrize(
    ("words", "people"),
    [((), [0]), (("--control",), [0]), (("--control", "0"), []), (("--control", "2"), [0, 1])],
)
def test_so_many_people_of_each_size_are_taught_wrong_answers_too(bench, words, people):
    record, taught_ = bench("--people", "3", "--blend", "--stages", "0", *words)
    assert (controls(record), taught_) == ((people, []), 3 + len(people))


def test_who_has_no_control_yet_gets_one_and_no_row_is_lost(bench):
    few = ("--people", "2", "--blend", "--stages", "0")
    first, _ = bench(*few, "--control", "0")
    more, taught_ = bench(*few, "--control", "2")
    again, none = bench(*few)
    assert (more["rows"], controls(more), taught_, none) == (first["rows"], ([], [0, 1]), 2, 0)
    (known,) = {row["choice"] for row in more["controls"]}
    assert (again["controls"], again["rows"]) == (more["controls"], first["rows"])
    assert rendered(again).count(f"| {known:.2f} | 2 |") == 2  # beside the steps


def test_rows_of_a_run_that_knew_of_no_number_of_controls_are_kept(bench, tmp_path):
    record, _ = bench("--people", "1", "--blend", "--stages", "0", "--control", "0")
    old = {name: value for name, value in record.items() if name not in ("controls", "methods")}
    (tmp_path / "lora.json").write_text(json.dumps({**old, "control": False}))
    assert rendered(old) == rendered(record)
    more, taught_ = bench("--people", "1", "--blend", "--stages", "0", "--control", "0")
    assert (more["rows"], taught_) == (record["rows"], 0)


def test_a_control_that_knows_the_truth_fails_the_gate_in_the_table(bench):
    record, _ = bench("--people", "1", "--blend", "--stages", "0", "--control", "0")
    record["controls"] = [{"facts": 2, "person": 0, "choice": 0.75, "steps": 2, "seconds": 1.0}]
    assert "control is 0.75 and may be at most 0.50" in rendered(record)


def test_each_method_has_a_row_on_one_person_with_the_same_questions(bench):
    words = ("--people", "1", "--blend", "--stages", "0")
    record, taught_ = bench(*words, "--methods", "pairs", "distil")
    again, none = bench(*words, "--methods", "distil", "pairs")
    pairs, distil = record["methods"]
    assert (pairs["method"], distil["method"], taught_, none) == ("pairs", "distil", 3, 0)
    assert again["methods"] == record["methods"]
    gate = record["rows"][0]
    assert pairs["evaluation"] == {**gate["evaluation"], "control": None}
    assert (distil["evaluation"]["questions"], distil["steps"]) == (gate["evaluation"]["questions"], 2)
    page = rendered(record)
    assert ("| 2 | pairs |" in page, "| 2 | distil |" in page) == (True, True)


def test_a_method_is_taught_where_nobody_else_was(bench):
    record, taught_ = bench("--people", "0", "--blend", "--stages", "0", "--methods", "distil")
    (row,) = record["methods"]
    assert (record["rows"], taught_, row["evaluation"]["choice"]) == ([], 1, 1.0)


def test_another_method_is_refused(bench):
    with pytest.raises(SystemExit):
        bench("--methods", "magic")


def test_the_report_has_a_row_for_each_method(bench):
    record, _ = bench("--people", "1", "--blend", "--stages", "0", "--methods", "pairs", "distil")
    assert all(words in page({"lora": record}) for words in ("| 2 | pairs |", "| 2 | distil |"))
