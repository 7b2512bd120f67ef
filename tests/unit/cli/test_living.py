import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run


@pytest.fixture
def kept(run: Run, store: Path) -> str:
    return str(run("remember", "Ines plays the cello.", "--store", store, "--json").json["id"])


def test_a_memory_is_led_through_its_life(run: Run, store: Path, kept: str) -> None:
    states = [
        run(verb, kept[:8], "--store", store, "--json").json["state"]
        for verb in ("activate", "archive", "restore", "freeze", "unfreeze")
    ]
    assert states == ["activated", "archived", "activated", "frozen", "activated"]


def test_the_archive_is_shown_when_asked_for(run: Run, store: Path, kept: str) -> None:
    said = run("archive", kept, "--store", store).out
    here = run("list", "--store", store, "--json").json["memories"]
    away = run("list", "--state", "archived", "--store", store, "--json").json["memories"]
    assert (said, here, [memory["id"] for memory in away]) == (
        f"{kept[:8]} is archived: Ines plays the cello.\n", [], [kept],
    )  # fmt: skip


def test_a_step_that_there_is_not_is_an_error_with_its_remedy(run: Run, store: Path, kept: str) -> None:
    run("freeze", kept, "--store", store)
    refused = run("forget", kept, "--yes", "--store", store, "--json")
    assert (refused.code, json.loads(refused.out)["error"]) == (1, "IllegalTransition")
    assert "unfreeze()" in refused.err


def test_a_frozen_memory_is_copied(run: Run, store: Path, kept: str) -> None:
    run("freeze", kept, "--store", store)
    copied = run("copy", kept, "Ines plays the viola.", "--store", store, "--json").json
    lineage = copied["header"]["behaviour"]["lineage"]
    assert (copied["text"], lineage[0]["target"]) == ("Ines plays the viola.", kept)


def test_what_is_archived_can_be_forgotten(run: Run, store: Path, kept: str) -> None:
    run("archive", kept, "--store", store)
    assert run("forget", kept, "--yes", "--store", store, "--json").json["erased"]["memories"] == 1


def test_upkeep_tells_what_it_did(run: Run, store: Path, kept: str) -> None:
    document = run("upkeep", "--archive-after", "30d", "--store", store, "--json").json
    assert (document, run("upkeep", "--store", store).out) == (
        {"expired": 0, "archived": 0}, "expired 0 memories, archived 0 memories\n",
    )  # fmt: skip
