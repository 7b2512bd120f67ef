import json
from pathlib import Path

from tests.unit.cli.conftest import Run


def test_a_cube_is_dumped_inspected_and_loaded(run: Run, store: Path, tmp_path: Path) -> None:
    run("remember", "Ines plays the cello.", "--store", store)
    file, key, other = tmp_path / "main.memcube", tmp_path / "key", tmp_path / "other"
    public = run("keygen", key).out.strip()
    sealed = ("--passphrase", "a word")
    told = run(
        "dump", file, "--sign", key, *sealed, "--licence", "MIT", "--for", "local", "--store", store
    ).out
    shown = run("inspect", file, *sealed, "--verify", public, "--json").json
    loaded = run("load", file, *sealed, "--verify", public, "--store", other, "--json").json
    again = run("load", file, *sealed, "--store", other).out
    found = run("list", "--store", other, "--json").json["memories"]
    assert "1 memories, 1 versions, 1 sources" in told
    assert (shown["signer"], shown["terms"]["licence"], shown["counts"]["memories"]) == (public, "MIT", 1)
    assert (loaded["added"], loaded["cube"], again) == (1, "main", "cube main: 1 same\n")
    assert [memory["text"] for memory in found] == ["Ines plays the cello."]


def test_what_is_wrong_is_told_with_a_code(run: Run, store: Path, tmp_path: Path) -> None:
    file = tmp_path / "main.memcube"
    file.write_bytes(b"not a zip")
    done = [
        run("load", file, "--store", store, "--json"),
        run("inspect", tmp_path / "gone.memcube", "--json"),
        run("dump", file, "--cube", "none", "--store", store, "--json"),
    ]
    assert [(each.code, each.json["error"]) for each in done] == [
        (1, "FormatError"),
        (3, "NotFound"),
        (3, "NotFound"),
    ]


def test_a_cube_is_published_subscribed_and_updated(run: Run, store: Path, tmp_path: Path) -> None:
    place, other = tmp_path / "published", tmp_path / "other"
    kept = run("remember", "Ines plays the cello.", "--store", store, "--json").json["id"]
    empty = run("published", place).out
    run("publish", place, "--name", "music", "--licence", "MIT", "--store", store)
    first = run("subscribe", place, "music", "--store", other).out
    none = run("update", place, "--cube", "music", "--store", other).out
    run("revise", kept, "Ines plays the viola.", "--store", store)
    told = run("publish", place, "--name", "music", "--store", store, "--json").json["published"]
    done = run("update", place, "--cube", "music", "--store", other, "--json").json
    assert (empty, first) == ("Nothing is published there.\n", "cube music: version 1, 1 memories\n")
    assert none == "cube music: at version 1 already\n"
    assert [(card["name"], card["version"]) for card in told] == [("music", 2)]
    assert (done["new"], done["version"], done["replaced"]) == (True, 2, 1)
    assert "music  version 2" in run("published", place).out


def test_an_export_is_imported_once(run: Run, store: Path, tmp_path: Path) -> None:
    file = tmp_path / "memories.json"
    file.write_text(json.dumps([{"id": "m1", "memory": "Likes tea", "hash": "0f", "user_id": "mira"}]))
    first = run("import", file, "--store", store, "--json").json
    second = run("import", file, "--store", store).out
    assert (first["format"], first["cubes"], first["new"]) == ("mem0", {"mira": 1}, 1)
    assert second == "1 from mem0, 0 of them new\n  mira  1\n"


def test_items_are_imported_as_values_once(run: Run, store: Path, tmp_path: Path) -> None:
    file = tmp_path / "items.json"
    file.write_text(json.dumps([{"namespace": ["users", "mira"], "key": "k", "value": {"tea": "no sugar"}}]))
    first = run("import", file, "--store", store, "--json").json
    second = run("import", file, "--store", store, "--json").json
    assert (first["cubes"], first["new"], second["new"]) == ({"users.mira": 1}, 1, 0)
