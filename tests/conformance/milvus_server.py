"""A real Milvus server, out of the PyPI package `milvus`, for as long as a `with` block.

The server is the grandchild of the tests: this file, run as a script, starts it and stops it when
its standard input ends. So it goes with the tests even if they are killed.

Without the package these tests are skipped at home and fail where the environment variable CI is
set: a proof that silently does not run is none.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

START_S, ATTEMPTS = 60, 4
STOP_S = 20.0


def require_milvus_server() -> None:
    """Skip the test if the package `milvus` is missing; in CI, fail it."""
    if importlib.util.find_spec("milvus") is not None:
        return
    advice = "the package milvus is not installed: pip install milvus==2.3.5"
    if os.environ.get("CI"):
        pytest.fail(advice)
    pytest.skip(advice)


@contextmanager
def milvus_server() -> Iterator[str]:
    """Yield the address of a fresh, empty server (up after 10 to 20 s), gone after the block."""
    command = [sys.executable, str(Path(__file__).resolve())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        try:
            port = keeper.stdout.readline().strip()
            assert port, "the Milvus server did not start; its keeper's error is above"
            yield f"http://127.0.0.1:{port}"
        finally:
            keeper.stdin.close()
            try:
                keeper.wait(STOP_S)
            except subprocess.TimeoutExpired:
                keeper.kill()


def keep() -> None:
    """Run a server in a temporary folder until standard input ends; print its port."""
    milvus = importlib.import_module("milvus")  # untyped, and missing on some machines
    with ExitStack() as undo:
        server = started(milvus, undo)
        print(server.listen_port, flush=True)
        sys.stdin.read()


def started(milvus: Any, undo: ExitStack) -> Any:
    """Return a server that answers. Now and then one never does, whatever it waits for: begin anew then."""
    for _ in range(ATTEMPTS):
        folder = tempfile.TemporaryDirectory(prefix="milvus-server-", ignore_cleanup_errors=True)
        server = milvus.MilvusServer(
            milvus.MilvusServerConfig(data_dir=undo.enter_context(folder)), wait_for_started=False
        )
        undo.callback(server.stop)
        server.start()
        try:
            server.wait_started(START_S * 1000)
        except (TimeoutError, RuntimeError):
            server.stop()
        else:
            return server
    raise TimeoutError(f"none of {ATTEMPTS} Milvus servers answered within {START_S} seconds")


if __name__ == "__main__":
    keep()
