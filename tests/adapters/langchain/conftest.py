"""A LangGraph store over the twins, and one call that serves blocking and awaited tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from blockbuster import BlockBuster

from langchain_memos import MemOSStore
from memos_core import MemOS


@pytest.fixture
def store(memos: MemOS) -> MemOSStore:
    return MemOSStore(memos)


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
