import shutil
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Filled, Run


@pytest.fixture
def copy(filled: Filled, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled.folder, tmp_path / "copy"))


def test_stats_count_and_name_the_cubes(run: Run, filled: Filled) -> None:
    document = run("stats", "--store", filled.folder, "--json").json
    spoken = run("stats", "--store", filled.folder)
    assert (document["memories"], document["cubes"], document["dimensions"]) == (5, 2, 384)
    assert document["yours"] == [
        {"name": "main", "owner": "local", "memories": 2},
        {"name": "talk", "owner": "local", "memories": 3},
    ]
    assert "5 in 2 cubes" in spoken.out
    assert "talk" in spoken.out


def test_a_sound_store_is_well(run: Run, filled: Filled) -> None:
    spoken = run("doctor", "--store", filled.folder)
    assert spoken.code == 0
    assert "All is well." in spoken.out
    assert run("doctor", "--store", filled.folder, "--json").json["ok"] is True


def test_damage_is_found_its_remedy_is_named_and_the_exit_code_says_so(run: Run, copy: Path) -> None:
    assert run("reindex", "--store", copy, "--json").json["indexed"] == 5
    run("remember", "One more.", "--store", copy)  # one change owed, so a missing index shows
    shutil.rmtree(copy / "milvus.db")
    sick = run("doctor", "--store", copy)
    document = run("doctor", "--store", copy, "--json")
    assert sick.code == document.code == 1
    assert document.json["ok"] is False
    assert "WRONG  index" in sick.out
    assert "see the remedies" in sick.out
    assert "indexed 6 memories" in run("reindex", "--store", copy).out
    assert run("doctor", "--store", copy).code == 0


def test_reindex_changes_the_embedder(run: Run, copy: Path) -> None:
    done = run("reindex", "--embedder", "static", "--store", copy, "--json").json
    assert done["embedded"] == 5
    assert "minilm" not in done["embedder"].lower()
    assert run("recall", "ferry", "--store", copy).code == 0  # the store knows its embedder now
    refused = run("remember", "One more.", "--embedder", "minilm-int8", "--store", copy, "--json")
    assert (refused.code, refused.json["error"]) == (1, "MigrationNeeded")
    assert "reindex" in refused.json["message"]
