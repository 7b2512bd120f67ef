"""Two processes over one store on PostgreSQL and a Milvus server, whose jobs Procrastinate hands out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.milvus_server import milvus_server, require_milvus_server
from tests.postgres_server import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
    pytest.mark.crash,
    pytest.mark.xdist_group("milvus-server"),
]


class Process:
    """A process that shares the store."""

    def __init__(self, folder: Path, catalog: str, index: str) -> None:
        command = [sys.executable, "-m", "tests.integration.sharing_process", str(folder), catalog, index]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )
        self.pid: Any = self._answer()

    def does(self, *order: str) -> Any:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(order) + "\n")
        self._child.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        assert line, "the process ended; its error is above"
        return json.loads(line)

    def stop(self) -> None:
        """Kill the process by its id, unless it is gone."""
        if self._child.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self._child.communicate(timeout=60)


@pytest.fixture
def two(postgres: Server, tmp_path: Path) -> Iterator[tuple[Process, Process]]:
    require_milvus_server()
    with ExitStack() as undo:
        index = undo.enter_context(milvus_server())
        name = postgres.take()
        undo.callback(postgres.give_back, name)
        found = []
        for _ in range(2):
            found.append(Process(tmp_path / "store", postgres.url(name), index))
            undo.callback(found[-1].stop)
        yield found[0], found[1]


def until(holds: Callable[[], object], *, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)


def test_what_one_process_writes_the_others_worker_reads_and_both_recall(two):
    writer, worker = two
    writer.does("says", "I moved to Lisbon")
    assert writer.does("counts") == {"waiting": 1}, "nobody works here yet"
    worker.does("works")
    until(lambda: writer.does("counts") == {"done": 1})
    stated = f"Mira told of Lisbon to {worker.pid}"
    assert writer.does("drains") == 0
    for each in two:
        assert each.does("hears", "Who told of Lisbon?") == ["I moved to Lisbon", stated]

    worker.stop()  # whoever is left goes on
    writer.does("says", "I left for Porto")
    assert writer.does("counts") == {"done": 1, "waiting": 1}
    writer.does("works")
    until(lambda: writer.does("counts") == {"done": 2})
    heard = writer.does("hears", "Who told of Porto?")
    assert f"Mira told of Porto to {writer.pid}" in heard
    assert stated in heard
