"""LangGraph's store over MemOS: items under namespaces, found by meaning, kept in a folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from langgraph.store.base import BaseStore, Op, Result, TTLConfig

from langchain_memos.items import Get, Names, Put, Search, Step, checked, item_of
from langchain_memos.namespaces import Namespace, meets
from langchain_memos.search import places_under, searched
from langchain_memos.sweeping import Sweeper
from memos_core import Entry, MemCube, MemOS, NotFound


class MemOSStore(BaseStore):
    """A `BaseStore` whose namespaces are the cubes of an open MemOS.

    ::

        with MemOSStore.open("./memory") as store:
            agent = create_agent(model, tools, store=store)

    `("users", "mira")` is the cube "users.mira"; items are its records. One object serves blocking
    and awaited callers, several event loops and threads. `fields` are the JSON paths that items are
    found by unless `put(index=...)` names others; None says the whole value in words. `ttl` is
    LangGraph's TTLConfig, in minutes; what has expired is out of sight at once and erased by a sweep.

    A batch is checked whole before anything runs, then taken in order: a read sees the writes before
    it. Neighbouring writes to one namespace are one transaction. A search without a query gives the
    last written first. With a query the score is in 0 to 1 and compares within that search; where the
    prefix spans several namespaces, it is the cosine of query and item, -1 to 1. Items put with
    `index=False` come last, with score None.
    """

    supports_ttl = True

    def __init__(
        self, memos: MemOS, *, fields: Sequence[str] | None = None, ttl: TTLConfig | None = None
    ) -> None:
        self.memos = memos
        self.fields = None if fields is None else tuple(fields)
        self.ttl_config = ttl
        self._sweeper = Sweeper(self.sweep_ttl)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle to the settings: what comes back stands on the same MemOS, and sweeps when it is told to."""
        return _restored, (self.memos, self.fields, self.ttl_config)

    @classmethod
    @contextmanager
    def open(
        cls,
        folder: str | Path,
        *,
        fields: Sequence[str] | None = None,
        ttl: TTLConfig | None = None,
        **options: Any,
    ) -> Generator[MemOSStore]:
        """Open the store in a folder for a `with` block; `options` are those of `MemOS.open`."""
        with MemOS.open(folder, **options) as memos:
            store = cls(memos, fields=fields, ttl=ttl)
            store._begin_sweeping()
            try:
                yield store
            finally:
                store.stop_ttl_sweeper()

    @classmethod
    @asynccontextmanager
    async def aopen(
        cls,
        folder: str | Path,
        *,
        fields: Sequence[str] | None = None,
        ttl: TTLConfig | None = None,
        **options: Any,
    ) -> AsyncGenerator[MemOSStore]:
        """Open the store in a folder for an `async with` block, as a server's configuration names it."""
        opened = cls.open(folder, fields=fields, ttl=ttl, **options)
        store = await asyncio.to_thread(opened.__enter__)
        try:
            yield store
        finally:
            await asyncio.to_thread(opened.__exit__, None, None, None)

    # --- operations --------------------------------------------------------------------------

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Take the operations in order; return one result for each."""
        return self._run(self._steps(ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Take the operations in order, in a thread; return one result for each.

        A cancelled await stops waiting; each transaction is done whole or not at all.
        """
        return await asyncio.to_thread(self._run, self._steps(ops))

    def _steps(self, ops: Iterable[Op]) -> list[Step]:
        return [checked(op, fields=self.fields) for op in ops]

    def _run(self, steps: Sequence[Step]) -> list[Result]:
        results: list[Result] = []
        pending: dict[str, dict[str, Entry | None]] = {}  # by cube and key, the last of a key wins
        for step in steps:
            if not isinstance(step, Put):
                self._write(pending)
            match step:
                case Put():
                    pending.setdefault(step.cube, {})[step.key] = step.entry
                    results.append(None)
                case Get():
                    results.append(self._got(step))
                case Search():
                    results.append(searched(self.memos, step))
                case Names():
                    results.append(self._named(step))
        self._write(pending)
        return results

    def _write(self, pending: dict[str, dict[str, Entry | None]]) -> None:
        for name, changes in pending.items():
            entries = [entry for entry in changes.values() if entry is not None]
            drop = [key for key, entry in changes.items() if entry is None]
            cube = self.memos.cube(name) if entries else self._cube(name)
            if cube is not None:
                cube.records.put(entries, drop=drop)
        pending.clear()

    def _got(self, step: Get) -> Result:
        cube = self._cube(step.cube)
        record = None if cube is None else cube.records.get([step.key], renew=step.renew).get(step.key)
        return None if record is None else item_of(record, step.namespace)

    def _named(self, step: Names) -> list[Namespace]:
        found = [place.namespace for place in places_under(self.memos, ())]
        names = {namespace[: step.depth] for namespace in found if meets(namespace, step.conditions)}
        return sorted(names)[step.offset : step.offset + step.limit]

    def _cube(self, name: str) -> MemCube | None:
        """Return the namespace's cube, or None: reading makes none."""
        try:
            return self.memos.cube(name, create=False)
        except NotFound:
            return None

    # --- time ---------------------------------------------------------------------------------

    def sweep_ttl(self) -> int:
        """Erase the items whose time is over, in every namespace; return how many."""
        mine = self.memos.principal.name
        return sum(_swept(cube) for cube in self.memos.cubes() if cube.owner == mine)

    async def asweep_ttl(self) -> int:
        """Erase the items whose time is over, in a thread; return how many."""
        return await asyncio.to_thread(self.sweep_ttl)

    def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> Future[None]:
        """Sweep in the background, every so many minutes (default: as configured, else 5).

        Returns a future that is done when the sweeper has stopped; cancelling it stops the sweeper.
        """
        configured = (self.ttl_config or {}).get("sweep_interval_minutes")
        return self._sweeper.start(minutes=sweep_interval_minutes or configured or 5)

    def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """Stop the sweeper and wait for it, `timeout` seconds at most; return whether it has stopped."""
        return self._sweeper.stop(timeout)

    def _begin_sweeping(self) -> None:
        if (self.ttl_config or {}).get("sweep_interval_minutes"):
            self.start_ttl_sweeper()


def _swept(cube: MemCube) -> int:
    try:
        return cube.records.sweep()
    except NotFound:  # the cube was erased meanwhile, with all that was in it
        return 0


def _restored(memos: MemOS, fields: tuple[str, ...] | None, ttl: TTLConfig | None) -> MemOSStore:
    return MemOSStore(memos, fields=fields, ttl=ttl)
