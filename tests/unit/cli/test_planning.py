import pytest

from memos_core import MemOS


@pytest.fixture
def asked(store):
    """A store whose one cube was asked often, and is not in RAM."""
    with MemOS.open(store) as memos:
        cube = memos.cube("main")
        cube.remember("The ferry to Cacilhas leaves at noon.")
        for _ in range(40):
            cube.recall("ferry")
    return store


def test_a_dry_run_shows_the_moves_and_why(run, asked):
    shown = run("plan", "--dry-run", "--store", asked, "--policy", "label:main")
    assert shown.code == 0
    assert "load" in shown.out
    assert "labelled main" in shown.out
    assert "none done" in shown.out


def test_a_plan_is_done_and_told_as_json(run, asked):
    told = run("plan", "--store", asked, "--policy", "label:main", "--json").json
    assert [(move["kind"], move["name"], move["tier"]) for move in told["done"]] == [
        ("load", "main", "resident")
    ]
    assert told["moves"] == told["done"]


def test_nothing_to_do_is_said(run, store):
    assert "Nothing to do" in run("plan", "--store", store).out


def test_what_was_measured_is_shown_by_stats(run, asked):
    measured = run("calibrate", "--store", asked)
    shown = run("stats", "--store", asked)
    told = run("stats", "--store", asked, "--json").json
    assert measured.code == 0
    assert "to write" in measured.out
    assert "to write" in shown.out
    assert [(cost["tier"], cost["unit"]) for cost in told["costs"]] == [("text", "memory")]


def test_a_policy_that_is_not_known_is_named(run, asked):
    refused = run("plan", "--store", asked, "--policy", "fifo")
    assert (refused.code, "fifo" in refused.err) == (1, True)
