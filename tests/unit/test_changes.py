"""What has changed in a cube since somebody looked: each memory once, as it is now, to whom may see it."""

import asyncio
import threading

import pytest

from memos_core import AsyncMemOS, MemOS, Message


def told(changes):
    return [(each.memory.text, each.by) for each in changes]


def test_everything_is_new_to_who_never_looked_and_nothing_to_who_has(cube):
    cube.ingest([Message("Ana", "one"), Message("Ana", "two")])
    cube.remember("three")
    first = cube.changes()
    assert [each.memory.text for each in first] == ["one", "two", "three"]
    assert first[0].number == first[1].number < first[2].number == first.upto
    assert (list(cube.changes(since=first.upto)), cube.changes(since=first.upto).upto) == ([], first.upto)


def test_a_memory_is_told_once_as_it_is_now_and_by_its_last_writer(memos, cube):
    kept = cube.remember("The door is shut.", visibility="shared")
    seen = cube.changes().upto
    cube.grant("eve", "write")
    eve = memos.as_principal("eve").cube("notes", owner="local")
    eve.revise(kept.id, "The door is open.")
    eve.revise(kept.id, "The door is ajar.")
    assert told(cube.changes(since=seen)) == [("The door is ajar.", "eve")]


def test_being_used_linked_or_stated_again_is_no_news(memos, cube):
    first, second = cube.remember("one"), cube.remember("two")
    seen = cube.changes().upto
    cube.recall("one")
    memos.drain()
    cube.remember("one")
    cube.link(first.id, "supports", second.id)
    cube.classify(first.id, priority=3)
    assert told(cube.changes(since=seen)) == []
    assert cube.changes(since=seen).upto > seen


def test_what_is_gone_out_of_sight_is_not_told_and_what_comes_back_is(cube):
    away, gone = cube.remember("away"), cube.remember("gone")
    seen = cube.changes().upto
    cube.forget(gone.id)
    cube.archive(away.id)
    assert told(cube.changes()) == []
    cube.restore(away.id)
    assert told(cube.changes(since=seen)) == [("away", "local")]


def test_nobody_is_told_of_what_is_private_to_another_until_it_is_shown(memos, cube):
    private = cube.remember("a secret plan")
    cube.remember("the plan", visibility="shared")
    cube.grant("eve", "read")
    eve = memos.as_principal("eve").cube("notes", owner="local")
    before = eve.changes()
    cube.classify(private.id, visibility="shared")
    assert told(before) == [("the plan", "local")]
    assert told(eve.changes(since=before.upto)) == [("a secret plan", "local")]


def test_a_subscriber_misses_nothing_of_several_writers(cube):
    writers = [
        threading.Thread(target=lambda who=who: [cube.remember(f"{who} {n}") for n in range(10)])
        for who in range(4)
    ]
    for each in writers:
        each.start()
    seen, heard = 0, []
    while any(each.is_alive() for each in writers):
        news = cube.changes(since=seen)
        seen, heard = news.upto, [*heard, *(each.memory.text for each in news)]
    heard += [each.memory.text for each in cube.changes(since=seen)]
    assert sorted(heard) == sorted(f"{who} {n}" for who in range(4) for n in range(10))


def test_many_changes_are_told_in_one_look(cube):
    texts = [f"turn {number}" for number in range(1200)]
    cube.ingest([Message("Ana", text) for text in texts])
    assert [each.memory.text for each in cube.changes()] == texts


def test_it_is_awaited_too(memos: MemOS):
    async def main():
        cube = await AsyncMemOS(memos).cube("notes")
        await cube.remember("one")
        return await cube.changes()

    assert told(asyncio.run(main())) == [("one", "local")]


@pytest.mark.parametrize("part", [slice(0, 1), slice(1, None)])
def test_it_is_a_sequence(cube, part):
    cube.ingest([Message("Ana", "one"), Message("Ana", "two")])
    news = cube.changes()
    assert (len(news), list(news[part])) == (2, list(news)[part])


def test_words_that_come_back_or_come_over_are_news(memos):
    cube = memos.cube("notes")
    memory = cube.remember("The key is under the mat.")
    cube.snapshot("before")
    cube.revise(memory.id, "The key is in the shed.")
    fork = cube.fork("plans")
    read = cube.changes().upto
    cube.revert(memory.id, to=1)
    assert [each.memory.text for each in cube.changes(since=read).changes] == ["The key is under the mat."]
    fork.remember("The shed is locked.")
    read = cube.changes().upto
    cube.merge(fork, on_conflict="ours")
    assert [each.memory.text for each in cube.changes(since=read).changes] == ["The shed is locked."]
