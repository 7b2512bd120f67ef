"""ChatMemOS: what it says, to whom, what it reuses, and what it refuses."""

import asyncio
import pickle
import time
from functools import reduce
from operator import add, itemgetter

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField
from pydantic import ValidationError

from langchain_memos import ChatMemOS, MemOSMiddleware
from memos_core import InvalidInput, NotFound, Runtime, Where
from memos_core.testing import ScriptedEngine


@pytest.fixture
def seen():
    """Give a runtime whose answers are the prompts themselves."""
    with Runtime(ScriptedEngine(lambda prompt: prompt)) as runtime:
        yield runtime


def merged(chunks):
    return reduce(add, chunks)


def test_memories_stand_in_the_prompt_and_are_named(seen, told):
    message = ChatMemOS(runtime=seen, memos=told).invoke("Where does Mira live?")
    assert "I am Mira." in message.text
    assert "Mira lives in Porto." in message.text
    assert {told.cube("memory").get(each).text for each in message.response_metadata["memories"]} == {
        "I am Mira.",
        "Mira lives in Porto.",
    }


def test_the_second_call_attaches_what_the_first_computed_and_says_the_same(runtime, told):
    model = ChatMemOS(runtime=runtime, memos=told)
    first, second = (model.invoke("Where does Mira live?") for _ in range(2))
    assert first.text == second.text
    read = [each.usage_metadata["input_token_details"]["cache_read"] for each in (first, second)]
    assert read[0] == 0
    assert 0 < read[1] < second.usage_metadata["input_tokens"]
    assert second.usage_metadata["total_tokens"] == sum(
        itemgetter("input_tokens", "output_tokens")(second.usage_metadata)
    )


def test_without_a_store_it_answers_without_memories(seen):
    message = ChatMemOS(runtime=seen).invoke([SystemMessage("Be brief."), HumanMessage("Hello")])
    assert "Be brief." in message.text
    assert "Porto" not in message.text
    assert message.response_metadata["memories"] == []


def test_streamed_pieces_make_the_invoked_message(runtime, told):
    model = ChatMemOS(runtime=runtime, memos=told)
    whole, chunks = model.invoke("Hello"), list(model.stream("Hello"))
    assert len(chunks) > 2
    assert merged(chunks).text == whole.text
    assert merged(chunks).response_metadata["finish_reason"] == whole.response_metadata["finish_reason"]


def test_a_listener_that_walks_away_ends_the_answer(runtime, told):
    stream = ChatMemOS(runtime=runtime, memos=told).stream("Hello")
    next(stream)
    stream.close()
    assert ChatMemOS(runtime=runtime, memos=told).invoke("Hello").text


async def test_an_awaited_listener_that_is_cancelled_ends_the_answer():
    class SlowEngine(ScriptedEngine):
        def generate(self, *given, **named):
            for token in super().generate(*given, **named):
                time.sleep(0.02)
                yield token

    with Runtime(SlowEngine(lambda _: "word " * 20)) as slow:
        model = ChatMemOS(runtime=slow)

        async def listen():
            return [chunk async for chunk in model.astream("Hello")]

        listening = asyncio.ensure_future(listen())
        await asyncio.sleep(0.1)
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        assert (await model.ainvoke("Hello")).text.startswith("word")


def test_stop_words_end_the_text_and_do_not_stand_in_it(seen, told):
    model = ChatMemOS(runtime=seen, memos=told, stop=["Porto"])
    assert model.invoke("Hello").text.endswith("Mira lives in ")
    assert "lives" not in model.invoke("Hello", stop=["lives"]).text


def test_users_see_their_own_cube_only(seen, memos):
    memos.as_principal("ann").cube("memory").remember("Ann has a boat.")
    memos.as_principal("bob").cube("memory").remember("Bob has a kite.")
    model = ChatMemOS(runtime=seen, memos=memos)
    ann, bob = (model.invoke("What is there?", user=user).text for user in ("ann", "bob"))
    assert ("boat" in ann, "kite" in ann, "boat" in bob, "kite" in bob) == (True, False, False, True)
    with pytest.raises(NotFound):
        model.invoke("What is there?", user="bob", owner="ann")


def test_the_user_can_be_a_configurable_field(seen, memos):
    memos.as_principal("ann").cube("memory").remember("Ann has a boat.")
    model = ChatMemOS(runtime=seen, memos=memos).configurable_fields(user=ConfigurableField(id="user_id"))
    prompt = ChatPromptTemplate([("human", "{question}")])
    answer = (prompt | model).invoke(
        {"question": "What is there?"}, config={"configurable": {"user_id": "ann"}}
    )
    assert "boat" in answer.text


def test_a_cache_of_answers_never_speaks_for_somebody_else(seen, memos):
    memos.as_principal("ann").cube("memory").remember("Ann has a boat.")
    model = ChatMemOS(runtime=seen, memos=memos)
    set_llm_cache(InMemoryCache())
    try:
        ann, bob = (model.invoke("What is there?", user=user).text for user in ("ann", "bob"))
    finally:
        set_llm_cache(None)
    assert ("boat" in ann, "boat" in bob) == (True, False)
    with pytest.raises(ValidationError, match="cannot be cached"):
        ChatMemOS(runtime=seen, memos=memos, cache=True)


def test_a_model_that_is_given_memories_later_is_cached_no_more(seen, memos):
    memos.cube("memory").remember("There is a boat.")
    plain = ChatMemOS(runtime=seen)
    cache = InMemoryCache()
    set_llm_cache(cache)
    try:
        plain.model_copy(update={"memos": memos}).invoke("What is there?")
        plain.memos = memos
        asyncio.run(plain.ainvoke("What is there?"))
    finally:
        set_llm_cache(None)
    assert cache._cache == {}


def test_a_cache_of_answers_tells_models_and_stop_words_apart(seen):
    other = Runtime(ScriptedEngine(lambda prompt: "something else", adapter="other"))
    asked = [
        ChatMemOS(runtime=seen, cache=True),
        ChatMemOS(runtime=other, cache=True),
        ChatMemOS(runtime=seen, stop=["there"], cache=True),
        ChatMemOS(runtime=seen, cache=True),
    ]
    set_llm_cache(InMemoryCache())
    try:
        told = [model.invoke("What is there?").text for model in asked]
    finally:
        set_llm_cache(None)
        other.close()
    assert (told[0] == told[3], len({*told})) == (True, 3)


def test_an_answer_names_the_model_that_gave_it(seen):
    told = [ChatMemOS(runtime=seen, **named).invoke("Hello") for named in ({}, {"model": "mine"})]
    names = [message.response_metadata["model_name"] for message in told]
    assert names == [seen.identity, "mine"]


def test_what_is_forgotten_is_not_said(seen, told):
    model = ChatMemOS(runtime=seen, memos=told)
    assert "Porto" in model.invoke("Where?").text
    cube = told.cube("memory")
    cube.forget(cube.list(where=Where(kinds=("fact",)))[0].id)
    assert "Porto" not in model.invoke("Where?").text


def test_awaited_calls_do_not_block_the_loop(runtime, told, unblocked):
    model = ChatMemOS(runtime=runtime, memos=told)

    async def main():
        pieces = [chunk async for chunk in model.astream("Hello")]
        return merged(pieces).text, (await model.ainvoke("Hello")).text

    streamed, invoked = unblocked(main)
    assert streamed == invoked != ""


def test_a_cancelled_stream_leaves_the_model_usable(runtime, told):
    model = ChatMemOS(runtime=runtime, memos=told)

    async def main():
        async def read():
            async for _ in model.astream("Hello"):
                await asyncio.sleep(10)

        task = asyncio.ensure_future(read())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return (await model.ainvoke("Hello")).text

    assert asyncio.run(main())


def test_an_agent_without_tools_runs_on_it(seen, told):
    agent = create_agent(ChatMemOS(runtime=seen, memos=told), system_prompt="You are an innkeeper.")
    answer = agent.invoke({"messages": [("user", "Where does Mira live?")]})["messages"][-1].text
    assert "You are an innkeeper." in answer
    assert "Mira lives in Porto." in answer


@pytest.mark.parametrize(
    "messages",
    [
        [HumanMessage("Hi"), ToolMessage("42", tool_call_id="1")],
        [
            HumanMessage("Hi"),
            AIMessage("", tool_calls=[{"name": "add", "args": {}, "id": "1"}]),
            HumanMessage("So?"),
        ],
        [HumanMessage([{"type": "image", "url": "https://example.org/cat.png"}])],
        [AIMessage("I am the last to speak.")],
        [HumanMessage("Hi"), SystemMessage("too late")],
        [],
    ],
    ids=["tool message", "tool call", "picture", "nothing to answer", "late system", "none"],
)
def test_what_it_cannot_read_is_refused(runtime, messages):
    with pytest.raises((InvalidInput, ValueError)):
        ChatMemOS(runtime=runtime).invoke(messages)


@pytest.mark.parametrize("given", [{"temperature": -1}, {"max_tokens": 0}, {"top_p": 2}, {"tools": [1]}])
def test_bad_settings_of_a_call_are_refused(runtime, given):
    with pytest.raises(InvalidInput):
        ChatMemOS(runtime=runtime).invoke("Hello", **given)


def test_tools_are_refused(runtime):
    with pytest.raises(NotImplementedError):
        ChatMemOS(runtime=runtime).bind_tools([])


def test_its_settings_can_be_pickled(runtime, told):
    copy = pickle.loads(pickle.dumps(ChatMemOS(model="other", temperature=0.5, cube="mira")))
    assert (copy.model, copy.temperature, copy.cube) == ("other", 0.5, "mira")


@pytest.mark.slow
def test_without_a_runtime_it_opens_the_small_model_once_and_closes_it(told):
    model = ChatMemOS(memos=told, max_tokens=8)
    first, second = (model.invoke("Where does Mira live?") for _ in range(2))
    assert first.text == second.text
    assert second.usage_metadata["input_token_details"]["cache_read"] > 0
    model.close()


@pytest.mark.slow
def test_agents_on_the_small_model_keep_two_users_apart_over_restarts(open_memos, tmp_path):
    sessions = [("mira", "I live in Porto."), ("ivo", "I mend violins."), ("mira", "Where do I live?")]
    notes = {}
    with Runtime.open() as runtime:
        for number, (user, text) in enumerate(sessions):
            memos = open_memos(tmp_path / "agents")
            told = []
            model = ChatMemOS(runtime=runtime, max_tokens=12, callbacks=[Overheard(told)])
            agent = create_agent(model, middleware=[MemOSMiddleware(memos)])
            config = {"configurable": {"thread_id": f"session {number}"}}
            state = agent.invoke({"messages": [("user", text)]}, config=config, context={"user_id": user})
            assert state["messages"][-1].text.strip()
            notes[number] = told[0]
            memos.close()
    assert [len(notes[0]), len(notes[1])] == [1, 1], "nobody had said anything yet"
    assert [message.type for message in notes[2]] == ["system", "human"]
    assert "I live in Porto." in notes[2][0].text
    assert "violins" not in notes[2][0].text


class Overheard(BaseCallbackHandler):
    """Keeps what a model was given."""

    def __init__(self, told):
        self.told = told

    def on_chat_model_start(self, serialized, messages, **_):
        self.told.extend(messages)
