import re
from pathlib import Path

import pytest

from memos_core import MemOS, Message
from tests.unit.cli.conftest import Filled, Run

READING = [("list",), ("recall", "x"), ("show", "abc"), ("history", "abc"), ("stats",), ("doctor",),
           ("reindex",), ("revise", "abc", "x"), ("forget", "abc")]  # fmt: skip


@pytest.mark.parametrize("words", READING, ids=lambda words: words[0])
def test_where_there_is_no_store_none_is_made(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run(*words, "--store", tmp_path / "none", "--json")
    assert (done.code, done.json["error"]) == (3, "NotFound")
    assert "memos remember" in done.json["message"]
    assert "Traceback" not in done.err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("words", [("list",), ("recall", "x"), ("remember", "x"), ("demo",)])
def test_a_folder_that_is_not_ours_is_left_alone(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "novel.txt").write_text("Chapter one")
    done = run(*words, "--store", tmp_path, "--json")
    assert (done.code, done.json["error"]) == (1, "FormatError")
    assert [path.name for path in tmp_path.iterdir()] == ["novel.txt"]


def test_a_file_is_no_store(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert run("list", "--store", file).code == run("remember", "x", "--store", file).code == 1


def test_unknown_cubes_and_ids_are_not_found(run: Run, filled: Filled) -> None:
    cube = run("list", "--cube", "nowhere", "--store", filled.folder, "--json")
    memory = run("show", "zzzz", "--store", filled.folder)
    elsewhere = run("show", filled.fact, "--cube", "talk", "--store", filled.folder)
    other = run("show", filled.fact, "--as", "somebody else", "--store", filled.folder)
    assert (cube.code, cube.json["error"]) == (3, "NotFound")
    assert "memos stats" in cube.json["message"]
    assert memory.code == elsewhere.code == other.code == 3
    assert "memos list" in memory.err
    assert memory.out == ""


def test_an_ambiguous_beginning_asks_for_more(run: Run, store: Path) -> None:
    with MemOS.open(store) as memos:
        talk = [Message("Ada", f"Fact {number}.") for number in range(17)]
        ids = [memory.id for memory in memos.cube("main").ingest(talk)]
    firsts = [each[0] for each in ids]
    twice = next(each for each in firsts if firsts.count(each) > 1)
    done = run("show", twice, "--store", store, "--json")
    assert (done.code, done.json["error"]) == (1, "InvalidInput")
    assert "more of the id" in done.json["message"]


def test_ambiguous_across_cubes_too(run: Run, store: Path) -> None:
    with MemOS.open(store) as memos:
        ids = [memos.cube(f"cube {number}").remember("One.").id for number in range(17)]
    firsts = [each[0] for each in ids]
    twice = next(each for each in firsts if firsts.count(each) > 1)
    done = run("show", twice, "--store", store)
    assert done.code == 1
    assert "--cube" in done.err


def test_a_store_in_use_is_exit_code_4(run: Run, filled: Filled) -> None:
    with MemOS.open(filled.folder):
        done = run("list", "--store", filled.folder, "--json")
    assert (done.code, done.json["error"]) == (4, "Locked")
    assert re.search("in use by .*: close it there", done.err)


@pytest.mark.parametrize("words", [("recall",), ("sing",), ("list", "-n", "many"), ("list", "--bogus")])
def test_mistyped_commands_are_usage_errors(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words, "--json")
    assert (done.code, done.json["error"]) == (2, "UsageError")


def test_json_in_a_text_is_only_text(run: Run, tmp_path: Path) -> None:
    done = run("show", "--store", tmp_path / "none", "--", "--json")
    assert done.code == 3
    assert done.out == ""


def test_help_names_every_command(run: Run) -> None:
    helped = run("--help").out
    commands = "demo remember ingest recall list show history revise forget stats doctor reindex"
    assert all(re.search(rf"│ {command} ", helped) for command in commands.split())
    assert run("--version").out.startswith("memos ")


@pytest.mark.parametrize(
    ("url", "error"),
    [("sqlite:///x.db", "InvalidInput"), ("postgresql://u:hunter2@127.0.0.1:1/d", "BackendUnavailable")],
)
def test_a_catalog_that_cannot_be_opened_is_named_without_its_password(
    run: Run, tmp_path: Path, url: str, error: str
) -> None:
    done = run("--catalog", url, "remember", "x", "--store", tmp_path, "--json")
    assert done.json["error"] == error
    assert "hunter2" not in done.out + done.err
    assert not (tmp_path / "catalog.db").exists()


def test_a_catalog_and_an_index_may_be_named_by_the_environment(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMOS_CATALOG", "postgresql://u@127.0.0.1:1/d")
    monkeypatch.setenv("MEMOS_INDEX", "http://127.0.0.1:1")
    assert run("remember", "x", "--store", tmp_path, "--json").json["error"] == "BackendUnavailable"
