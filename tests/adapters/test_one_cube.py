"""Agents of several frameworks over one cube: each sees what it was granted, and who wrote it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from memos_core import NotFound
from tests.adapters.frameworks import FRAMEWORKS
from tests.conformance.milvus_server import milvus_server, require_milvus_server

PAIRS = [(one, other) for one in FRAMEWORKS for other in FRAMEWORKS if one != other]
SAID, ASKED = "The mill closed in 1911.", "When did the mill close?"


@pytest.mark.parametrize(("writer", "reader"), PAIRS)
def test_each_sees_what_the_other_wrote_once_it_may_and_who_wrote_it(memos, thread_loop, writer, reader):
    wrote, reads = FRAMEWORKS[writer](memos), FRAMEWORKS[reader](memos)
    wrote.says(SAID)
    with pytest.raises(NotFound):
        reads.hears(ASKED, owner=wrote.name, cube=wrote.cube)
    wrote.own.grant(reads.name, "read")
    assert (SAID, wrote.name) in reads.hears(ASKED, owner=wrote.name, cube=wrote.cube)
    wrote.own.forget(wrote.own.list()[0].id)
    left = reads.hears(ASKED, owner=wrote.name, cube=wrote.cube)
    assert SAID not in dict(left)


@pytest.mark.parametrize(("writer", "reader"), PAIRS)
def test_what_is_private_stays_so_in_a_cube_that_both_read(memos, thread_loop, writer, reader):
    wrote, reads = FRAMEWORKS[writer](memos), FRAMEWORKS[reader](memos)
    wrote.says(SAID)
    wrote.own.remember("The key is under the mat.")
    wrote.own.grant(reads.name, "read")
    heard = dict(reads.hears("Where is the key?", owner=wrote.name, cube=wrote.cube))
    assert "The key is under the mat." not in heard


# --- three processes, on PostgreSQL and a Milvus server -------------------------------------------


class Process:
    """A framework in a process of its own."""

    def __init__(self, framework: str, folder: Path, catalog: str, index: str) -> None:
        command = [sys.executable, "-m", "tests.adapters.frameworks", framework, str(folder), catalog, index]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )
        self.name = self._answer()

    def does(self, *order: str) -> object:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(order) + "\n")
        self._child.stdin.flush()
        return self._answer()

    def _answer(self) -> object:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        assert line, "the framework's process ended; its error is above"
        return json.loads(line)

    def end(self) -> None:
        self._child.communicate(timeout=120)
        assert self._child.returncode == 0


@pytest.fixture
def processes(postgres, tmp_path) -> Iterator[dict[str, Process]]:
    require_milvus_server()
    with ExitStack() as undo:
        index = undo.enter_context(milvus_server())
        name = postgres.take()
        undo.callback(postgres.give_back, name)
        running = {}
        for framework in FRAMEWORKS:
            running[framework] = Process(framework, tmp_path / "store", postgres.url(name), index)
            undo.callback(running[framework].end)
        yield running


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.xdist_group("milvus-server")
def test_three_processes_share_one_store_as_far_as_grants_go(processes):
    for writer in processes.values():
        writer.does("says", f"{SAID} So says {writer.name}.")
    for one, other in PAIRS:
        writer, reader = processes[one], processes[other]
        said, asked = f"{SAID} So says {writer.name}.", ("hears", ASKED, writer.name, "memory")
        before = reader.does(*asked)
        writer.does("grants", reader.name)
        heard = reader.does(*asked)
        assert (before, [said, writer.name] in heard) == ("nothing there", True), (one, other)
    for one in processes:
        writer = processes[one]
        writer.does("forgets", f"{SAID} So says {writer.name}.")
        left = [
            each.does("hears", ASKED, writer.name, "memory")
            for each in processes.values()
            if each is not writer
        ]
        assert not [
            heard for found in left for heard, _ in found if heard.endswith(f"So says {writer.name}.")
        ]
    assert processes["langchain"].does("drains") is not None
