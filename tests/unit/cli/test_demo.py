import json
from importlib.resources import files
from pathlib import Path

import pytest

from memos_core import MemOS
from memos_core.reader.formats import read_conversations
from tests.unit.cli.conftest import Run


def test_every_expected_turn_stands_in_the_story() -> None:
    demo = Path(str(files("memos_core.demo")))
    talk = read_conversations(demo / "innkeeper.jsonl")
    texts = {each.session: [message.text for message in each.messages] for each in talk}
    everything = [text for session in texts.values() for text in session]
    assert len(everything) >= 60
    for question in json.loads((demo / "questions.json").read_text(encoding="utf-8")):
        assert any(question["expect"][0] in text for text in texts[question["session"]])
        for words in question["expect"]:
            assert sum(words in text for text in everything) == 1


@pytest.mark.slow
def test_the_whole_story_is_told_and_its_claims_are_true(run: Run, tmp_path: Path) -> None:
    told = run("demo", "--store", tmp_path / "inn")
    assert told.code == 0
    assert told.err == ""
    assert "\x1b" not in told.out
    assert max(map(len, told.out.splitlines())) <= 80
    for part in ("16 questions", "found at rank 1", "version 2 is there, not 1", "not among them",
                 "in no file of the folder", "memos recall"):  # fmt: skip
        assert part in " ".join(told.out.split())
    with MemOS.open(tmp_path / "inn") as memos:
        cube = memos.cube("herons-elbow")
        assert cube.count() == 92
        assert memos.lag() == 0
        assert not [memory for memory in cube.list() if "wedding ring" in memory.text]
    again = run("demo", "--store", tmp_path / "inn")
    assert again.code == 1
    assert "another --store" in again.err


@pytest.mark.slow
def test_the_story_as_a_document(run: Run) -> None:
    told = run("demo", "--json")
    story = told.json
    assert told.err == ""
    assert set(story) == {"kept", "asked", "changed", "forgotten", "survived"}
    ranks = [min((rank for rank in asked["ranks"] if rank), default=99) for asked in story["asked"]]
    assert len(ranks) == 16
    assert sum(rank <= 3 for rank in ranks) >= 10
    assert story["changed"]["newer"][1] == 1
    assert story["changed"]["older"][1] == 2
    assert story["forgotten"]["rank_before"]
    assert story["forgotten"]["rank_after"] is None
    assert story["survived"]["files_with_secret"] == 0
