import json

from benchmarks.scheduler.moves import PICTURE, RESULT, drawn


def test_the_picture_is_that_of_the_record():
    record = json.loads(RESULT.read_text(encoding="utf-8"))
    assert PICTURE.read_text(encoding="utf-8") == drawn(record["noted"])


def test_a_bar_is_as_dark_as_much_is_there_and_a_question_is_a_dot():
    told = drawn(
        [
            {"at": 0.0, "cube": "cube 1", "what": "asked", "share": 1.0, "why": ""},
            {"at": 43_200.0, "cube": "cube 1", "what": "evict", "share": 0.0, "why": "no room"},
        ]
    )
    assert '<rect x="70.0" y="43" width="410.0" height="14" fill="#2060a0" fill-opacity="0.75"/>' in told
    assert told.count("<circle") == 1
