"""An answer that outlives what it was asked of: its store, its cube, or whoever waited for the next word."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from memos_core import AsyncStream, BackendError, BackendUnavailable, Closed
from memos_core.activation.answer import Stream
from memos_core.cube import SYSTEM
from memos_core.testing import ScriptedEngine
from memos_core.vault import artifacts
from memos_core.vault.blobs import Blobs
from tests.unit.activation.conftest import BUDGET


def listing(folder: Path) -> list[tuple[str, int, int]]:
    """Everything under a folder, with what a write to it would change."""
    found = [(str(path), path.stat()) for path in sorted(folder.rglob("*"))]
    return [(name, status.st_size, status.st_mtime_ns) for name, status in found]


@pytest.mark.parametrize("said", [0, 1])
def test_an_answer_outlives_its_store_and_writes_nothing(runtime, memos, cube, memories, said):
    whole = runtime.chat("Where?", cube, budget=BUDGET, reuse=False).text
    stream = runtime.stream("Where?", cube, budget=BUDGET)
    begun = [next(stream) for _ in range(said)]
    memos.close()
    before = listing(memos._core.folder)
    reply = stream.finished()
    assert (reply.text, reply.text.startswith("".join(begun)), reply.reuse.built) == (whole, True, 0)
    assert listing(memos._core.folder) == before
    assert not runtime._levels.keys()


def test_an_answer_that_attached_something_outlives_its_store(runtime, memos, cube, memories):
    whole = runtime.chat("Where?", cube, budget=BUDGET).text
    stream = runtime.stream("Where?", cube, budget=BUDGET)
    next(stream)
    memos._core.derived._uses = {"other": (1 << 20, 0.0)}  # so many that they would be written down now
    memos.close()
    assert stream.finished().text == whole


def test_what_is_closed_writes_and_reads_nothing(memos, cube):
    core = memos._core
    memos.close()
    before = listing(core.folder)
    for call in (
        lambda: core.catalog.read().__enter__(),
        lambda: core.catalog.connection().__enter__(),
        core.derived.sweep,
        lambda: core.derived.store(
            cube.id, key="k", kind="kv", engine="e", data=b"x", facts={}, build_seconds=1.0, sources=[]
        ),
    ):
        with pytest.raises(Closed):
            call()
    core.catalog.close()
    assert listing(core.folder) == before


def test_closing_lets_go_of_the_states_in_ram(runtime, memos, cube, memories, open_memos, tmp_path):
    other = open_memos(tmp_path / "other").cube("notes")
    other.remember("Something else.")
    runtime.chat("Where?", other, budget=BUDGET)
    kept = runtime._levels.keys()
    runtime.chat("Where?", cube, budget=BUDGET)
    assert kept < runtime._levels.keys()
    memos.close()
    assert runtime._levels.keys() == kept


def test_an_answer_outlives_its_cube(runtime, memos, cube, memories):
    stream = runtime.stream("Where?", cube, budget=BUDGET)
    begun = next(stream)
    memos.forget_cube(cube.name)
    reply = stream.finished()
    assert (reply.text.startswith(begun), reply.reuse.built) == (True, 0)
    assert not list((memos._core.folder / "blobs").glob("??/*"))


def test_nothing_is_kept_in_a_cube_that_was_erased(runtime, memos, cube, memories, monkeypatch):
    """Its row stays until the last file is gone, and owns nothing new meanwhile."""
    runtime.build(cube, budget=BUDGET)
    other = runtime.stream("Where?", cube, system="Be kind.", stable=None, budget=BUDGET)
    next(other)
    with monkeypatch.context() as patched:
        patched.setattr(Blobs, "delete", _refused)
        memos.forget_cube(cube.name)
    assert other.finished().reuse.built == 0
    memos.drain()
    assert not list((memos._core.folder / "blobs").glob("??/*"))


def _refused(*_args):
    raise OSError("busy")


class _Slow:
    """Says its words when it is let."""

    def __init__(self, error: Exception | None = None) -> None:
        self.go = threading.Semaphore(0)
        self.error = error

    def words(self):
        for word in ("one", "two", "three"):
            assert self.go.acquire(timeout=10)
            if self.error is not None:
                raise self.error
            yield word
        return "one two three"


def test_a_word_that_nobody_waited_for_is_the_next_one():
    async def read() -> list[str]:
        slow = _Slow()
        stream = AsyncStream(Stream(slow.words()))
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        slow.go.release(3)
        return [word async for word in stream]

    assert asyncio.run(read()) == ["one", "two", "three"]


def test_an_answer_is_whole_where_a_word_of_it_was_not_waited_for():
    async def read() -> tuple[str, str | None]:
        slow = _Slow()
        stream = AsyncStream(Stream(slow.words()))
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.01)
        waiting.cancel()
        slow.go.release(3)
        return await stream.finished(), await anext(stream, None)

    assert asyncio.run(read()) == ("one two three", None)


def test_what_breaks_an_answer_off_is_told_to_who_asks_next():
    async def read() -> None:
        slow = _Slow(BackendError("no more words"))
        stream = AsyncStream(Stream(slow.words()))
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.01)
        waiting.cancel()
        slow.go.release(3)
        for ask in (stream.finished, lambda: anext(stream), stream.finished):
            with pytest.raises(BackendError):
                await ask()

    asyncio.run(read())


def test_two_who_read_at_once_get_a_word_each():
    async def read() -> list[str]:
        slow = _Slow()
        stream = AsyncStream(Stream(slow.words()))
        both = asyncio.gather(anext(stream), anext(stream))
        await asyncio.sleep(0.01)
        slow.go.release(3)
        return sorted([*await both, await anext(stream)])

    assert asyncio.run(read()) == ["one", "three", "two"]


def test_a_word_outlives_the_loop_in_which_it_was_asked_for():
    slow = _Slow()
    stream = AsyncStream(Stream(slow.words()))

    async def walk_away() -> None:
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.01)
        slow.go.release(3)
        assert not waiting.cancelled()  # the loop's own end cancels it

    async def read() -> list[str]:
        return [word async for word in stream]

    asyncio.run(walk_away())
    said = asyncio.run(read())
    assert said in (["one", "two", "three"], ["two", "three"])  # the first may have been told in time


def test_all_tasks_may_be_cancelled_and_the_answer_be_finished():
    async def read() -> str:
        slow = _Slow()
        stream = AsyncStream(Stream(slow.words()))
        asyncio.ensure_future(anext(stream))  # noqa: RUF006 - it is cancelled
        await asyncio.sleep(0.01)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        slow.go.release(3)
        return str(await stream.finished())

    assert asyncio.run(read()) == "one two three"


# --- where it is broken off, or cannot be kept ------------------------------------------------


def test_an_answer_that_is_collected_takes_no_lock(runtime, memos, cube, memories):
    """The garbage collector ends an abandoned answer in any thread, whatever that holds."""
    stream = runtime.stream("Where?", cube, budget=BUDGET)
    next(stream)
    ended = threading.Event()

    def collect() -> None:
        derived = memos._core.derived
        with derived._storing, derived._showing, memos._core.catalog.write(SYSTEM):
            stream.close()
        ended.set()

    threading.Thread(target=collect, daemon=True).start()
    assert ended.wait(5)
    assert runtime.chat("Where?", cube, budget=BUDGET).reuse.segments > 1  # kept when it was asked for next


def test_what_was_made_for_a_broken_answer_is_not_kept_of_what_was_forgotten(runtime, cube, memories):
    stream = runtime.stream("Where?", cube, budget=BUDGET)
    next(stream)
    stream.close()
    assert len(runtime._answerer._left) == 1
    cube.forget(memories[0].id)
    assert len(runtime._answerer._left) == 0
    assert runtime.chat("Where?", cube, budget=BUDGET).reuse.tokens == 0


def test_closing_a_runtime_keeps_what_was_made_for_a_broken_answer(open_runtime, cube, memories):
    with open_runtime() as first:
        stream = first.stream("Where?", cube, budget=BUDGET)
        next(stream)
        stream.close()
    later = open_runtime(ScriptedEngine())
    assert later.chat("Where?", cube, budget=BUDGET).reuse.segments > 1


def test_a_closing_store_gives_nothing_back_into_ram(runtime, memos, cube, memories, monkeypatch):
    runtime.chat("Where?", cube, budget=BUDGET)
    stream = runtime.stream("Where?", cube, budget=BUDGET)
    monkeypatch.setattr(memos._core.slot, "close", stream.finished)  # between the two closings
    memos.close()
    assert not runtime._levels.keys()
    assert not memos._core.derived._shown


def test_a_catalog_that_fails_at_the_end_costs_no_answer(runtime, memos, cube, memories, monkeypatch):
    whole = runtime.chat("Where?", cube, budget=BUDGET, reuse=False).text
    stream = runtime.stream("Where?", cube, budget=BUDGET)
    next(stream)

    def gone() -> None:
        raise BackendUnavailable("the database is gone")

    with monkeypatch.context() as patch:
        patch.setattr(memos._core.catalog, "read", gone)
        reply = stream.finished()
    assert (reply.text, reply.reuse.built) == (whole, 0)


def test_a_damaged_file_that_cannot_be_deleted_costs_no_answer(
    open_runtime, memos, cube, memories, monkeypatch
):
    whole = open_runtime().chat("Where?", cube, budget=BUDGET).text
    for path in (memos._core.folder / "blobs").glob("??/*"):
        path.write_bytes(b"\0" * 40)

    def full(*_given: object, **_named: object) -> int:
        raise BackendError("disk full")

    monkeypatch.setattr(memos._core.derived, "refuse", full)
    assert open_runtime().chat("Where?", cube, budget=BUDGET).text == whole


def test_others_are_noticed_once_an_answer(open_runtime, memos, cube, memories, monkeypatch):
    open_runtime().chat("Where?", cube, budget=BUDGET)
    monkeypatch.setattr(memos._core.derived, "_is_shared", True)
    asked, alive = [], artifacts.alive
    monkeypatch.setattr(artifacts, "alive", lambda *given: asked.append(1) or alive(*given))
    reply = open_runtime().chat("Where?", cube, budget=BUDGET)
    assert (reply.reuse.level, len(asked)) == ("disk", 1)
