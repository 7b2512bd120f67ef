"""MemOSLLM: LlamaIndex's ways of asking a model, over a Runtime with a cube's memories."""

import asyncio
import json

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.chat_engine import CondensePlusContextChatEngine, SimpleChatEngine
from llama_index.core.prompts import PromptTemplate

from llamaindex_memos import MemOSLLM, MemOSMemory, MemOSRetriever, memory_tools
from memos_core import Closed, InvalidInput, NotFound, Runtime, Where
from memos_core.testing import ScriptedEngine
from tests.adapters.llamaindex.scripted import acts, answers, assistant, user


@pytest.fixture
def cube(memos):
    return memos.as_principal("mira").cube("memory")


def echo(prompt):
    return f"[{prompt}]"


@pytest.fixture
def opened():
    """Open runtimes over a script, and close them."""
    runtimes = []

    def one(script=echo, **given):
        runtimes.append(Runtime(ScriptedEngine(script, **given)))
        return runtimes[-1]

    yield one
    for runtime in runtimes:
        runtime.close()


@pytest.fixture
def llm(opened):
    return MemOSLLM(opened(), max_tokens=9_999)


TALK = [
    ChatMessage(role="system", content="Be brief."),
    user("Hello"),
    assistant("Hi"),
    ChatMessage(role="tool", content="21 degrees"),
    user("Warm?"),
]
TOLD = "[Be brief.\nuser: Hello\nassistant: Hi\ntool: 21 degrees\nuser: Warm?\nassistant:]"


# --- the ways of asking ----------------------------------------------------------------------


def test_a_conversation(llm):
    response = llm.chat(TALK)
    assert (response.message.role, response.message.content) == ("assistant", TOLD)
    assert response.additional_kwargs["completion_tokens"] == len(TOLD)
    assert json.loads(json.dumps(response.raw))["finish"] == "stop"


async def test_every_way_gives_the_same(llm):
    assert (await llm.achat(TALK)).message.content == TOLD
    streamed = list(llm.stream_chat(TALK))
    awaited = [each async for each in await llm.astream_chat(TALK)]
    for parts in (streamed, awaited):
        assert "".join(each.delta for each in parts) == parts[-1].message.content == TOLD
        assert parts[-1].raw["finish"] == "stop"


async def test_every_way_of_completing_gives_the_same(llm):
    told = "[\nuser: Hello\nassistant:]"
    assert llm.complete("Hello").text == (await llm.acomplete("Hello")).text == told
    assert llm.complete("Hello", formatted=True).text == told
    streamed = list(llm.stream_complete("Hello"))
    awaited = [each async for each in await llm.astream_complete("Hello")]
    for parts in (streamed, awaited):
        assert "".join(each.delta for each in parts) == parts[-1].text == told


def test_a_prompt_template(llm):
    assert llm.predict(PromptTemplate("Is {what} warm?"), what="it").endswith(
        "user: Is it warm?\nassistant:]"
    )


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        ([ChatMessage(role="system", content="A"), ChatMessage(role="developer", content="B")], None),
        (
            [ChatMessage(role="system", content="A"), ChatMessage(role="system", content="B"), user("Q")],
            "A\n\nB\nuser: Q\nassistant:",
        ),
        (
            [user("Q"), ChatMessage(role="system", content="Stop now.")],
            "\nuser: Q\nuser: Stop now.\nassistant:",
        ),
        ([user("Q"), assistant(""), ChatMessage(role="user")], "\nuser: Q\nassistant:"),
        (
            [
                ChatMessage(
                    role="user", blocks=[TextBlock(text="See:"), ImageBlock(url="https://x.org/c.png")]
                )
            ],
            "\nuser: See:\n[image https://x.org/c.png]\nassistant:",
        ),
        ([], None),
        ([assistant("I said so.")], None),
    ],
)
def test_conversations_of_every_shape(llm, messages, prompt):
    if prompt is None:
        with pytest.raises(InvalidInput):
            llm.chat(messages)
    else:
        assert llm.chat(messages).message.content == f"[{prompt}]"


def test_its_own_system_prompt_comes_first(opened):
    llm = MemOSLLM(opened(), system_prompt="You are Ana.", max_tokens=99)
    assert llm.chat(TALK).message.content.startswith("[You are Ana.\n\nBe brief.\nuser: Hello")


# --- with memories ---------------------------------------------------------------------------


def test_it_answers_with_the_memories_of_the_users_cube(memos, cube, opened):
    cube.remember("The inn is in Porto.", kind="persona")
    memos.as_principal("bo").cube("memory").remember("Bo's inn is in Faro.", kind="persona")
    llm = MemOSLLM(opened(), memos=memos, user="mira", cube="memory", max_tokens=9_999)
    response = llm.chat([user("Where is the inn?")])
    assert "The inn is in Porto." in response.message.content
    assert "Faro" not in response.message.content
    assert response.raw["memories"] == [cube.list()[0].id]


def test_what_every_prompt_begins_with_is_computed_once(memos, cube, opened):
    for number in range(20):
        cube.remember(f"Fact number {number} about the inn.", kind="persona")
    llm = MemOSLLM(opened(), memos=memos, user="mira", cube="memory", stable=Where(kinds=["persona"]))
    first, second = (llm.chat([user(words)]).raw["reuse"] for words in ("Where?", "When?"))
    assert (first["tokens"], second["tokens"] > 500) == (0, True)


def test_with_recall_nought_only_the_stable_memories_are_there(memos, cube, opened):
    cube.remember("The inn is in Porto.", kind="persona")
    cube.remember("The well is dry.")
    given = {"memos": memos, "user": "mira", "cube": "memory", "stable": Where(kinds=["persona"])}
    llm = MemOSLLM(opened(), recall=0, max_tokens=9_999, **given)
    said = llm.chat([user("Is the well dry at the inn?")]).message.content
    assert ("Porto" in said, "The well is dry." in said) == (True, False)


def test_rights_are_looked_at_with_every_call(memos, cube, opened):
    cube.remember("The inn is in Porto.", visibility="shared")
    cube.grant("bo", "read")
    llm = MemOSLLM(opened(), memos=memos, user="bo", owner="mira", cube="memory", max_tokens=999)
    assert "Porto" in llm.chat([user("Where?")]).message.content
    cube.revoke("bo")
    with pytest.raises(NotFound):
        llm.chat([user("Where?")])


def test_a_store_without_a_cube_is_refused(memos, opened):
    with pytest.raises(InvalidInput, match="cube="):
        MemOSLLM(opened(), memos=memos)


# --- settings --------------------------------------------------------------------------------


def test_what_llamaindex_needs_to_know_of_the_model(opened):
    told = MemOSLLM(opened(context=4_096), max_tokens=100).metadata
    assert (told.context_window, told.num_output, told.is_chat_model, told.is_function_calling_model) == (
        4_096,
        100,
        True,
        False,
    )


def test_sampling_is_given_once_or_to_one_call(opened):
    llm = MemOSLLM(opened(), max_tokens=5)
    assert llm.complete("Hello").text == "[\nuse"
    assert llm.complete("Hello", max_tokens=2, temperature=None).text == "[\n"
    assert llm.complete("Hello", max_tokens=99, stop="lo").text == "[\nuser: Hel"
    assert llm.complete("Hello", max_tokens=99, stop=["o", "l"]).text == "[\nuser: He"
    assert llm.complete("Hello", max_tokens=2).raw["finish"] == "length"


@pytest.mark.parametrize("given", [{"best_of": 3}, {"max_tokens": 0}, {"temperature": -1}, {"top_p": 7}])
def test_what_a_runtime_does_not_know_is_refused_not_ignored(llm, given):
    with pytest.raises(InvalidInput):
        llm.complete("Hello", **given)


@pytest.mark.parametrize("given", [{"max_tokens": 0}, {"temperature": -1}, {"recall": -1}, {"stable": "x"}])
def test_settings_that_cannot_be_are_refused(opened, given):
    with pytest.raises(ValueError, match=next(iter(given))):
        MemOSLLM(opened(), **given)


def test_what_is_written_of_it_is_names_and_figures(memos, opened):
    llm = MemOSLLM(opened(), memos=memos, user="mira", cube="memory")
    told = json.loads(json.dumps(llm.to_dict()))
    assert told["home"]["user"] == "mira"
    assert "_runtime" not in told


async def test_of_a_runtime_that_is_closed_it_says_so(llm):
    llm._runtime.close()
    with pytest.raises(Closed):
        await llm.achat(TALK)


# --- in company ------------------------------------------------------------------------------


def test_nothing_awaited_blocks_the_loop(memos, cube, opened, unblocked):
    cube.remember("The inn is in Porto.")
    llm = MemOSLLM(opened(), memos=memos, user="mira", cube="memory", max_tokens=40)

    async def main():
        await llm.achat(TALK)
        await llm.acomplete("Hello")
        parts = [each async for each in await llm.astream_chat(TALK)]
        parts += [each async for each in await llm.astream_complete("Hello")]
        return len(parts)

    assert unblocked(main) == 82


async def test_walking_away_from_a_stream_ends_it(opened):
    computed = []

    def slow(prompt):
        computed.append(prompt)
        return "x" * 1_000

    llm = MemOSLLM(opened(slow), max_tokens=1_000)
    stream = await llm.astream_chat(TALK)
    assert (await anext(stream)).delta == "x"
    await stream.aclose()
    blocking = llm.stream_chat(TALK)
    next(blocking)
    blocking.close()
    assert len(computed) == 2


async def test_many_at_once(llm):
    told = await asyncio.gather(*(llm.acomplete(f"Hello {n}") for n in range(20)))
    assert [each.text for each in told] == [f"[\nuser: Hello {n}\nassistant:]" for n in range(20)]


def test_in_a_chat_engine_with_memory(memory_of, opened):
    llm = MemOSLLM(opened(lambda prompt: f"{prompt.count('Porto')} times Porto"))
    SimpleChatEngine.from_defaults(llm=llm, memory=memory_of(session="one")).chat("I live in Porto.")
    engine = SimpleChatEngine.from_defaults(llm=llm, memory=memory_of(session="two"))
    assert str(engine.chat("Where do I live?")) == "2 times Porto"  # what was said, and what was answered


def test_in_a_chat_engine_that_retrieves(memos, cube, memory_of, opened):
    cube.remember("The inn is in Porto.")
    llm = MemOSLLM(opened(), max_tokens=9_999)
    engine = CondensePlusContextChatEngine.from_defaults(
        retriever=MemOSRetriever(memos, user="mira"),
        llm=llm,
        memory=memory_of(cube="chats"),
        skip_condense=True,
    )
    assert "The inn is in Porto." in str(engine.chat("Where is the inn?"))


async def test_as_a_react_agent_with_tools(memos, cube, opened):
    cube.remember("The inn is in Porto.")
    lines = iter([acts("I look it up.", "recall", query="inn"), answers("In Porto.")])
    llm = MemOSLLM(opened(lambda prompt: next(lines)))
    agent = ReActAgent(llm=llm, tools=memory_tools(memos, user="mira"))
    assert str(await AgentWorkflow(agents=[agent]).run("Where is the inn?")) == "In Porto."


async def test_as_a_function_agent_it_is_refused_by_the_host(llm):
    with pytest.raises(ValueError, match="FunctionCallingLLM"):
        await FunctionAgent(llm=llm, tools=[]).run("go")


# --- a real model ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.xdist_group("smollm2")
def test_a_small_model_answers_from_attached_memories(memos, cube):
    for fact in ("The inn is called The Blue Heron.", "The Blue Heron is in Porto.", "Breakfast is at nine."):
        cube.remember(fact, kind="persona")
    with Runtime.open() as runtime:
        llm = MemOSLLM(runtime, memos=memos, user="mira", cube="memory", max_tokens=24)
        first = llm.chat([user("What is the name of the inn?")])
        second = llm.chat([user("What is the name of the inn?")])
        bare = MemOSLLM(runtime, max_tokens=24).chat([user("What is the name of the inn?")])
        for session in ("one", "two"):
            memory = MemOSMemory.from_defaults(memos, user="mira", cube="talk", session_id=session, llm=llm)
            engine = SimpleChatEngine.from_defaults(llm=llm, memory=memory)
            said = str(engine.chat("What is the name of the inn?"))
            assert said == engine.chat_history[-1].content != ""
        assert memos.as_principal("mira").cube("talk").count() == 4
    assert "Blue Heron" in first.message.content
    assert first.message.content == second.message.content
    assert "Blue Heron" not in bare.message.content
    assert (first.raw["reuse"]["tokens"], second.raw["reuse"]["tokens"] > 20) == (0, True)
