"""AutoGen's contexts and scripted models over the twins, and a loop in which nothing may block."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from blockbuster import BlockBuster

from memos_core import MemOS


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


@pytest.fixture
def named(tmp_path: Any) -> Iterator[MemOS]:
    """A store that was opened with names only, so that it can be written down."""
    with MemOS.open(tmp_path / "named", embedder="static") as memos:
        yield memos
