from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run


@pytest.fixture
def kept(run: Run, store: Path) -> str:
    return str(run("remember", "Ines plays the cello.", "--store", store, "--json").json["id"])


def seen_by_bob(run: Run, store: Path) -> list[str]:
    done = run("list", "--cube", "local/main", "--as", "bob", "--store", store, "--json")
    return (
        [memory["text"] for memory in done.json["memories"]] if done.code == 0 else [str(done.json["error"])]
    )


def test_a_cube_is_shared_and_taken_back(run: Run, store: Path, kept: str) -> None:
    found = [seen_by_bob(run, store)]
    run("grant", "bob", "read", "--store", store)
    found.append(seen_by_bob(run, store))
    run("classify", kept, "--visibility", "shared", "--store", store)
    found.append(seen_by_bob(run, store))
    given = run("grants", "--store", store).out
    assert run("revoke", "bob", "--store", store, "--json").json == {"revoked": 1}
    found.append(seen_by_bob(run, store))
    assert found == [["NotFound"], [], ["Ines plays the cello."], ["NotFound"]]
    assert given == "read   bob  (by local)\n"


def test_a_group_is_granted_a_right(run: Run, store: Path, kept: str) -> None:
    made = run("group", "team", "--member", "bob", "--member", "eve", "--store", store, "--json").json
    run("grant", "team", "read", "--group", "--store", store)
    run("classify", kept, "--visibility", "shared", "--store", store)
    assert made == {"groups": [{"name": "team", "owner": "local", "members": ["bob", "eve"]}]}
    assert seen_by_bob(run, store) == ["Ines plays the cello."]
    assert run("groups", "--as", "bob", "--store", store).out == "team (of local): bob, eve\n"


def test_a_group_that_there_is_not_is_not_found(run: Run, store: Path, kept: str) -> None:
    assert run("grant", "team", "read", "--group", "--store", store).code == 3


def test_a_full_cube_says_so(run: Run, store: Path, kept: str) -> None:
    set_to = run("limit", "--memories", "1", "--ttl", "30d", "--store", store, "--json").json
    refused = run("remember", "One more.", "--store", store, "--json")
    assert set_to == {"ttl_seconds": 2592000.0, "memories": 1, "text_bytes": None, "purposes": None}
    assert (refused.code, refused.json["error"]) == (1, "QuotaExceeded")
