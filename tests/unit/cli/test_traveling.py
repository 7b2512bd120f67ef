from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run


@pytest.fixture
def kept(run: Run, store: Path) -> str:
    memory = run("remember", "Ines plays the cello.", "--store", store, "--json").json["id"]
    run("snapshot", "then", "--store", store)
    run("revise", memory, "Ines plays the viola.", "--store", store)
    run("remember", "Tom plays the drum.", "--store", store)
    return str(memory)


def test_snapshots_are_taken_shown_and_dropped(run: Run, store: Path, kept: str) -> None:
    taken = run("snapshot", "now", "--store", store, "--json").json["label"]
    shown = [each["label"] for each in run("snapshots", "--store", store, "--json").json["snapshots"]]
    dropped = run("snapshot", "now", "--drop", "--store", store).out
    assert (taken, shown, dropped) == ("now", ["then", "now"], "dropped now\n")
    assert run("snapshots", "--store", store).out.startswith("then  20")


def test_a_diff_shows_what_changed(run: Run, store: Path, kept: str) -> None:
    shown = run("diff", "then", "--store", store).out.splitlines()
    assert shown == [
        "+ Tom plays the drum.", "--- version 1", "+++ version 2", "@@ -1 +1 @@",
        "-Ines plays the cello.", "+Ines plays the viola.",
    ]  # fmt: skip
    assert run("diff", "then", "then", "--store", store).out == "nothing changed\n"
    assert run("diff", "then", "--store", store, "--json").json["revised"][0]["after"]["id"] == kept


def test_a_rollback_tells_what_it_did(run: Run, store: Path, kept: str) -> None:
    assert run("rollback", "then", "--store", store).out == "revised 1, archived 1\n"
    assert run("rollback", "then", "--store", store).out == "no change\n"
    assert run("show", kept, "--store", store, "--json").json["text"] == "Ines plays the cello."


def test_a_label_that_is_not_there_is_not_found(run: Run, store: Path, kept: str) -> None:
    assert run("rollback", "never", "--store", store).code == 3


def test_a_fork_is_merged(run: Run, store: Path, kept: str) -> None:
    made = run("fork", "twig", "--store", store).out
    run("remember", "Eva sings.", "--cube", "twig", "--store", store)
    merged = run("merge", "twig", "--store", store).out
    assert (made, merged) == ("twig shares 2 with main\n", "added 1, revised 0, moved 0\n")


def test_conflicts_are_shown_and_nothing_is_changed(run: Run, store: Path, kept: str) -> None:
    run("fork", "twig", "--store", store)
    run("revise", kept, "Ines plays the harp.", "--cube", "main", "--store", store)
    here = run("list", "--cube", "twig", "--store", store, "--json").json["memories"][0]["id"]
    run("revise", here, "Ines plays the horn.", "--cube", "twig", "--store", store)
    shown = run("merge", "twig", "--store", store).out
    assert shown.splitlines() == [
        "  base: Ines plays the viola.", "  ours: Ines plays the harp.", "theirs: Ines plays the horn.",
        "1 in conflict: nothing was changed; say --on-conflict",
    ]  # fmt: skip
    done = run("merge", "twig", "--on-conflict", "theirs", "--store", store, "--json").json
    assert (done["applied"], done["revised"]) == (True, [kept])
