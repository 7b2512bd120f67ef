"""The core's blocking verbs, awaited in a thread, under AutoGen's cancellation tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from autogen_core import CancellationToken

P = ParamSpec("P")
R = TypeVar("R")


async def awaited(
    token: CancellationToken | None, verb: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R:
    """Run the verb in a thread and return what it returns.

    A token that is cancelled raises CancelledError: before the verb begins nothing happens; later the
    waiting ends, and the verb, which is one transaction, is done or not done.
    """
    if token is None:
        return await asyncio.to_thread(verb, *args, **kwargs)
    if token.is_cancelled():
        raise asyncio.CancelledError
    waiting = asyncio.ensure_future(asyncio.to_thread(verb, *args, **kwargs))
    token.link_future(waiting)
    return await waiting
