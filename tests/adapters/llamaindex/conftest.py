"""Whatever LlamaIndex is given here stands on the twins; one call runs where nothing may block."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from blockbuster import BlockBuster
from llama_index.core.utils import get_tokenizer

from llamaindex_memos import MemOSMemory
from memos_core import MemOS
from memos_core.testing import HashEmbedder, InMemoryIndex


@pytest.fixture(scope="session", autouse=True)
def tokenizer() -> Callable[[str], list[int]]:
    """LlamaIndex's tokenizer reads its vocabulary when it is first asked for."""
    return get_tokenizer()


@pytest.fixture(autouse=True)
def closed_loop(request: pytest.FixtureRequest) -> None:
    """Blocking tests have a loop that somebody closes."""
    if not inspect.iscoroutinefunction(request.function):
        request.getfixturevalue("thread_loop")


@pytest.fixture
def memory_of(memos: MemOS) -> Callable[..., MemOSMemory]:
    """Return the memory of a user's session; each call makes another object."""

    def made(user: str = "mira", session: str | None = "s1", **given: Any) -> MemOSMemory:
        return MemOSMemory.from_defaults(memos, user=user, session_id=session, **given)

    return made


@pytest.fixture
def twins() -> dict[str, Any]:
    """What a store is opened with that stands on twins of its own."""
    return {"embedder": HashEmbedder(), "index": InMemoryIndex(dimensions=64)}


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
