"""Several cubes read as one: a view with one ranking, made by `MemOS.compose`."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from memos_core.cube import CubeHeader, Principal
from memos_core.errors import InvalidInput
from memos_core.memory import Memory, checked_id, checked_within
from memos_core.operator.recall import Ask
from memos_core.query import Recall, Where, checked_budget, checked_k, checked_query, checked_where
from memos_core.timeline import At, checked_at
from memos_core.vault import pasts

if TYPE_CHECKING:
    from memos_core.core import Core
    from memos_core.vault.view import View


class ComposedCubes:
    """What several cubes hold together, as one principal sees each; nothing can be written through it.

    Scores are worked out over all of them, so they compare. Conversations of different cubes stay
    apart, whatever they are called. Whoever loses a right on one of the cubes sees none of it.
    """

    def __init__(self, core: Core, ids: Sequence[str], principal: Principal) -> None:
        self._core, self._ids, self._principal = core, tuple(ids), principal

    def recall(
        self,
        query: str,
        *,
        k: int = 10,
        budget: int | None = None,
        where: Where | None = None,
        at: At | None = None,
    ) -> Recall:
        """Return the (at most) `k` memories of all the cubes that answer best; see `MemCube.recall`."""
        self._core.check_open()
        ask = Ask(
            query=checked_query(query),
            k=checked_k(k),
            where=checked_where(where),
            budget=checked_budget(budget),
            at=checked_at(at),
        )
        return self._core.recaller.recall(self._principal, self._ids, ask)

    def get(self, memory_id: str) -> Memory:
        """Return the present version of a memory of one of the cubes."""
        with self._reading() as (view, cubes):
            return view.memory(cubes, checked_id(memory_id))

    def list(
        self, *, where: Where | None = None, limit: int | None = None, offset: int = 0
    ) -> Sequence[Memory]:
        """Return the memories that match, in the order in which they were first written."""
        where = checked_where(where)
        if limit is not None:
            checked_within(limit, 0, 1 << 62, what="limit")
        checked_within(offset, 0, 1 << 62, what="offset")
        with self._reading() as (view, cubes):
            return view.listed(cubes, where, limit=limit, offset=offset)

    def count(self) -> int:
        """Return how many memories of the cubes are in sight."""
        with self._reading() as (view, cubes):
            return view.count(cube=cubes)

    @contextmanager
    def _reading(self) -> Generator[tuple[View, CubeHeader]]:
        self._core.check_open()
        with self._core.catalog.read() as view:
            yield view, pasts.entered(view, self._principal, self._ids, None)


def checked_ids(ids: Sequence[str]) -> Sequence[str]:
    """Return the ids of the cubes if there are any and each is named once."""
    if not ids:
        raise InvalidInput("compose takes at least one cube")
    if len(set(ids)) != len(ids):
        raise InvalidInput("a cube is named twice: name each once")
    return ids
