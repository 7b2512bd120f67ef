"""`memos consolidate`, `memos undo` and `memos top`, as they are typed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest


@pytest.fixture
def store(run, tmp_path):
    """A store that was told the same twice."""
    for words in ("Mira can't swim.", "Mira cannot swim"):
        assert run("remember", words, "--store", tmp_path / "store", "--cube", "notes").code == 0
    return tmp_path / "store"


def test_a_dry_run_tells_and_does_nothing(run, store):
    told = run("consolidate", "--dry-run", "--store", store)
    again = run("consolidate", "--dry-run", "--store", store, "--json").json["runs"][0]
    assert (told.code, "1 would be done" in told.out, "2 statements say the same" in told.out) == (
        0,
        True,
        True,
    )
    assert (again["run"], [each["act"] for each in again["actions"]], again["cube"]) == (
        None,
        ["merge"],
        "notes",
    )


def test_what_was_done_is_undone(run, store):
    done = run("consolidate", "--store", store, "--json").json["runs"][0]
    nothing = run("consolidate", "--store", store)
    undone = run("undo", done["run"], "--cube", "notes", "--store", store)
    left = run("list", "--store", store, "--json").json
    assert ("nothing to do" in nothing.out, undone.code, "2 brought back" in undone.out) == (True, 0, True)
    assert len(left["memories"]) == 2


def test_what_is_no_run_is_not_found(run, store):
    assert run("undo", 1, "--cube", "notes", "--store", store).code == 3


def test_top_prints_one_frame(run, store):
    frame = run("top", "--once", "--store", store)
    assert frame.code == 0
    for words in ("memos top", "queue: 0 waiting", "notes", "memories"):
        assert words in frame.out
    assert "swim" not in frame.out


def test_top_tells_programs(run, store):
    told = run("top", "--once", "--json", "--store", store).json
    rated = run("top", "--json", "--every", 0.2, "--store", store).json
    assert (told["cubes"][0]["text"]["count"], told["rates"], rated["rates"]["changes"]) == (2, None, 0.0)


def test_top_shows_what_the_planner_moved(run, store):
    assert run("plan", "--dry-run", "--consolidate", "--store", store).code == 0
    before = run("top", "--once", "--json", "--store", store).json
    assert run("plan", "--consolidate", "--store", store).code == 0
    after = run("top", "--once", "--json", "--store", store).json
    move = next(each for each in after["moved"] if each["kind"] == "consolidate")
    assert (before["moved"], move["cube"], move["tier"]) == ([], "notes", "text")
    frame = " ".join(run("top", "--once", "--store", store).out.split())
    assert "moved: consolidate notes (text)" in frame
    assert move["reason"] in frame
    assert "moved" not in run("top", "--once", "--as", "eve", "--store", store).out


def test_top_shows_others_nothing_of_it(run, store):
    assert "no cubes" in run("top", "--once", "--as", "eve", "--store", store).out


def test_top_makes_no_store(run, tmp_path):
    assert (run("top", "--once", "--store", tmp_path / "none").code, list(tmp_path.iterdir())) == (3, [])


INTERRUPTIBLE = (  # what a shell starts in the background ignores the key, and so would its children
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module('memos_core', run_name='__main__')"
)


def test_top_leaves_cleanly_when_interrupted(store):
    program = [sys.executable, "-c", INTERRUPTIBLE, "top", "--every", "0.2", "--store", str(store)]
    out = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": {**os.environ, "TERM": "xterm"}}
    with subprocess.Popen(program, **out) as process:
        seen = b""
        while b"notes" not in seen and (line := process.stdout.readline()):
            seen += line
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err, b"notes" in seen) == (0, b"", True)


def test_top_looks_while_another_process_has_the_store_open(run, store):
    from memos_core import MemOS

    with MemOS.open(store) as memos:
        memos.cube("notes").remember("Ana sings.")
        frame = run("top", "--once", "--json", "--store", store)
    assert json.loads(frame.out)["cubes"][0]["text"]["count"] == 3
