import asyncio
import inspect
import re
import threading
from datetime import timedelta

import pytest
from blockbuster import BlockBuster

from memos_core import (
    AsyncComposedCubes,
    AsyncMemCube,
    AsyncMemOS,
    AsyncRecords,
    AsyncRuntime,
    AsyncStream,
    ComposedCubes,
    Entry,
    InvalidInput,
    MemCube,
    MemOS,
    Message,
    NotFound,
    Records,
    Runtime,
    Stream,
    Where,
)
from memos_core.testing import HashEmbedder, InMemoryIndex

PAIRS = [
    (MemOS, AsyncMemOS),
    (MemCube, AsyncMemCube),
    (Records, AsyncRecords),
    (ComposedCubes, AsyncComposedCubes),
    (Runtime, AsyncRuntime),
    (Stream, AsyncStream),
]
SYNC = {"as_principal", "opened"}  # return a handle and do nothing that could block


def verbs(kind):
    return {
        name: each for name, each in inspect.getmembers(kind) if not name.startswith("_") and callable(each)
    }


def properties(kind):
    return {
        name
        for name, each in inspect.getmembers(kind)
        if not name.startswith("_") and isinstance(each, property)
    }


def parameters(verb):
    """Return what a caller sees: names, kinds, defaults and types; a skin takes skins."""
    found = list(inspect.signature(verb).parameters.values())
    return [
        each.replace(annotation=re.sub(r"\b(AsyncMemCube|Handle)\b", "MemCube", str(each.annotation)))
        for each in found
    ]


@pytest.mark.parametrize(("blocking", "awaited"), PAIRS)
def test_the_awaited_skin_has_the_same_verbs(blocking, awaited):
    assert (set(verbs(awaited)), properties(awaited) - {"principal"}) == (
        set(verbs(blocking)),
        properties(blocking),
    )


@pytest.mark.parametrize(
    ("blocking", "awaited", "name"),
    [(blocking, awaited, name) for blocking, awaited in PAIRS for name in verbs(blocking)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_every_verb_takes_the_same_arguments(blocking, awaited, name):
    assert parameters(getattr(awaited, name)) == parameters(getattr(blocking, name))


@pytest.mark.parametrize(
    ("awaited", "name"),
    [(awaited, name) for _, awaited in PAIRS for name in verbs(awaited)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_every_verb_is_documented_and_awaited(awaited, name):
    verb = getattr(awaited, name)
    assert (bool(inspect.getdoc(verb)), inspect.iscoroutinefunction(verb)) == (True, name not in SYNC)


@pytest.fixture
def given(folder, embedder, index, clock):
    return {"folder": folder, "embedder": embedder, "index": index, "clock": clock}


async def tour(memos):
    """Call every verb once; return what can be compared."""
    cube = await memos.cube("notes")
    one = await cube.remember("Mira lives in Lisbon", tags=["home"], ttl=timedelta(days=9))
    two, three = await cube.ingest([Message("Ana", "Hello"), Message("Bo", "How are you?")], session="s1")
    two = await cube.revise(two.id, "Hello there", expected=1)
    await cube.link(two.id, "supports", one.id)
    return [
        (await cube.recall("Where does Mira live?", k=1, where=Where(tags=["home"]))).texts,
        (await cube.get(two.id)).text,
        [memory.id for memory in await cube.list()] == [one.id, two.id, three.id],
        [revision.version for revision in await cube.history(two.id)],
        [source.text for source in await cube.sources(two.id)],
        await cube.find(one.id[:30]) == one.id,
        (await cube.forget(three.id)).erased["memories"],
        await cube.count(),
        [
            each.key
            for each in await cube.records.put([Entry(key="a", data={"n": 1}, texts=["salt and pepper"])])
        ],
        list(await cube.records.get(["a", "b"])),
        [each.data for each in await cube.records.list()],
        [each.record.key for each in await cube.records.recall("salt")],
        await cube.records.renew(["a"]) + await cube.records.sweep() + await cube.records.count(),
        [each.name for each in await memos.cubes(with_records=True)],
        list(await cube.records.put([], drop=["a"])),
        (await cube.snapshot("then")).label,
        (await cube.merge(await cube.fork("twig"), on_conflict="ours")).applied,
        (await (await memos.compose(cube, await memos.cube("twig"))).recall("Mira", k=1)).texts,
        await memos.drain() + await memos.lag() + await cube.lag() >= 0,
        (await memos.reindex()).indexed,
        (await memos.stats()).memories,
        (await memos.doctor()).ok,
        sorted(each.name for each in await memos.cubes()),
        await memos.as_principal("somebody else").cubes(),
        (cube.id == cube.blocking.id, cube.name, cube.owner, repr(cube), str(memos.principal)),
    ]


TOLD = [
    ["Mira lives in Lisbon"], "Hello there", True, [1, 2], ["Hello"], True, 1, 2,
    ["a"], ["a"], [{"n": 1}], ["a"], 1, ["notes"], [],
    "then", True, ["Mira lives in Lisbon"], True, 2, 2, True, ["notes", "twig"],
    [], (True, "notes", "local", "AsyncMemCube('notes', owner='local')", "local"),
]  # fmt: skip


async def test_every_verb_does_what_its_blocking_twin_does(given):
    async with await AsyncMemOS.open(given.pop("folder"), **given) as memos:
        assert await tour(memos) == TOLD


def test_no_verb_blocks_the_event_loop(given):
    async def run():
        async with await AsyncMemOS.open(given.pop("folder"), **given) as memos:
            return await tour(memos)

    guard = BlockBuster()
    guard.activate()
    try:
        told = asyncio.run(run())
    finally:
        guard.deactivate()
    assert told == TOLD


def test_the_guard_of_the_test_above_would_see_a_blocking_verb(memos):
    async def run():
        memos.lag()

    guard = BlockBuster()
    guard.activate()
    try:
        with pytest.raises(Exception, match="Blocking call to sqlite3"):
            asyncio.run(run())
    finally:
        guard.deactivate()


def test_one_store_serves_many_event_loops_one_after_the_other_and_at_once(given):
    memos = asyncio.run(AsyncMemOS.open(given.pop("folder"), **given))

    async def talk(name):
        cube = await memos.cube("notes")
        await asyncio.gather(*(cube.remember(f"{name} says {number}") for number in range(5)))
        return len(await cube.recall(f"{name} says", k=3))

    found = [asyncio.run(talk("first")), asyncio.run(talk("second"))]
    threads = [
        threading.Thread(target=lambda n=n: found.append(asyncio.run(talk(f"loop {n}")))) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def end():
        count = await (await memos.cube("notes")).count()
        await memos.close()
        return count

    assert (found, asyncio.run(end())) == ([3] * 6, 30)


async def test_errors_come_through_as_they_are(given):
    async with await AsyncMemOS.open(given.pop("folder"), **given) as memos:
        cube = await memos.cube("notes")
        with pytest.raises(NotFound):
            await cube.get("nothing")
        with pytest.raises(InvalidInput):
            await cube.remember("")


async def test_a_cancelled_verb_is_done_whole_or_not_at_all(given):
    async with await AsyncMemOS.open(given.pop("folder"), **given) as memos:
        cube = await memos.cube("notes")
        await cube.remember("warm")
        tasks = [
            asyncio.create_task(cube.ingest([Message("Ana", f"{n}a"), Message("Ana", f"{n}b")]))
            for n in range(10)
        ]
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with await AsyncMemOS.open(
        memos.blocking._core.folder, **given | {"index": InMemoryIndex(dimensions=64)}
    ) as again:
        count = await (await again.cube("notes")).count()
    assert count % 2 == 1


async def test_closing_awaits_and_closing_twice_is_no_error(folder):
    memos = await AsyncMemOS.open(folder, embedder=HashEmbedder(), index=InMemoryIndex(dimensions=64))
    await memos.close()
    assert await memos.close() is None
