"""The chat store: what LlamaIndex's own does, it does; and it keeps, copies and parts sessions."""

import asyncio
import base64
import copy
import json
import pickle
import random

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ToolCallBlock
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus
from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore

from llamaindex_memos import Home, MemOSChatStore
from llamaindex_memos import kept as kept_module
from memos_core import Closed, InvalidInput, MemOS
from tests.adapters.llamaindex.scripted import assistant, user
from tests.adapters.llamaindex.test_words import PNG

ACTIVE, ARCHIVED = MessageStatus.ACTIVE, MessageStatus.ARCHIVED
TALK = [user("one"), assistant("two"), user("three"), assistant("four")]


@pytest.fixture
def ours(memos):
    return MemOSChatStore(memos, user="mira")


@pytest.fixture(params=["ours", "theirs"])
async def store(request, ours):
    """Ours, and LlamaIndex's own: what holds for one holds for the other."""
    if request.param == "ours":
        yield ours
        return
    theirs = SQLAlchemyChatStore("t")
    yield theirs
    await theirs._async_engine.dispose()


async def said(store, key="s", status=None):
    return [message.content for message in await store.get_messages(key, status)]


# --- both ------------------------------------------------------------------------------------


async def test_messages_come_back_in_order(store):
    await store.add_message("s", TALK[0])
    await store.add_messages("s", TALK[1:])
    assert await store.get_messages("s") == TALK
    assert await store.count_messages("s") == 4


async def test_a_part_of_them(store):
    await store.add_messages("s", TALK)
    assert await store.get_messages("s", limit=2) == TALK[:2]
    assert await store.get_messages("s", limit=2, offset=1) == TALK[1:3]
    assert await store.get_messages("s", limit=9, offset=3) == TALK[3:]


async def test_sessions_are_apart_and_listed(store):
    await store.add_message("a", TALK[0])
    await store.add_message("b", TALK[1])
    assert (await said(store, "a"), await said(store, "b"), await said(store, "c")) == (["one"], ["two"], [])
    assert sorted(await store.get_keys()) == ["a", "b"]


async def test_archived_ones_leave_the_queue_and_stay_in_the_history(store):
    await store.add_messages("s", TALK)
    assert await store.archive_oldest_messages("s", 3) == TALK[:3]
    assert await said(store, status=ACTIVE) == ["four"]
    assert await said(store, status=ARCHIVED) == ["one", "two", "three"]
    assert await said(store) == ["one", "two", "three", "four"]
    assert [await store.count_messages("s", each) for each in (ACTIVE, ARCHIVED, None)] == [1, 3, 4]
    assert await store.archive_oldest_messages("s", 3) == TALK[3:]


async def test_messages_may_arrive_archived(store):
    await store.add_message("s", TALK[0], ARCHIVED)
    await store.add_messages("s", TALK[1:], ACTIVE)
    assert await said(store, status=ACTIVE) == ["two", "three", "four"]


async def test_the_oldest_active_ones_are_deleted(store):
    await store.add_messages("s", TALK)
    await store.archive_oldest_messages("s", 1)
    assert await store.delete_oldest_messages("s", 2) == TALK[1:3]
    assert await said(store) == ["one", "four"]
    assert await store.delete_oldest_messages("s", 9) == TALK[3:]
    assert await store.delete_oldest_messages("s", 9) == []


async def test_all_or_those_in_one_state_are_deleted(store):
    await store.add_messages("s", TALK)
    await store.archive_oldest_messages("s", 2)
    await store.delete_messages("s", ARCHIVED)
    assert await said(store) == ["three", "four"]
    await store.delete_messages("s")
    await store.delete_messages("s")
    assert (await said(store), await store.get_keys()) == ([], [])


async def test_setting_replaces_everything(store):
    await store.add_messages("s", TALK)
    await store.archive_oldest_messages("s", 2)
    await store.set_messages("s", [user("anew")])
    assert await store.get_messages("s", None) == [user("anew")]


async def test_what_is_returned_is_a_copy_and_what_is_given_stays_as_it_was(store):
    given = ChatMessage(role="user", content="one", additional_kwargs={"a": {"b": [1]}})
    await store.add_message("s", given)
    got = (await store.get_messages("s"))[0]
    got.blocks.append(TextBlock(text="more"))
    got.additional_kwargs["a"]["b"].append(2)
    given.additional_kwargs["a"]["b"].append(3)
    again = (await store.get_messages("s"))[0]
    assert (again.content, again.additional_kwargs) == ("one", {"a": {"b": [1]}})


@pytest.mark.parametrize(
    "message",
    [
        ChatMessage(
            role="assistant", blocks=[ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs={})]
        ),
        ChatMessage(role="tool", content="21", additional_kwargs={"tool_call_id": "1"}),
        ChatMessage(role="user", blocks=[TextBlock(text="see"), ImageBlock(image=PNG)]),
        ChatMessage(role="user", blocks=[ImageBlock(url="https://x.org/cat.png")]),
        ChatMessage(role="user"),
        user(""),
        user("naïve 日本 🌵 \0 \x1b[0m {brace}"),
        ChatMessage(role="system", content="Be brief."),
    ],
    ids=range(8),
)
async def test_every_kind_of_message_comes_back_as_it_was(store, message):
    await store.add_message("s", message)
    assert (await store.get_messages("s"))[0].model_dump() == message.model_dump()


async def test_no_messages(store):
    assert await store.get_messages("s") == []
    await store.set_messages("s", [])
    assert (await store.archive_oldest_messages("s", 3), await store.count_messages("s")) == ([], 0)
    assert await store.delete_message("s", 0) is None


@pytest.mark.parametrize("seed", range(3))
async def test_ours_and_theirs_agree_on_whatever_is_done_to_them(ours, seed):
    theirs, chance = SQLAlchemyChatStore("t"), random.Random(seed)

    def act(store, verb, key, n):
        match verb:
            case "add":
                return store.add_messages(key, [user(f"{n} {each}") for each in range(1 + n % 3)])
            case "set":
                return store.set_messages(key, [user(f"{n} {each}") for each in range(n % 3)])
            case "archive":
                return store.archive_oldest_messages(key, n % 4)
            case "oldest":
                return store.delete_oldest_messages(key, n % 3)
            case _:
                return store.delete_messages(key, [None, ACTIVE, ARCHIVED][n % 3])

    verbs = ("add", "add", "add", "archive", "archive", "oldest", "set", "delete")
    for number in range(40):
        verb, key = chance.choice(verbs), chance.choice("ab")
        assert await act(ours, verb, key, number) == await act(theirs, verb, key, number)
        for status in (None, ACTIVE, ARCHIVED):
            assert await said(ours, key, status) == await said(theirs, key, status)
    assert sorted(await ours.get_keys()) == sorted(await theirs.get_keys())
    await theirs._async_engine.dispose()


# --- ours ------------------------------------------------------------------------------------


def test_it_is_one_of_theirs(ours):
    assert isinstance(ours, AsyncDBChatStore)
    assert ours.class_name() == "MemOSChatStore"


async def test_a_message_is_deleted_by_its_place(ours):
    await ours.add_messages("s", TALK)
    await ours.archive_oldest_messages("s", 1)
    assert await ours.delete_message("s", 1) == TALK[1]
    assert [await ours.delete_message("s", idx) for idx in (-1, 3)] == [None, None]
    assert await said(ours) == ["one", "three", "four"]


async def test_the_same_session_of_two_users_is_two(memos, ours, clock):
    other = MemOSChatStore(memos, user="bo")
    await ours.add_message("s", user("of mira"))
    await other.add_message("s", user("of bo"))
    clock.move(seconds=1)
    await other.add_message("t", user("of bo, too"))
    assert (await said(ours), await said(other)) == (["of mira"], ["of bo"])
    assert (await ours.get_keys(), await other.get_keys()) == (["s"], ["s", "t"])


async def test_another_cube_is_another_store(memos, ours):
    other = MemOSChatStore(memos, user="mira", cube="work")
    await ours.add_message("s", user("at home"))
    assert (await said(other), await other.get_keys()) == ([], [])


async def test_everything_is_there_after_a_restart(folder, twins):
    with MemOS.open(folder, **twins) as memos:
        store = MemOSChatStore(memos, user="mira")
        await store.add_messages("s", TALK)
        await store.archive_oldest_messages("s", 1)
    with MemOS.open(folder, **twins) as memos:
        store = MemOSChatStore(memos, user="mira")
        await store.add_message("s", user("five"))
        assert await said(store) == ["one", "two", "three", "four", "five"]
        assert await said(store, status=ARCHIVED) == ["one"]


@pytest.mark.parametrize(
    "message",
    [
        ChatMessage(role="tool", content="x" * (1 << 20)),
        ChatMessage(role="tool", content='\x1b日"\\' * 300_000),
        ChatMessage(role="user", blocks=[TextBlock(text="see"), ImageBlock(image=PNG + b"\0" * 3_000_000)]),
        ChatMessage(
            role="assistant",
            content="y" * 30_000,
            additional_kwargs={"raw": {"pages": ["z" * 400_000, "short", "w" * 20_001]}},
        ),
    ],
    ids=["a megabyte", "escapes", "a picture", "several"],
)
async def test_a_message_of_any_size_is_kept_whole(ours, message):
    await ours.add_messages("s", [user("before"), message, user("after")])
    assert (await ours.get_messages("s"))[1].model_dump() == message.model_dump()
    await ours.archive_oldest_messages("s", 2)
    (_, archived) = await ours.get_messages("s", ARCHIVED)
    assert archived.model_dump() == message.model_dump()
    assert (await ours.delete_message("s", 1)).model_dump() == message.model_dump()
    cube = ours.home.memos().cube("memory.chat/s")
    assert (await said(ours), cube.records.count()) == (["before", "after"], 2)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (ChatMessage(role="user", content="x", additional_kwargs={"a": object()}), InvalidInput),
        (ChatMessage(role="user", content="half \ud83d"), InvalidInput),
        (ChatMessage(role="user", content="x", additional_kwargs={"a": ["y" * 9_999] * 200}), InvalidInput),
    ],
    ids=["an object", "half a character", "too many texts"],
)
async def test_what_cannot_be_kept_is_refused_and_nothing_is_kept(ours, message, error):
    with pytest.raises(error):
        await ours.add_messages("s", [user("fine"), message])
    assert await said(ours) == []


@pytest.mark.parametrize("key", ["", None, 5, b"s"])
async def test_what_names_no_session_is_refused(ours, key):
    with pytest.raises(InvalidInput):
        await ours.get_messages(key)
    with pytest.raises(InvalidInput):
        await ours.add_message(key, user("one"))


@pytest.mark.parametrize("key", [" ", "a/b", "..", "'; DROP TABLE", "日本 🌵", "x" * 900, "a\nb", "\0", "%"])
async def test_a_session_may_have_an_odd_name(ours, key):
    await ours.add_message(key, user("one"))
    assert (await said(ours, key), await ours.get_keys()) == (["one"], [key])


async def test_a_session_whose_name_is_endless_is_refused(ours):
    with pytest.raises(InvalidInput, match="1,024"):
        await ours.add_message("x" * 2_000, user("one"))


async def test_where_a_picture_is_gone_the_rest_can_be_read(ours, tmp_path):
    picture = tmp_path / "cat.png"
    picture.write_bytes(PNG)
    await ours.add_messages(
        "s",
        [ChatMessage(role="user", blocks=[TextBlock(text="see"), ImageBlock(path=picture)]), user("well?")],
    )
    assert (await ours.get_messages("s"))[0].blocks[1].path == picture
    picture.unlink()
    assert await said(ours) == [f"see\n[image {picture}: the file is gone]", "well?"]


async def test_ten_sessions_at_once_and_ten_writers_in_one(ours):
    await asyncio.gather(
        *(ours.add_message(f"s{n % 10}", user(f"{n}")) for n in range(50)),
        *(ours.add_messages("all", [user(f"{n} a"), user(f"{n} b")]) for n in range(20)),
    )
    assert [await ours.count_messages(f"s{n}") for n in range(10)] == [5] * 10
    together = await said(ours, "all")
    assert sorted(together) == sorted(f"{n} {each}" for n in range(20) for each in "ab")
    assert all(together[at][:-2] == together[at + 1][:-2] for at in range(0, 40, 2))  # batches stay whole


def test_the_order_is_kept_where_the_clock_stands_still_or_goes_back(memos, ours, monkeypatch):
    times = iter([5_000] * 3 + [4_000] * 9)
    monkeypatch.setattr(kept_module.time, "time_ns", lambda: next(times))

    async def main():
        for number in range(8):
            await ours.add_message("s", user(f"{number}"))
        return await said(ours)

    assert asyncio.run(main()) == [f"{number}" for number in range(8)]


@pytest.mark.parametrize("way", ["pickle", "json", "deepcopy"])
async def test_a_store_is_names_and_finds_itself_again(ours, way):
    await ours.add_message("s", user("one"))
    again = {
        "pickle": lambda: pickle.loads(pickle.dumps(ours)),
        "json": lambda: MemOSChatStore.model_validate(json.loads(ours.model_dump_json())),
        "deepcopy": lambda: copy.deepcopy(ours),
    }[way]()
    assert (again, await said(again)) == (ours, ["one"])


async def test_of_a_store_that_is_closed_it_says_so(memos, ours):
    await ours.add_message("s", user("one"))
    memos.close()
    for verb in (ours.get_messages("s"), ours.add_message("s", user("two")), ours.get_keys()):
        with pytest.raises(Closed):
            await verb


def test_nothing_it_does_blocks_the_loop(ours, unblocked):
    async def main():
        await ours.add_messages("s", [*TALK, user("x" * 200_000)])
        await ours.archive_oldest_messages("s", 1)
        await ours.delete_message("s", 1)
        await ours.delete_oldest_messages("s", 1)
        await ours.set_messages("t", await ours.get_messages("s"))
        await ours.delete_messages("s")
        return await ours.count_messages("t"), await ours.get_keys()

    assert unblocked(main) == (2, ["t"])


async def test_no_session_is_a_memory(memos, ours):
    await ours.add_messages("s", TALK)
    assert memos.as_principal("mira").cube("memory").count() == 0
    assert ours.home == Home(memos, user="mira", cube="memory.chat")


def test_a_picture_is_kept_as_the_bytes_it_was():
    assert base64.b64decode(ImageBlock(image=PNG).image) == PNG
