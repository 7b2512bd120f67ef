"""The awaited skin of a Runtime: the same names and arguments, run in threads."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from memos_core.activation.answer import Stream
from memos_core.activation.composed import Composition
from memos_core.adapter import Recipe, Thresholds
from memos_core.aio import AsyncMemCube
from memos_core.briefing import BUDGET, RECALLED
from memos_core.extract.phrasing import ChatPhraser
from memos_core.lora import Adapter
from memos_core.memory import Message
from memos_core.query import Where
from memos_core.reciting import Claim, Rehearsal
from memos_core.reply import Prefix, Reply, Reuse, Sampling
from memos_core.runtime import DEFAULT_MODEL, DISK_BYTES, HOST_BYTES, Runtime
from memos_core.tiers.lora.curriculum import Syllabus
from memos_core.training import TrainingProgress
from memos_core.wearing import Blend


class AsyncStream(AsyncIterator[str]):
    """An answer while it is being said; `blocking` is the Stream itself.

    A word that is under way when whoever waits for it is cancelled is the next one that is read.
    """

    def __init__(self, blocking: Stream) -> None:
        self.blocking = blocking
        self._ahead: deque[_Word] = deque()  # at most one: nobody waited for it to the end
        self._fetching = threading.Lock()

    async def __anext__(self) -> str:
        while not self._ahead:
            await asyncio.to_thread(self._fetch)  # another reader may take what comes
        text = self._taken()
        if text is None:
            raise StopAsyncIteration
        return text

    async def finished(self) -> Reply:
        """Read what has not been read yet, and return the whole reply."""
        return await asyncio.to_thread(self._finish)

    async def close(self) -> None:
        """Break the answer off; what was made for it is kept with the next."""
        await asyncio.to_thread(self.blocking.close)

    def _fetch(self) -> None:
        """Read a word, unless one lies there."""
        with self._fetching:
            if self._ahead:
                return
            try:
                self._ahead.append(_Word(next(self.blocking, None)))
            except BaseException as exc:
                self._ahead.append(_Word(None, exc))  # for whoever asks, if nobody waits any more
                raise

    def _taken(self) -> str | None:
        """Take the word that lies there; what broke the answer off stays, and is raised again."""
        word = self._ahead[0]
        if word.error is not None:
            raise word.error
        self._ahead.popleft()
        return word.text

    def _finish(self) -> Reply:
        with self._fetching:
            while self._ahead:
                self._taken()
            return self.blocking.finished()


class _Word(NamedTuple):
    """What came next: a text, None for the end, or an error."""

    text: str | None
    error: BaseException | None = None


class AsyncRuntime:
    """A Runtime whose verbs are awaited. `blocking` is the runtime itself."""

    def __init__(self, blocking: Runtime) -> None:
        self.blocking = blocking

    @classmethod
    async def open(
        cls,
        model: str | Path = DEFAULT_MODEL,
        *,
        form: str = "exact",
        device_bytes: int | None = None,
        host_bytes: int = HOST_BYTES,
        disk_bytes: int = DISK_BYTES,
        **options: Any,
    ) -> Self:
        """Open a model; see `Runtime.open`. For another kind of runtime wrap it: `AsyncRuntime(runtime)`."""
        return cls(
            await asyncio.to_thread(
                Runtime.open,
                model,
                form=form,
                device_bytes=device_bytes,
                host_bytes=host_bytes,
                disk_bytes=disk_bytes,
                **options,
            )
        )

    async def chat(
        self,
        messages: str | Sequence[Message],
        cube: AsyncMemCube | None = None,
        *,
        system: str | None = None,
        stable: Where | None = None,
        recall: int = RECALLED,
        budget: int = BUDGET,
        sampling: Sampling | None = None,
        compose: Composition | None = None,
        reuse: bool = True,
        adapter: bool | Blend = False,
    ) -> Reply:
        """Return the model's answer; see `Runtime.chat`."""
        return await asyncio.to_thread(
            self.blocking.chat,
            messages,
            _blocking(cube),
            system=system,
            stable=stable,
            recall=recall,
            budget=budget,
            sampling=sampling,
            compose=compose,
            reuse=reuse,
            adapter=adapter,
        )

    async def stream(
        self,
        messages: str | Sequence[Message],
        cube: AsyncMemCube | None = None,
        *,
        system: str | None = None,
        stable: Where | None = None,
        recall: int = RECALLED,
        budget: int = BUDGET,
        sampling: Sampling | None = None,
        compose: Composition | None = None,
        reuse: bool = True,
        adapter: bool | Blend = False,
    ) -> AsyncStream:
        """Begin an answer, to be read with `async for`; see `Runtime.stream`."""
        return AsyncStream(
            await asyncio.to_thread(
                self.blocking.stream,
                messages,
                _blocking(cube),
                system=system,
                stable=stable,
                recall=recall,
                budget=budget,
                sampling=sampling,
                compose=compose,
                reuse=reuse,
                adapter=adapter,
            )
        )

    async def build(
        self,
        cube: AsyncMemCube,
        *,
        system: str | None = None,
        stable: Where | None = None,
        budget: int = BUDGET,
        progress: Callable[[int, int], None] | None = None,
    ) -> Reuse:
        """Compute and store a cube's prefix ahead of need; see `Runtime.build`."""
        return await asyncio.to_thread(
            self.blocking.build, cube.blocking, system=system, stable=stable, budget=budget, progress=progress
        )

    @property
    def identity(self) -> str:
        return self.blocking.identity

    @property
    def teaches(self) -> bool:
        return self.blocking.teaches

    async def train(
        self,
        cube: AsyncMemCube,
        *,
        syllabus: Syllabus | None = None,
        recipe: Recipe | None = None,
        thresholds: Thresholds | None = None,
        stable: Where | None = None,
        control: bool = False,
        renew: bool | None = None,
        phraser: ChatPhraser | None = None,
        progress: Callable[[TrainingProgress], None] | None = None,
        heed: Callable[[], None] | None = None,
    ) -> Adapter:
        """Teach the model a cube's memories; see `Runtime.train`."""
        return await asyncio.to_thread(
            self.blocking.train,
            cube.blocking,
            syllabus=syllabus,
            recipe=recipe,
            thresholds=thresholds,
            stable=stable,
            control=control,
            renew=renew,
            phraser=phraser,
            progress=progress,
            heed=heed,
        )

    async def rehearse(
        self,
        cube: AsyncMemCube,
        *,
        syllabus: Syllabus | None = None,
        recipe: Recipe | None = None,
        stable: Where | None = None,
    ) -> Rehearsal:
        """Return what a training would teach and take; see `Runtime.rehearse`."""
        return await asyncio.to_thread(
            self.blocking.rehearse, cube.blocking, syllabus=syllabus, recipe=recipe, stable=stable
        )

    async def recite(self, cube: AsyncMemCube, *, blend: Blend | None = None) -> Sequence[Claim]:
        """Return what a cube's adapter says of its memories; see `Runtime.recite`."""
        return await asyncio.to_thread(self.blocking.recite, cube.blocking, blend=blend)

    async def examine(
        self,
        cube: AsyncMemCube,
        adapter: Adapter | None = None,
        *,
        thresholds: Thresholds | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Adapter:
        """Examine an adapter again; see `Runtime.examine`."""
        return await asyncio.to_thread(
            self.blocking.examine, cube.blocking, adapter, thresholds=thresholds, progress=progress
        )

    async def prefix(
        self,
        cube: AsyncMemCube,
        *,
        system: str | None = None,
        stable: Where | None = None,
        budget: int = BUDGET,
    ) -> Prefix:
        """Return how much of a cube's prefix is stored; see `Runtime.prefix`."""
        return await asyncio.to_thread(
            self.blocking.prefix, cube.blocking, system=system, stable=stable, budget=budget
        )

    async def close(self) -> None:
        """Release the model; see `Runtime.close`."""
        await asyncio.to_thread(self.blocking.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _blocking(cube: AsyncMemCube | None) -> Any:
    return None if cube is None else cube.blocking
