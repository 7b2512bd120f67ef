"""Durable work from the command line, a worker process of its own included."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run


@pytest.fixture
def job(run: Run, store: Path) -> str:
    return str(run("jobs", "submit", "expire", "--store", store, "--json").json["id"])


def test_a_job_is_ordered_done_and_shown(run: Run, store: Path, job: str) -> None:
    listed = run("jobs", "list", "--store", store, "--json").json["jobs"]
    assert [(each["id"], each["state"]) for each in listed] == [(job, "waiting")]
    assert run("worker", "--until-idle", "--store", store, "--json").json == {"done": 1}
    shown = run("jobs", "show", job[:8], "--store", store)
    assert ("done, 1 of 6 tries" in shown.out, shown.code) == (True, 0)
    assert job[:8] in run("jobs", "list", "--store", store).out


def test_a_job_is_cancelled_and_retried(run: Run, store: Path, job: str) -> None:
    states = [
        run("jobs", verb, job[:8], "--store", store, "--json").json["state"] for verb in ("cancel", "retry")
    ]
    assert states == ["cancelled", "waiting"]
    again = run("jobs", "retry", job, "--store", store)
    assert (again.code, "no way to retry it" in again.err) == (1, True)


def test_a_dead_job_shows_why_and_a_retry_heals_it(run: Run, store: Path) -> None:
    bad = run("jobs", "submit", "archive", "--set", "after_days=-1", "--store", store, "--json").json["id"]
    run("worker", "--until-idle", "--store", store)
    shown = run("jobs", "show", bad, "--store", store)
    assert ("dead" in shown.out, "InvalidInput: after_days" in shown.out, "Traceback" in shown.out) == (
        True,
    ) * 3
    assert run("jobs", "list", "--state", "dead", "--store", store, "--json").json["jobs"][0]["id"] == bad
    assert run("jobs", "retry", bad, "--store", store, "--json").json["state"] == "waiting"


def test_jobs_about_a_cube_name_it(run: Run, store: Path) -> None:
    run("remember", "Hello there", "--cube", "notes", "--store", store)
    made = run(
        "jobs", "submit", "extract", "--cube", "notes", "--priority", "3", "--store", store, "--json"
    ).json
    assert (made["cube"], made["priority"], made["state"]) == ("notes", 3, "waiting")
    assert "notes" in run("jobs", "list", "--cube", "notes", "--store", store).out
    assert run("worker", "--until-idle", "--store", store, "--json").json == {"done": 0}


def test_schedules_are_written_listed_and_deleted(run: Run, store: Path) -> None:
    run("jobs", "schedule", "nightly", "30 3 * * *", "archive", "--set", "after_days=90", "--store", store)
    (found,) = run("jobs", "schedules", "--store", store, "--json").json["schedules"]
    assert (found["name"], found["kind"], found["payload"]) == ("nightly", "archive", {"after_days": 90})
    assert "03:30" in run("jobs", "schedules", "--store", store).out
    assert run("jobs", "unschedule", "nightly", "--store", store).code == 0
    assert "nothing comes again" in run("jobs", "schedules", "--store", store).out
    missing = run("jobs", "unschedule", "nightly", "--store", store)
    assert (missing.code, "memos jobs schedules" in missing.err) == (3, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["jobs", "submit", "Bad"], "lower-case"),
        (["jobs", "submit", "extract"], "say which"),
        (["jobs", "submit", "archive", "--set", "x"], "NAME=VALUE"),
        (["jobs", "schedule", "x", "daily", "expire"], "five fields"),
        (["worker", "--kind", "prefill"], "no handler"),
    ],
)
def test_what_is_mistyped_is_refused_with_the_remedy(
    run: Run, store: Path, words: list[str], told: str
) -> None:
    refused = run(*words, "--store", store)
    assert (refused.code, told in refused.err) == (1, True)


def test_a_job_that_is_not_there_is_not_found(run: Run, store: Path) -> None:
    missing = run("jobs", "show", "nobody", "--store", store)
    assert (missing.code, "memos jobs list" in missing.err) == (3, True)


@pytest.mark.slow
def test_a_worker_process_holds_the_store_does_its_jobs_and_ends_when_told(
    run: Run, store: Path, job: str
) -> None:
    command = [sys.executable, "-m", "memos_core", "worker", "--store", str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        try:
            assert worker.stdout is not None
            assert "expire" in worker.stdout.readline()
            locked = run("jobs", "list", "--store", store)
            assert (locked.code, "is in use by" in locked.err) == (4, True)
        finally:
            worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    assert run("jobs", "show", job, "--store", store, "--json").json["state"] == "done"
