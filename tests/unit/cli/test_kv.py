import re
import shutil
from pathlib import Path

import pytest

from memos_core import MemOS
from memos_core.errors import InvalidInput
from memos_core.testing import ScriptedEngine
from tests.unit.cli.conftest import Filled, Run


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Let every model be the twin; return what was asked for."""
    asked: list[dict[str, object]] = []

    def opened(name: str, model: object, **options: object) -> ScriptedEngine:
        progress = options.pop("progress", None)
        if callable(progress):
            progress("unpacking", 0.5)
        asked.append({"name": name, "model": model, **options})
        return ScriptedEngine()

    monkeypatch.setattr("memos_core.tiers.kv.engines.opened", opened)
    return asked


@pytest.fixture
def copy(filled: Filled, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled.folder, tmp_path / "copy"))


@pytest.fixture
def built(run: Run, copy: Path, engines: list[dict[str, object]]) -> Path:
    assert run("kv", "build", "--store", copy).code == 0
    return copy


def listed(run: Run, store: Path, *words: object) -> list[dict[str, object]]:
    found: list[dict[str, object]] = run("kv", "list", "--store", store, "--json", *words).json["segments"]
    return found


def of_main(run: Run, store: Path) -> dict[str, object]:
    """Return the last segment of the cube "main": the one that holds its memories."""
    return listed(run, store, "--cube", "main")[-1]


def blobs(store: Path) -> list[Path]:
    return [path for path in (store / "blobs").rglob("*") if path.is_file()]


# --- build -----------------------------------------------------------------------------------


def test_build_makes_the_segments_of_every_cube_once(run: Run, copy: Path, engines: list[object]) -> None:
    first = run("kv", "build", "--store", copy, "--json").json["cubes"]
    again = run("kv", "build", "--store", copy, "--json").json["cubes"]
    assert [(each["cube"], each["segments"] > 0, each["there"]) for each in first] == [
        ("main", True, 0),
        ("talk", True, 0),
    ]
    assert [(each["segments"], each["there"]) for each in again] == [(0, each["segments"]) for each in first]
    assert sum(each["tokens"] for each in first) == sum(row["tokens"] for row in listed(run, copy))


def test_build_says_what_it_did(run: Run, copy: Path, engines: list[object]) -> None:
    first = run("kv", "build", "--cube", "main", "--store", copy)
    again = run("kv", "build", "--cube", "main", "--store", copy)
    assert first.out.startswith("main  built ")
    assert again.out.startswith("main  all ")
    assert "there already" in again.out


def test_build_hands_on_what_was_typed(run: Run, copy: Path, engines: list[dict[str, object]]) -> None:
    words = ("--model", "some/model", "--engine", "llama.cpp", "--form", "int8", "--system", "Be brief.")
    assert run("kv", "build", "--store", copy, *words).code == 0
    assert engines == [{"name": "llama.cpp", "model": "some/model", "form": "int8"}]
    assert {row["form"] for row in listed(run, copy)} == {"int8"}


def test_another_system_text_is_another_prefix(run: Run, built: Path) -> None:
    other = run("kv", "build", "--system", "Be brief.", "--store", built, "--json").json["cubes"]
    assert [each["there"] for each in other] == [0, 0]


def test_a_cube_without_memories_has_nothing_to_build(
    run: Run, store: Path, engines: list[dict[str, object]]
) -> None:
    with MemOS.open(store) as memos:
        memos.cube("empty")
    assert "empty  nothing to build" in run("kv", "build", "--store", store).out


def test_an_engine_of_another_name_is_mistyped(run: Run, copy: Path) -> None:
    typed = run("kv", "build", "--engine", "vllm", "--store", copy, "--json")
    assert (typed.code, typed.json["error"]) == (2, "UsageError")
    assert "transformers or llama.cpp" in typed.json["message"]


def test_a_model_that_is_refused_is_an_error_with_its_reason(
    run: Run, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise InvalidInput("this model mixes kinds of attention")

    monkeypatch.setattr("memos_core.tiers.kv.engines.opened", refused)
    typed = run("kv", "build", "--store", copy, "--json")
    assert (typed.code, typed.json["error"]) == (1, "InvalidInput")
    assert "mixes kinds of attention" in typed.err


# --- list and show ---------------------------------------------------------------------------


def test_list_shows_what_each_takes_and_saves(run: Run, built: Path) -> None:
    document = run("kv", "list", "--store", built, "--json").json
    spoken = run("kv", "list", "--store", built)
    assert document["bytes"] == sum(row["size"] for row in document["segments"])
    assert {row["cube_name"] for row in document["segments"]} == {"main", "talk"}
    assert all(str(row["key"])[:8] in spoken.out for row in document["segments"])
    assert f"{len(document['segments'])} segments" in spoken.out


def test_list_counts_the_uses_of_a_second_build(run: Run, built: Path) -> None:
    run("kv", "build", "--store", built)
    assert {row["hits"] for row in listed(run, built)} == {1}
    assert all(float(str(row["saved_seconds"])) > 0 for row in listed(run, built))


def test_a_store_without_segments_says_how_to_get_some(run: Run, filled: Filled) -> None:
    assert "memos kv build" in run("kv", "list", "--store", filled.folder).out
    assert listed(run, filled.folder) == []


def test_show_tells_the_identity_and_quotes_the_sources(run: Run, built: Path) -> None:
    segment = of_main(run, built)
    document = run("kv", "show", str(segment["key"])[:12], "--store", built, "--json").json
    spoken = run("kv", "show", segment["key"], "--store", built).out
    assert document == segment
    assert [origin["version"] for origin in document["sources"]] == [1, 1]
    assert "scripted" in spoken
    assert str(segment["identity"]["weights"])[:16] in spoken
    assert "  v1  The ferry to Cacilhas leaves at noon." in spoken


def test_a_long_source_is_cut_to_a_line(run: Run, store: Path, engines: list[dict[str, object]]) -> None:
    run("remember", "A long story. " * 30, "--store", store)
    run("kv", "build", "--store", store)
    spoken = run("kv", "show", of_main(run, store)["key"], "--store", store).out
    assert re.search(r"^\w{8}  v1  A long story.*…$", spoken, re.MULTILINE)


def test_a_key_of_nothing_is_not_found(run: Run, built: Path) -> None:
    typed = run("kv", "show", "zz", "--store", built, "--json")
    assert (typed.code, typed.json["error"]) == (3, "NotFound")
    assert "memos kv list" in typed.json["message"]


def test_somebody_else_sees_none_of_it(run: Run, built: Path) -> None:
    key = of_main(run, built)["key"]
    assert listed(run, built, "--as", "eve") == []
    assert run("kv", "show", key, "--as", "eve", "--store", built).code == 3
    assert run("kv", "evict", key, "--as", "eve", "--store", built).code == 3


def test_a_revision_leaves_no_segment_of_the_former_text(run: Run, built: Path, filled: Filled) -> None:
    former = of_main(run, built)["key"]
    run("revise", filled.fact, "The ferry leaves at one.", "--store", built)
    assert [row["key"] for row in listed(run, built) if row["stale"] is None and row["key"] == former] == []


# --- verify, pin, evict ----------------------------------------------------------------------


def test_sound_segments_are_well(run: Run, built: Path) -> None:
    document = run("kv", "verify", "--store", built, "--json")
    assert (document.code, document.json["ok"], document.json["damaged"]) == (0, True, [])
    assert document.json["sound"] == len(listed(run, built))
    assert "nothing is damaged" in run("kv", "verify", "--store", built).out


def test_a_damaged_segment_is_named_deleted_and_built_again(run: Run, built: Path) -> None:
    count = len(listed(run, built))
    victim = blobs(built)[0]
    victim.chmod(0o600)
    victim.write_bytes(victim.read_bytes()[:-1] + b"\xff")
    found = run("kv", "verify", "--store", built)
    assert (found.code, found.out.count("DAMAGED"), len(listed(run, built))) == (1, 1, count - 1)
    assert run("kv", "verify", "--store", built).code == 0
    run("kv", "build", "--store", built)
    assert len(listed(run, built)) == count


def test_evict_deletes_what_is_named_and_its_file(run: Run, built: Path) -> None:
    count, segment = len(blobs(built)), of_main(run, built)
    done = run("kv", "evict", str(segment["key"])[:10], "--store", built, "--json").json
    assert done == {"evicted": 1, "bytes": segment["size"]}
    assert segment["key"] not in [row["key"] for row in listed(run, built)]
    assert len(blobs(built)) == count - 1


def test_evicting_all_leaves_what_is_pinned(run: Run, built: Path) -> None:
    key = of_main(run, built)["key"]
    assert run("kv", "pin", key, "--store", built, "--json").json == {"key": key, "pinned": True}
    assert "pinned" in run("kv", "list", "--store", built).out
    assert "evicted" in run("kv", "evict", "--all", "--store", built).out
    assert [row["key"] for row in listed(run, built)] == [key]
    assert "let go" in run("kv", "pin", key, "--release", "--store", built).out
    run("kv", "evict", "--all", "--store", built)
    assert listed(run, built) == []


@pytest.mark.parametrize("words", [(), ("abc", "--all")])
def test_evict_wants_to_be_told_what(run: Run, built: Path, words: tuple[str, ...]) -> None:
    typed = run("kv", "evict", *words, "--store", built)
    assert typed.code == 2
    assert listed(run, built) != []


def test_a_cube_that_is_not_there_is_not_found(run: Run, built: Path) -> None:
    commands = [("list",), ("verify",), ("build",), ("evict", "--all")]
    codes = [run("kv", *words, "--cube", "none", "--store", built).code for words in commands]
    assert codes == [3, 3, 3, 3]
