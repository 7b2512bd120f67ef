"""A runtime on the twin engine, and cubes that fill its prefix with several segments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from memos_core import MemCube, Memory, Runtime
from memos_core.testing import ScriptedEngine

BUDGET = 100_000


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def open_runtime(engine: ScriptedEngine) -> Iterator[Callable[..., Runtime]]:
    with ExitStack() as opened:

        def open_one(engine: ScriptedEngine = engine, **given: Any) -> Runtime:
            return opened.enter_context(Runtime(engine, **given))

        yield open_one


@pytest.fixture
def runtime(open_runtime: Callable[..., Runtime]) -> Runtime:
    return open_runtime()


@pytest.fixture
def memories(cube: MemCube) -> list[Memory]:
    return [
        cube.remember(f"Fact {n}: " + f"Mira keeps thing number {n} on her shelf. " * 6) for n in range(24)
    ]


class Asked:
    """Asks a runtime, and sees to it that the answer is the one that computing everything gives."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def __call__(self, cube: MemCube, question: str = "Where?", **given: Any) -> Any:
        given = {"budget": BUDGET, **given}
        reply = self.runtime.chat(question, cube, **given)
        assert reply.text == self.runtime.chat(question, cube, **given, reuse=False).text
        return reply


@pytest.fixture
def ask(runtime: Runtime) -> Asked:
    return Asked(runtime)
