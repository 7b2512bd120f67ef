"""What a cube shows, awaited: its values by key, and several cubes read as one."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from memos_core.composition import ComposedCubes
from memos_core.records import Records

P = ParamSpec("P")
R = TypeVar("R")


def _awaited_record(
    verb: Callable[Concatenate[Records, P], R],
) -> Callable[Concatenate[AsyncRecords, P], Awaitable[R]]:
    @functools.wraps(verb)
    async def run(self: AsyncRecords, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(verb, self.blocking, *args, **kwargs)

    return run


def _awaited_view(
    verb: Callable[Concatenate[ComposedCubes, P], R],
) -> Callable[Concatenate[AsyncComposedCubes, P], Awaitable[R]]:
    @functools.wraps(verb)
    async def run(self: AsyncComposedCubes, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(verb, self.blocking, *args, **kwargs)

    return run


class AsyncRecords:
    """Values by key, awaited. `blocking` is the dictionary itself."""

    def __init__(self, blocking: Records) -> None:
        self.blocking = blocking

    put = _awaited_record(Records.put)
    get = _awaited_record(Records.get)
    list = _awaited_record(Records.list)
    recall = _awaited_record(Records.recall)
    renew = _awaited_record(Records.renew)
    sweep = _awaited_record(Records.sweep)
    count = _awaited_record(Records.count)


class AsyncComposedCubes:
    """Several cubes read as one, awaited. `blocking` is the view itself."""

    def __init__(self, blocking: ComposedCubes) -> None:
        self.blocking = blocking

    recall = _awaited_view(ComposedCubes.recall)
    get = _awaited_view(ComposedCubes.get)
    list = _awaited_view(ComposedCubes.list)
    count = _awaited_view(ComposedCubes.count)
