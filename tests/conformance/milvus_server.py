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
from contextlib import contextmanager
from pathlib import Path

import pytest

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
    with tempfile.TemporaryDirectory(prefix="milvus-server-", ignore_cleanup_errors=True) as folder:
        server = milvus.MilvusServer(milvus.MilvusServerConfig(data_dir=folder))
        try:
            server.start()
            print(server.listen_port, flush=True)
            sys.stdin.read()
        finally:
            server.stop()


if __name__ == "__main__":
    keep()
