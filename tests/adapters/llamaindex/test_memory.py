"""MemOSMemory does what LlamaIndex's Memory does, keeps what is put, and finds itself again."""

import asyncio
import copy
import json
import pickle

import pytest
from llama_index.core.base.llms.types import ChatMessage, LLMMetadata
from llama_index.core.llms import MockLLM
from llama_index.core.memory import InsertMethod, Memory, StaticMemoryBlock
from llama_index.core.prompts import RichPromptTemplate
from llama_index.core.storage.chat_store.base_db import MessageStatus
from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore

from llamaindex_memos import MemOSChatStore, MemOSMemory, MemOSMessagesBlock
from memos_core import BackendUnavailable, Closed, IllegalTransition, InvalidInput, MemOS
from tests.adapters.llamaindex.scripted import assistant, user
from tests.adapters.llamaindex.test_block import lines, said_in

ACTIVE, ARCHIVED = MessageStatus.ACTIVE, MessageStatus.ARCHIVED


@pytest.fixture
def cube(memos):
    return memos.as_principal("mira").cube("memory")


def texts(messages):
    return [message.content for message in messages]


def kept(cube):
    return [memory.text for memory in cube.list()]


# --- what is put is kept ---------------------------------------------------------------------


async def test_what_is_put_is_in_the_session_and_in_the_cube_at_once(memory_of, cube):
    memory = memory_of()
    await memory.aput(user("I live in Porto."))
    await memory.aput_messages([assistant("Noted."), user("And you?")])
    assert texts(await memory.aget_all()) == kept(cube) == ["I live in Porto.", "Noted.", "And you?"]
    assert {memory.session for memory in cube.list()} == {"s1"}


async def test_every_later_session_of_the_user_recalls_it_and_nobody_elses(memory_of):
    await memory_of().aput(user("I live in Porto."))
    for name, seen in (("mira", ['"I live in Porto." (mira)']), ("bo", [])):
        memory = memory_of(name, "s2")
        await memory.aput(user("Where do I live?"))
        assert lines(said_in(await memory.aget())) == seen


async def test_in_session_scope_no_session_sees_another(memory_of):
    await memory_of(session="one", scope="session").aput(user("I live in Porto."))
    memory = memory_of(session="two", scope="session")
    await memory.aput(user("Where do I live?"))
    assert lines(said_in(await memory.aget())) == []


async def test_a_conversation_goes_on_after_a_restart(folder, twins):
    for number, words in enumerate(("one", "two", "three")):
        with MemOS.open(folder, **twins) as memos:
            memory = MemOSMemory.from_defaults(memos, user="mira", session_id="s")
            assert len(await memory.aget_all()) == number
            await memory.aput(user(words))
            assert memos.as_principal("mira").cube("memory").count() == number + 1


async def test_what_is_said_twice_is_kept_twice_over_restarts_too(memory_of, cube):
    for _ in range(2):
        memory = memory_of()  # a new one each time, as a server makes them
        await memory.aput_messages([user("yes"), assistant("noted")])
    assert kept(cube) == ["yes", "noted", "yes", "noted"]


async def test_a_history_that_is_set_with_every_turn_is_kept_once(memory_of, cube):
    memory, history = memory_of(), []
    for number in range(4):
        history += [user("again"), assistant(f"answer {number}")]
        await memory.aset(list(history))
    await memory.aput(user("again"))
    assert len(kept(cube)) == len(set(kept(cube))) + 4 == 9
    assert texts(await memory.aget_all()) == [*texts(history), "again"]


async def test_history_given_at_the_start_is_kept(memory_of, cube):
    memory = memory_of(chat_history=[user("one"), assistant("two")])
    assert texts(await memory.aget_all()) == kept(cube) == ["one", "two"]


async def test_without_writing_the_cube_stays_as_it_is(memory_of, cube):
    cube.remember("Mira lives in Porto.")
    memory = memory_of(write=False, token_limit=300)
    for number in range(9):
        await memory.aput(user(f"Porto, number {number} {'and more ' * 20}"))
    assert kept(cube) == ["Mira lives in Porto."]
    assert lines(said_in(await memory.aget())) == ['"Mira lives in Porto."']


async def test_a_write_that_fails_is_kept_once_when_it_is_tried_again(memory_of, cube, embedder, monkeypatch):
    memory, real, down = memory_of(), embedder.embed, [True]
    await memory.aput(user("yes"))

    def sometimes(given):
        if down:
            raise BackendUnavailable("the embedder is away")
        return real(given)

    monkeypatch.setattr(embedder, "embed", sometimes)
    for _ in range(2):
        with pytest.raises(BackendUnavailable):
            await memory.aput(user("something new"))
    down.clear()
    await memory.aput(user("something new"))
    assert texts(await memory.aget_all()) == kept(cube) == ["yes", "something new"]


async def test_a_put_that_is_cancelled_and_tried_again_is_kept_once(memory_of, cube):
    memory = memory_of()
    task = asyncio.ensure_future(memory.aput(user("I live in Porto.")))
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await memory.aput(user("I live in Porto."))
    assert kept(cube) == ["I live in Porto."]


# --- LlamaIndex's own behaviours -------------------------------------------------------------


async def test_over_the_limit_the_oldest_leave_in_whole_turns_and_stay_in_the_cube(memory_of, cube):
    memory = memory_of(token_limit=300, token_flush_size=60)
    for number in range(6):
        await memory.aput(user(f"question {number} {'and more ' * 20}"))
        await memory.aput(assistant(f"answer {number} {'and so on ' * 20}"))
    active, archived = await memory.aget_all(ACTIVE), await memory.aget_all(ARCHIVED)
    assert active[0].role == "user"
    assert 0 < len(active) < 12
    assert texts(archived + active) == texts(await memory.aget_all())
    assert len(kept(cube)) == 12


async def test_they_agree_on_what_stays_and_what_goes(memory_of, memos):
    ours = memory_of(token_limit=200, token_flush_size=40)
    theirs = Memory.from_defaults(
        "s1", token_limit=200, token_flush_size=40, chat_store=MemOSChatStore(memos, user="theirs")
    )
    for number in range(9):
        for memory in (ours, theirs):
            await memory.aput(user(f"question {number} {'and more ' * (number * 3)}"))
            await memory.aput(assistant(f"answer {number}"))
        for status in (ACTIVE, ARCHIVED):
            assert await ours.aget_all(status) == await theirs.aget_all(status)


async def test_memories_go_into_the_users_last_message(memory_of, cube):
    cube.remember("Mira lives in Porto.")
    memory = memory_of()
    await memory.aput_messages([user("hello"), assistant("hi"), user("Where does Mira live?")])
    messages = await memory.aget()
    assert [message.role for message in messages] == ["user", "assistant", "user"]
    assert "Porto" in messages[-1].content
    assert messages[-1].blocks[-1].text == "Where does Mira live?"
    assert texts(await memory.aget_all()) == ["hello", "hi", "Where does Mira live?"]


@pytest.mark.parametrize("method", ["system", InsertMethod.SYSTEM])
async def test_or_into_a_system_message_by_choice(memory_of, cube, method):
    cube.remember("Mira lives in Porto.")
    memory = memory_of(insert_method=method)
    await memory.aput_messages([ChatMessage(role="system", content="Be brief."), user("Where is Mira?")])
    messages = await memory.aget()
    assert [message.role for message in messages] == ["system", "user"]
    assert "Porto" in messages[0].content


async def test_the_question_may_be_given_apart(memory_of, cube):
    cube.remember("Mira lives in Porto.")
    memory = memory_of()
    for question in ("Where? Porto?", user("Where? Porto?")):
        assert lines(said_in(await memory.aget(input=question))) == ['"Mira lives in Porto."']
    assert await memory.aget(input="") == await memory.aget(input=None) == await memory.aget() == []


async def test_what_hosts_pass_on_is_no_trouble(memory_of):
    memory = memory_of()
    await memory.aput(user("hello"))
    assert texts(await memory.aget(initial_token_count=7, something="else")) == ["hello"]


async def test_a_reset_forgets_the_conversation_and_no_memory(memory_of, cube):
    memory = memory_of()
    await memory.aput(user("I live in Porto."))
    await memory.areset()
    assert (await memory.aget_all(), kept(cube)) == ([], ["I live in Porto."])
    await memory.aput(user("Where do I live?"))
    assert lines(said_in(await memory.aget())) == ['"I live in Porto." (mira)']


async def test_cleared_a_session_is_gone_everywhere_and_others_stay(memory_of, cube):
    await memory_of(session="other").aput(user("I keep bees."))
    memory = memory_of()
    await memory.aput(user("I live in Porto."))
    await memory.aclear()
    assert (await memory.aget_all(), kept(cube)) == ([], ["I keep bees."])


async def test_a_session_with_a_frozen_memory_is_not_cleared_and_keeps_its_messages(memory_of, cube):
    memory = memory_of()
    await memory.aput_messages([user("I live in Porto."), assistant("Noted.")])
    cube.freeze(cube.list()[0].id)
    with pytest.raises(IllegalTransition):
        await memory.aclear()
    assert texts(await memory.aget_all()) == kept(cube) == ["I live in Porto.", "Noted."]


async def test_other_blocks_stand_beside(memory_of, memos, cube):
    cube.remember("Mira lives in Porto.")
    memos.as_principal("mira").cube("work").remember("Porto has a deadline in May.")
    beside = [
        StaticMemoryBlock(name="rules", static_content="Say please."),
        MemOSMessagesBlock(memos, user="mira", cube="work", name="work", accept_short_term_memory=False),
    ]
    memory = memory_of(memory_blocks=beside)
    text = said_in(await memory.aget(input="Porto?"))
    assert all(each in text for each in ("Say please.", "lives in Porto", "deadline"))


@pytest.mark.parametrize(
    ("window", "answer", "limit"), [(8_192, 512, 7_680), (2_048, -1, 1_792), (300, 256, 256)]
)
def test_the_limit_is_what_the_model_has_room_for(memory_of, window, answer, limit):
    class Small(MockLLM):
        @property
        def metadata(self):
            return LLMMetadata(context_window=window, num_output=answer)

    memory = memory_of(llm=Small())
    assert memory.token_limit == limit
    assert memory.memory_blocks[0].budget <= limit * 0.31
    assert memory.token_flush_size < limit


def test_without_a_name_every_session_is_a_new_one(memory_of):
    assert memory_of(session=None).session_id != memory_of(session=None).session_id


# --- blocking ones ---------------------------------------------------------------------------


def test_from_blocking_code(memory_of, cube):
    memory = memory_of(chat_history=[user("one")])
    memory.put(user("I live in Porto."))
    memory.put_messages([assistant("Noted.")])
    assert texts(memory.get_all()) == texts(memory.get()) == ["one", "I live in Porto.", "Noted."]
    memory.set([user("anew")])
    memory.reset()
    memory.clear()
    assert (memory.get_all(), kept(cube)) == ([], [])


async def test_from_blocking_code_inside_a_running_loop(memory_of, cube):
    memory = memory_of(chat_history=[user("one")])
    memory.put(user("I live in Porto."))
    assert texts(memory.get()) == ["one", "I live in Porto."]
    await memory.aput(user("both ways"))
    memory.reset()
    assert (memory.get_all(), len(kept(cube))) == ([], 3)


def test_nothing_awaited_blocks_the_loop(memory_of, unblocked):
    memory = memory_of(token_limit=200)

    async def main():
        await memory.aset([user("I live in Porto.")])
        for number in range(5):
            await memory.aput(user(f"Porto {number} {'and more ' * 20}"))
        messages = await memory.aget(input="Where do I live?")
        await memory.aclear()
        return said_in(messages)

    assert "I live in Porto." in unblocked(main)


async def test_ten_sessions_and_two_users_at_once(memory_of, memos):
    async def talk(name, session):
        memory = memory_of(name, session, scope="session")
        for number in range(3):
            await memory.aput(user(f"secret {number} of {name} in {session}"))
            await memory.aput(assistant("noted"))
        asked = memory_of(name, session, scope="session")
        return texts(await asked.aget_all()), said_in(await asked.aget(input="What is the secret?"))

    pairs = [(name, f"s{number}") for name in ("mira", "bo") for number in range(10)]
    for (name, session), (said, shown) in zip(
        pairs, await asyncio.gather(*(talk(*pair) for pair in pairs)), strict=True
    ):
        assert said[::2] == [f"secret {number} of {name} in {session}" for number in range(3)]
        others = [pair for pair in pairs if pair != (name, session)]
        assert not any(f"of {other[0]} in {other[1]}\n" in shown + "\n" for other in others)
    assert memos.as_principal("bo").cube("memory").count() == 60


# --- as names and figures --------------------------------------------------------------------

WAYS = {
    "pickle": lambda memory: pickle.loads(pickle.dumps(memory)),
    "dict": lambda memory: MemOSMemory.from_dict(json.loads(json.dumps(memory.to_dict()))),
    "dump": lambda memory: MemOSMemory.model_validate(memory.model_dump()),
    "json": lambda memory: MemOSMemory.model_validate_json(memory.model_dump_json()),
}


@pytest.mark.parametrize("way", WAYS)
async def test_written_and_read_it_is_the_same_memory(memory_of, cube, way):
    cube.remember("Mira lives in Porto.")
    memory = memory_of(
        token_limit=1_234,
        similarity_top_k=3,
        scope="session",
        insert_method="system",
        memory_blocks_template=RichPromptTemplate(
            "{% for name, blocks in memory_blocks %}{{name}}{% endfor %}"
        ),
    )
    await memory.aput(user("yes"))
    again = WAYS[way](memory)
    assert again.model_dump() == memory.model_dump()
    assert texts(await again.aget_all()) == ["yes"]
    await again.aput(user("yes"))
    assert kept(cube) == ["Mira lives in Porto.", "yes", "yes"]


def test_a_copy_is_the_same_memory(memory_of):
    memory = memory_of()
    assert copy.deepcopy(memory) is memory


def test_with_a_block_of_somebody_else_it_is_pickled_and_not_written_as_json(memory_of):
    memory = memory_of(memory_blocks=[StaticMemoryBlock(name="rules", static_content="Say please.")])
    with pytest.raises(Exception, match="StaticMemoryBlock"):
        memory.to_dict()
    assert pickle.loads(pickle.dumps(memory)).memory_blocks[1].name == "rules"


async def test_another_place_for_the_conversation_is_written_and_one_of_somebody_else_is_not(
    memory_of, memos
):
    memory = memory_of(chat_store=MemOSChatStore(memos, user="mira", cube="talks"))
    await memory.aput(user("one"))
    again = MemOSMemory.from_dict(json.loads(json.dumps(memory.to_dict())))
    assert (texts(await again.aget_all()), again.sql_store) == (["one"], memory.sql_store)
    with pytest.raises(Exception, match="SQLAlchemyChatStore"):
        memory_of(chat_store=SQLAlchemyChatStore("t")).to_dict()


async def test_a_tool_result_of_a_megabyte_goes_all_the_way(memory_of, cube):
    result = ChatMessage(role="tool", content="".join(f"row {n}: {'x' * 40}\n" for n in range(22_000)))
    memory = memory_of()
    await memory.aput_messages([user("Read the table."), result, assistant("I read row 7.")])
    assert (await memory.aget_all())[1] == result
    assert "".join(kept(cube)[1:-1]) == result.content
    assert len(said_in(await memory_of(session="s2").aget(input="What was in row 7?"))) < 9_000


@pytest.mark.parametrize("session", ["a/b", "..", "日本 🌵", "'; DROP TABLE", " ", "x" * 900, "a\nb"])
async def test_a_session_may_have_an_odd_name(memory_of, session):
    await memory_of(session=session).aput(user("I live in Porto."))
    memory = memory_of(session=session)
    assert texts(await memory.aget_all()) == ["I live in Porto."]


def test_nothing_secret_is_written(memory_of):
    told = json.dumps(memory_of().to_dict())
    assert sorted(json.loads(told)["home"]) == ["cube", "folder", "owner", "user"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"home": {"folder": "x"}},
        {"home": {"folder": "x", "user": "y", "cube": "z"}, "memory_blocks": [{"class_name": "os.system"}]},
    ],
)
def test_what_is_no_memory_is_refused(fields):
    with pytest.raises(InvalidInput):
        MemOSMemory(token_limit=100, **fields)


@pytest.mark.parametrize(
    "given",
    [{"scope": "all"}, {"insert_method": "tool"}, {"similarity_top_k": 0}, {"cube": " "}, {"budget": 0}],
)
def test_a_memory_made_wrongly_is_refused(memory_of, given):
    with pytest.raises(ValueError, match=r".+"):
        memory_of(**given)


async def test_of_a_store_that_is_closed_it_says_so(memory_of, memos):
    memory = memory_of()
    await memory.aput(user("one"))
    memos.close()
    for verb in (memory.aget(), memory.aput(user("two")), memory.areset()):
        with pytest.raises(Closed):
            await verb
