"""A command line to type at, and one small store that the tests of a module share."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from memos_core import MemOS, Message
from memos_core.cli.app import app
from memos_core.embed import open_embedder

EVENING = datetime(2024, 5, 3, 18, 30, tzinfo=UTC)
TALK = [
    Message("Mira", "I moved to Lisbon this week, the boxes are still closed.", at=EVENING, id="t1"),
    Message("Anselm", "How is the flat?", at=EVENING, id="t2"),
    Message("Mira", "Small, but the balcony looks at the river. Olé!", at=EVENING, id="t3"),
]


@dataclass(frozen=True)
class Typed:
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Typed]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("MEMOS_STORE", "MEMOS_PRINCIPAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")

    def typed(*words: object, stdin: str | bytes | None = None) -> Typed:
        result = CliRunner().invoke(app, [str(word) for word in words], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Typed(result.exit_code, result.stdout, result.stderr)

    return typed


@pytest.fixture(scope="session", autouse=True)
def loaded_once() -> Iterator[None]:
    """Let every store that a test opens share one model; a process of its own loads its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memos_core.core.open_embedder", cache(open_embedder))
        yield


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "empty"
    with MemOS.open(folder):
        pass
    return folder


@pytest.fixture
def store(empty: Path, tmp_path: Path) -> Path:
    """A store without memories; copied, since making a schema takes longer than most tests."""
    return Path(shutil.copytree(empty, tmp_path / "store"))


@dataclass(frozen=True)
class Filled:
    """A store with two cubes: "main" with statements, "talk" with a conversation."""

    folder: Path
    fact: str
    turn: str


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    folder = tmp_path_factory.mktemp("cli") / "store"
    with MemOS.open(folder) as memos:
        main = memos.cube("main")
        fact = main.remember("The ferry to Cacilhas leaves at noon.", tags=["ferry"], at=EVENING)
        main.remember("Anselm is allergic to walnuts.")
        turns = memos.cube("talk").ingest(TALK, session="s1")
    return Filled(folder, fact.id, turns[0].id)
