"""A LangGraph store over the twins, and one call that serves blocking and awaited tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from blockbuster import BlockBuster

from langchain_memos import MemOSStore
from memos_core import MemOS, Runtime
from memos_core.testing import ScriptedEngine


@pytest.fixture
def store(memos: MemOS) -> MemOSStore:
    return MemOSStore(memos)


@pytest.fixture
def told(memos: MemOS) -> MemOS:
    """A store whose cube "memory" knows two things of Mira."""
    cube = memos.cube("memory")
    cube.remember("I am Mira.", kind="persona")
    cube.remember("Mira lives in Porto.")
    return memos


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    with Runtime(ScriptedEngine()) as runtime:
        yield runtime


@pytest.fixture
def unblocked() -> Callable[..., Any]:
    """Run a coroutine function in a loop of its own in which a blocking call raises."""

    def run(main: Callable[[], Any]) -> Any:
        guard = BlockBuster()
        guard.activate()
        try:
            return asyncio.run(main())
        finally:
            guard.deactivate()

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what a suite asks of classes that can do more: its skips would be errors here."""
    items[:] = [item for item in items if _name(item) not in getattr(_class(item), "not_asked", ())]


def _name(item: pytest.Item) -> str:
    return item.originalname if isinstance(item, pytest.Function) else item.name


def _class(item: pytest.Item) -> type | None:
    return item.cls if isinstance(item, pytest.Function) else None
