"""The questions of the distance benchmark, and its record as tables."""

from __future__ import annotations

import json

import pytest

from benchmarks.kv import distance_table
from benchmarks.kv.questions import LOCOMO, PEOPLE, locomo, missing, people

ROW = {"mode": "first 16", "kl": 0.0123, "top1": 0.9, "gold": -3.5, "contains": 0.5, "seconds": 0.25}


def test_made_up_people_are_told_apart_by_what_is_asked():
    for case in people(20, memories=16, seed=1):
        assert case.corpus == PEOPLE
        assert len(set(case.memories)) == 16
        assert [case.answer in memory for memory in case.memories].count(True) == 1


def test_equal_seeds_ask_alike():
    assert list(people(5, memories=4, seed=1)) == list(people(5, memories=4, seed=1))
    assert list(people(5, memories=4, seed=1)) != list(people(5, memories=4, seed=2))


@pytest.fixture
def folder(tmp_path):
    turns = [{"dia_id": f"D1:{at}", "speaker": "Ana", "text": f"word{at} and more"} for at in range(1, 31)]
    asked = [
        {"question": "Which word?", "answer": "word7", "evidence": ["D1:7"]},
        {"question": "Not said so?", "answer": "elsewhere", "evidence": ["D1:9"]},
        {"question": "Two places?", "answer": "word3", "evidence": ["D1:3", "D1:4"]},
    ]
    talk = {"conversation": {"session_1": turns, "session_1_date_time": "today"}, "qa": asked}
    (tmp_path / "locomo-dev.json").write_text(json.dumps([talk]))
    return tmp_path


def test_of_locomo_only_questions_whose_evidence_says_the_answer_are_asked(folder):
    (case,) = locomo(folder, 5, memories=3, seed=1)
    assert (case.corpus, case.question, case.answer) == (LOCOMO, "Which word?", "word7")
    assert sum("word7 " in memory for memory in case.memories) == 1
    assert all(memory.count("Ana: ") == 3 for memory in case.memories)


def test_absent_data_is_told(folder, tmp_path):
    assert missing(folder) == ""
    assert "is not there" in missing(tmp_path / "none")


def test_a_record_becomes_a_table_for_each_number_of_memories_and_one_of_forms():
    row = {**ROW, "bytes": 0.0, "tokens": 280.0}
    text = distance_table.rendered(
        {
            "composed": [{"memories": 4, "cases": 8, "rows": [row]}],
            "forms": {"memories": 4, "cases": 8, "rows": [{**row, "mode": "int8", "bytes": 12_804.4}]},
        }
    )
    assert "### 4 memories put together, 280 tokens on average, 8 questions" in text
    assert "| first 16 | 0.0123 | 0.900 | -3.50 | 0.50 | 0.25 |" in text
    assert "| int8 | 0.0123 | 0.900 | -3.50 | 0.50 | 0.25 | 12,804 |" in text
