"""Chains: the recipe of today and the classes of yesterday."""

import asyncio
import warnings

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.runnables.history import RunnableWithMessageHistory

from langchain_memos import NoUser, with_memories
from langchain_memos.classic import MemOSChatMessageHistory, MemOSMemory
from memos_core import InvalidInput
from tests.adapters.langchain.scripted import Scripted

MIRA = {"configurable": {"user_id": "mira"}}

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from langchain_classic.chains import ConversationChain


@pytest.fixture
def cube(memos):
    return memos.as_principal("mira").cube("memory")


# --- with_memories ---------------------------------------------------------------------------


@pytest.mark.parametrize("awaited", [False, True])
def test_a_prompt_gets_what_is_remembered(memos, cube, awaited):
    cube.remember("Mira likes salt")
    prompt = ChatPromptTemplate([("system", "Notes:\n{memories}"), ("human", "{question}")])
    model = Scripted(lines=["Salt."])
    chain = with_memories(memos) | prompt | model
    asked = {"question": "What does Mira like?"}
    answer = asyncio.run(chain.ainvoke(asked, MIRA)) if awaited else chain.invoke(asked, MIRA)
    assert (answer.content, '"Mira likes salt"' in model.system()) == ("Salt.", True)


def test_fields_cube_and_budget_can_be_chosen_and_the_input_is_passed_on(memos):
    home = memos.as_principal("mira").cube("home")
    for number in range(9):
        home.remember(f"salt number {number}")
    recall = with_memories(memos, cube="home", question="ask", memories="notes", k=5, budget=40)
    given = {"ask": "salt", "more": [1]}
    told = recall.invoke(given, MIRA)
    assert (told["ask"], told["more"], given) == ("salt", [1], {"ask": "salt", "more": [1]})
    assert 0 < len(told["notes"].splitlines()) < 5


def test_where_nothing_is_remembered_the_prompt_says_so(memos):
    assert with_memories(memos).invoke({"question": "x"}, MIRA)["memories"] == "(nothing is remembered)"


def test_a_chain_that_says_nobody_or_asks_nothing_is_refused(memos):
    with pytest.raises(NoUser):
        with_memories(memos).invoke({"question": "x"})
    with pytest.raises(InvalidInput, match="question"):
        with_memories(memos).invoke({"ask": "x"}, MIRA)


def test_awaited_chains_do_not_block_the_loop_and_keep_users_apart(memos, unblocked):
    for user in ("ana", "bo"):
        memos.as_principal(user).cube("memory").remember(f"{user} likes salt")

    async def main():
        users = [{"configurable": {"user_id": user}} for user in ("ana", "bo")]
        return await with_memories(memos).abatch([{"question": "salt"}] * 2, users)

    told = unblocked(main)
    assert [("ana" in each["memories"], "bo" in each["memories"]) for each in told] == [
        (True, False),
        (False, True),
    ]


# --- histories -------------------------------------------------------------------------------


def history(memos, session="s1", user="mira"):
    return MemOSChatMessageHistory(memos, user=user, session=session)


def test_a_history_gives_every_message_back_as_it_was(memos):
    messages = [
        SystemMessage("Be brief."),
        HumanMessage("weather?", id="h1", name="Mira"),
        AIMessage("", tool_calls=[{"name": "weather", "args": {"place": "Porto"}, "id": "c1"}], id="a1"),
        ToolMessage("rain", tool_call_id="c1", artifact={"mm": 3}),
        AIMessage([{"type": "text", "text": "It rains."}], id="a2", usage_metadata=None),
    ]
    history(memos).add_messages(messages)
    kept = history(memos).messages
    assert [each.model_copy(update={"id": None}) for each in kept] == [
        each.model_copy(update={"id": None}) for each in messages
    ]
    assert [each.id for each in kept][1:3] == ["h1", "a1"]


def test_sessions_and_users_have_histories_of_their_own(memos):
    for session, user in [("s1", "mira"), ("s2", "mira"), ("s1", "bo")]:
        history(memos, session, user).add_user_message(f"{user} in {session}")
    assert [each.text for each in history(memos).messages] == ["mira in s1"]
    history(memos).clear()
    assert [len(history(memos, *who).messages) for who in [("s1", "mira"), ("s2", "mira"), ("s1", "bo")]] == [
        0,
        1,
        1,
    ]


def test_what_a_history_keeps_can_be_recalled_in_other_sessions_until_it_is_cleared(memos, cube):
    history(memos).add_messages([HumanMessage("I like salt"), AIMessage("Noted.")])
    assert [(each.speaker, each.text) for each in cube.list()] == [
        ("mira", "I like salt"),
        ("assistant", "Noted."),
    ]
    history(memos).clear()
    assert cube.list() == []


def test_a_cleared_history_is_gone_from_the_archive_and_from_what_was_extracted(memos, cube):
    for session in ("s1", "s2"):
        history(memos, session).add_messages([HumanMessage(f"salt in {session}", id=session)])
    first, second = cube.list()
    cube.remember("from s1", made_by="finder", derived_from=[first.id])
    cube.remember("from both", made_by="finder", derived_from=[first.id, second.id])
    cube.archive(first.id)
    history(memos).clear()
    assert [memory.text for memory in cube.list()] == ["salt in s2", "from both"]
    assert ([*cube.list(state="archived")], history(memos).messages) == ([], [])


def test_of_messages_that_cannot_all_be_kept_none_is(memos, cube):
    picture = HumanMessage([{"type": "text", "text": "Look!"}, {"type": "image", "base64": "x" * (1 << 20)}])
    with pytest.raises(InvalidInput):
        history(memos).add_messages([HumanMessage("I like salt"), picture])
    assert (history(memos).messages, cube.list()) == ([], [])


def test_a_message_added_again_takes_its_own_place(memos, clock):
    kept = history(memos)
    kept.add_messages([HumanMessage("one", id="1"), AIMessage("two", id="2"), HumanMessage("three", id="3")])
    clock.move(seconds=1)
    kept.add_messages([HumanMessage("four", id="4"), AIMessage("two, rather", id="2")])
    clock.move(seconds=1)
    kept.add_messages([HumanMessage("one, rather", id="1")])
    assert [each.text for each in kept.messages] == ["one, rather", "two, rather", "three", "four"]


@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_a_chain_with_a_history_remembers_its_session(memos, unblocked):
    prompt = ChatPromptTemplate([MessagesPlaceholder("history"), ("human", "{input}")])
    model = Scripted(lines=["Noted.", "Mira."])
    chain = RunnableWithMessageHistory(
        prompt | model,
        lambda session_id: history(memos, session_id),
        input_messages_key="input",
        history_messages_key="history",
    )

    async def main():
        config = {"configurable": {"session_id": "s1"}}
        await chain.ainvoke({"input": "I am Mira"}, config)
        await chain.ainvoke({"input": "Who am I?"}, config)
        kept = history(memos)
        count = len(await kept.aget_messages())
        await kept.aclear()
        return count, await kept.aget_messages()

    assert unblocked(main) == (4, [])
    assert [message.text for message in model.asked[1]] == ["I am Mira", "Noted.", "Who am I?"]


# --- memories of chains ----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_a_conversation_chain_recalls_what_was_said_in_another_session(memos):
    model = Scripted(lines=["Noted.", "In Porto."])
    prompt = PromptTemplate.from_template("{history}\nHuman: {input}\nAI:")
    for session, said in [("s1", "I live in Porto"), ("s2", "Where do I live?")]:
        memory = MemOSMemory(memos=memos, user="mira", session=session)
        ConversationChain(llm=model, memory=memory, prompt=prompt).invoke({"input": said})
    assert '"I live in Porto" (mira)' in model.asked[1][0].text
    assert "Porto" in model.asked[0][0].text.splitlines()[1]
    assert model.asked[0][0].text.splitlines()[0] == ""


def test_a_memory_saves_loads_and_clears_its_session(memos, cube):
    one = MemOSMemory(memos=memos, user="mira", session="s1")
    two = MemOSMemory(
        memos=memos, user="mira", session="s2", memory_key="notes", input_key="ask", output_key="said"
    )
    one.save_context({"input": "I like salt"}, {"output": "Noted."})
    two.save_context({"ask": "I like rain", "other": "x"}, {"said": "Noted, too.", "more": "y"})
    assert (one.memory_variables, two.memory_variables) == (["history"], ["notes"])
    assert "I like rain" in one.load_memory_variables({"input": "what do I like"})["history"]
    assert two.load_memory_variables({"ask": " "}) == {"notes": ""}
    one.clear()
    assert [each.text for each in cube.list()] == ["I like rain", "Noted, too."]
    MemOSMemory(memos=memos, user="mira").clear()
    assert cube.list() == []


def test_awaiting_a_memory_does_not_block_the_loop(memos, unblocked):
    memory = MemOSMemory(memos=memos, user="mira")

    async def main():
        await memory.asave_context({"input": "I like salt"}, {"output": "ok"})
        told = await memory.aload_memory_variables({"input": "salt"})
        await memory.aclear()
        return "salt" in told["history"], await memory.aload_memory_variables({"input": "salt"})

    assert unblocked(main) == (True, {"history": ""})


@pytest.mark.parametrize("inputs", [{}, {"a": "x", "b": "y"}, {"input": 5}])
def test_a_memory_that_cannot_tell_what_was_said_asks(memos, inputs):
    with pytest.raises(InvalidInput):
        MemOSMemory(memos=memos, user="mira").load_memory_variables(inputs)
