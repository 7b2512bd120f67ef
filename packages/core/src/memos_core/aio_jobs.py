"""The awaited skin of a store's worker; see `memos_core.aio`."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from memos_core.scheduler.worker import GRACE, Worker


class AsyncWorker:
    """A worker that begins and ends without blocking the event loop. `blocking` is the worker itself."""

    def __init__(self, blocking: Worker) -> None:
        self.blocking = blocking

    @property
    def kinds(self) -> tuple[str, ...]:
        return self.blocking.kinds

    @property
    def is_running(self) -> bool:
        return self.blocking.is_running

    async def start(self) -> Self:
        """Begin; return itself."""
        await asyncio.to_thread(self.blocking.start)
        return self

    async def run_until_idle(self) -> int:
        """Do in another thread what can be done now; return how many jobs were run."""
        return await asyncio.to_thread(self.blocking.run_until_idle)

    async def close(self, *, grace: float = GRACE) -> None:
        """Stop: the jobs in hand have so many seconds to end; the others are given back."""
        await asyncio.to_thread(self.blocking.close, grace=grace)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
