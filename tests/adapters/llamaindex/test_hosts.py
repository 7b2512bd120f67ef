"""In LlamaIndex's chat engines and agents: over restarts, users, sessions, serialisers and loops."""

import asyncio
import json

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    ContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.workflow import Context, JsonPickleSerializer, JsonSerializer
from workflows.errors import WorkflowCancelledByUser

from llamaindex_memos import MemOSMemory, MemOSRetriever, memory_tools
from memos_core import Closed, MemOS
from tests.adapters.llamaindex.scripted import Scripted, acts, answers, calls


def notes_of(text):
    return [line.partition("] ")[2] for line in text]


# --- chat engines ----------------------------------------------------------------------------


def engine_of(kind, memory, llm, retriever, **given):
    match kind:
        case "simple":
            return SimpleChatEngine.from_defaults(llm=llm, memory=memory, **given)
        case "context":
            return ContextChatEngine.from_defaults(retriever, llm=llm, memory=memory, **given)
        case _:
            return CondensePlusContextChatEngine.from_defaults(
                retriever, llm=llm, memory=memory, skip_condense=True, **given
            )


KINDS = ["simple", "context", "condense"]


@pytest.fixture
def nowhere(memos):
    """A retriever over a cube in which there is nothing."""
    memos.as_principal("nobody").cube("empty").remember("Context of the engine.")
    return MemOSRetriever(memos, user="nobody", cube="empty")


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_said_in_one_session_is_there_in_the_next(memory_of, nowhere, kind):
    llm = Scripted(lines=["Noted.", "In Porto."])
    engine_of(kind, memory_of(session="one"), llm, nowhere).chat("I live in Porto, {really}.")
    engine = engine_of(kind, memory_of(session="two"), llm, nowhere, system_prompt="Be brief.")
    assert str(engine.chat("Where do I live?")) == "In Porto."
    assert '"I live in Porto, {really}." (mira)' in notes_of(llm.notes())
    assert llm.roles().count("system") == 1
    assert [message.content for message in engine.chat_history] == ["Where do I live?", "In Porto."]


@pytest.mark.parametrize("kind", KINDS)
def test_streamed_it_is_kept_too(memory_of, nowhere, memos, kind):
    engine = engine_of(kind, memory_of(), Scripted(lines=["Noted."]), nowhere)
    assert "".join(engine.stream_chat("I live in Porto.").response_gen) == "Noted."
    kept = memos.as_principal("mira").cube("memory").list()
    assert [memory.text for memory in kept] == ["I live in Porto.", "Noted."]


@pytest.mark.parametrize("kind", KINDS)
async def test_awaited_and_streamed_it_is_the_same(memory_of, nowhere, memos, kind):
    engine = engine_of(kind, memory_of(), Scripted(lines=["Noted.", "Yes."]), nowhere)
    await engine.achat("I live in Porto.")
    response = await engine.astream_chat("Do I?")
    assert "".join([each async for each in response.async_response_gen()]) == "Yes."
    kept = memos.as_principal("mira").cube("memory").list()
    assert [memory.text for memory in kept] == ["I live in Porto.", "Noted.", "Do I?", "Yes."]


async def test_blocking_faces_inside_a_running_loop(memory_of, nowhere):
    llm = Scripted(lines=["Noted.", "In Porto."])
    engine = engine_of("simple", memory_of(), llm, nowhere)
    engine.chat("I live in Porto.")
    await engine.achat("Where?")
    engine.reset()
    assert engine.chat_history == []


def test_a_history_given_with_every_turn_is_kept_once(memory_of, nowhere, memos):
    engine, history = engine_of("simple", memory_of(), Scripted(lines=["a", "b", "c"]), nowhere), []
    for words in ("one", "two", "three"):
        said = str(engine.chat(words, chat_history=list(history)))
        history += [ChatMessage(role="user", content=words), ChatMessage(role="assistant", content=said)]
    kept = memos.as_principal("mira").cube("memory").list()
    assert [memory.text for memory in kept] == ["one", "a", "two", "b", "three", "c"]


def test_reset_begins_a_new_conversation_that_remembers(memory_of, nowhere):
    llm = Scripted(lines=["Noted.", "In Porto."])
    engine = engine_of("simple", memory_of(), llm, nowhere)
    engine.chat("I live in Porto.")
    engine.reset()
    engine.chat("Where do I live?")
    assert '"I live in Porto." (mira)' in notes_of(llm.notes())
    assert len(engine.chat_history) == 2


# --- agents ----------------------------------------------------------------------------------


async def test_an_agent_recalls_keeps_its_tool_calls_and_has_one_system_message(memory_of, memos):
    memos.as_principal("mira").cube("memory").remember("Mira lives in Porto.")

    def weather(city: str) -> str:
        """Tell the weather of a city."""
        return f"21 degrees in {city}"

    llm = Scripted(lines=[calls("weather", city="Porto"), "It is warm."])
    agent = FunctionAgent(llm=llm, tools=[weather], system_prompt="Be brief.")
    memory = memory_of()
    assert str(await agent.run("How is the weather where Mira lives?", memory=memory)) == "It is warm."
    assert [notes_of(llm.notes(call)) for call in (0, 1)] == [['"Mira lives in Porto."']] * 2
    assert [llm.roles(call).count("system") for call in (0, 1)] == [1, 1]
    kept = memos.as_principal("mira").cube("memory").list()
    assert [(each.speaker, each.text) for each in kept[1:]] == [
        ("mira", "How is the weather where Mira lives?"),
        ("assistant", '[calls weather({"city": "Porto"})]'),
        ("tool", "21 degrees in Porto"),
        ("assistant", "It is warm."),
    ]


async def test_in_a_turn_the_core_is_asked_once_for_the_same(memory_of, memos, monkeypatch):
    from memos_core import MemCube

    asked, real = [], MemCube.recall
    monkeypatch.setattr(
        MemCube, "recall", lambda self, query, **more: asked.append(query) or real(self, query, **more)
    )
    memos.as_principal("mira").cube("memory").remember("Mira lives in Porto.")
    cheap = memory_of(write=False)
    agent = FunctionAgent(
        llm=Scripted(lines=[calls("look"), calls("look"), "Done."]), tools=[look], streaming=False
    )
    await agent.run("Where is Mira?", memory=cheap)
    assert set(asked) == {"Where is Mira?"}
    assert len(asked) <= 3  # before, with the question beside the history, and with the answer in it


def look() -> str:
    """Look around."""
    return "nothing"


async def test_a_react_agent_remembers_over_sessions(memory_of):
    first = ReActAgent(llm=Scripted(lines=[answers("Noted.")]), tools=[look], streaming=False)
    await first.run("I live in Porto.", memory=memory_of(session="one"))
    llm = Scripted(lines=[acts("I look.", "look"), answers("In Porto.")])
    agent = ReActAgent(llm=llm, tools=[look], streaming=False)
    assert str(await agent.run("Where do I live?", memory=memory_of(session="two"))) == "In Porto."
    assert '"I live in Porto." (mira)' in notes_of(llm.notes(0))
    assert llm.roles().count("system") == 1


async def test_two_agents_of_a_workflow_share_a_memory(memory_of, memos):
    memos.as_principal("mira").cube("memory").remember("Mira lives in Porto.")
    first = FunctionAgent(
        name="first",
        description="hands over",
        llm=Scripted(lines=[calls("handoff", to_agent="second", reason="you know it")]),
        streaming=False,
    )
    second = FunctionAgent(
        name="second", description="knows", llm=Scripted(lines=["In Porto."]), streaming=False
    )
    workflow = AgentWorkflow(agents=[first, second], root_agent="first")
    assert str(await workflow.run("Where does Mira live?", memory=memory_of())) == "In Porto."
    assert notes_of(second.llm.notes())[0] == '"Mira lives in Porto."'


async def test_two_agents_of_two_users_share_a_cube_as_far_as_granted(memos, memory_of):
    team = memos.as_principal("ana").cube("team")
    team.grant("bo", "write")
    for name, given in (("ana", {}), ("bo", {"owner": "ana"})):
        agent = FunctionAgent(llm=Scripted(lines=["Noted."]), streaming=False)
        await agent.run(f"{name} likes salt", memory=memory_of(name, f"of {name}", cube="team", **given))
    assert team.count() == 4
    llm = Scripted(lines=["?"])
    memory = memory_of("bo", "later", cube="team", owner="ana")
    await FunctionAgent(llm=llm, streaming=False).run("Who likes salt?", memory=memory)
    assert notes_of(llm.notes()) == [
        '"bo likes salt" (bo)',
        '"Noted." (assistant)',
    ]  # what ana said there is private to her


async def test_what_an_agent_erases_is_gone_from_its_next_look(memory_of, memos):
    cube = memos.as_principal("mira").cube("memory")
    memory = cube.remember("Mira lives in Porto.")
    llm = Scripted(lines=[calls("recall", query="Porto"), calls("forget", memory_id=memory.id), "Gone."])
    agent = FunctionAgent(llm=llm, tools=memory_tools(memos, user="mira"), streaming=False)
    await agent.run("Forget where Mira lives.", memory=memory_of(write=False))
    assert notes_of(llm.notes(0)) == ['"Mira lives in Porto."']
    assert "Mira lives in Porto." not in "".join(
        block.text for message in llm.asked[2][:1] for block in message.blocks
    )


# --- restored --------------------------------------------------------------------------------


@pytest.mark.parametrize("serializer", [JsonSerializer, JsonPickleSerializer])
async def test_a_context_that_was_written_goes_on_after_a_restart(folder, twins, serializer):
    def agent(*lines):
        return FunctionAgent(llm=Scripted(lines=list(lines)), tools=[look], streaming=False)

    first = agent(calls("look"), "Noted.")
    with MemOS.open(folder, **twins) as memos:
        ctx = Context(first)
        memory = MemOSMemory.from_defaults(memos, user="mira", session_id="s1")
        await first.run("I live in Porto.", ctx=ctx, memory=memory)
        told = json.dumps(ctx.to_dict(serializer=serializer()))
    second = agent("In Porto.")
    with MemOS.open(folder, **twins) as memos:
        again = Context.from_dict(second, json.loads(told), serializer=serializer())
        assert str(await second.run("Where do I live?", ctx=again)) == "In Porto."
        restored = await again.store.get("memory")
        assert (type(restored), restored.session_id) == (MemOSMemory, "s1")
        assert second.llm.roles() == ["user", "assistant", "tool", "assistant", "user"]
        texts = [memory.text for memory in memos.as_principal("mira").cube("memory").list()]
        assert texts == [
            "I live in Porto.",
            "[calls look({})]",
            "nothing",
            "Noted.",
            "Where do I live?",
            "In Porto.",
        ]


async def test_restored_where_the_store_is_not_open_and_cannot_be_it_says_why(folder, twins, tmp_path):
    agent = FunctionAgent(llm=Scripted(lines=["Noted."]), streaming=False)
    with MemOS.open(folder, **twins) as memos:
        ctx = Context(agent)
        memory = MemOSMemory.from_defaults(memos, user="mira", session_id="s1")
        await agent.run("I live in Porto.", ctx=ctx, memory=memory)
        told = ctx.to_dict(serializer=JsonSerializer())
    again = Context.from_dict(agent, told, serializer=JsonSerializer())
    with pytest.raises(Exception, match=r"MemOS.open\(..., embedder=...\)"):
        await agent.run("Where do I live?", ctx=again)


# --- many, closed, cancelled -----------------------------------------------------------------


async def test_ten_sessions_of_two_users_at_once(memory_of):
    async def talk(name, number):
        secret = f"secret {number} of {name}"
        llm = Scripted(lines=["Noted.", "?"])
        agent = FunctionAgent(llm=llm, streaming=False)
        session = {"user": name, "session": f"s{number}", "scope": "session"}
        await agent.run(f"Keep my {secret}", memory=memory_of(**session))
        await agent.run("What is my secret?", memory=memory_of(**session))
        asked = "\n".join(message.content or "" for message in llm.asked[1])
        return secret, asked

    told = await asyncio.gather(*(talk(name, number) for name in ("mira", "bo") for number in range(5)))
    for secret, asked in told:
        others = [other for other, _ in told if other != secret]
        assert secret in asked
        assert [other for other in others if other in asked] == []


def test_an_agent_with_all_of_it_does_not_block_the_loop(memory_of, memos, unblocked):
    memory = memory_of()
    lines = [calls("remember", text="Mira eats no walnuts."), calls("recall", query="walnuts"), "Done."]
    agent = FunctionAgent(llm=Scripted(lines=lines), tools=memory_tools(memos, user="mira"))

    async def main():
        return str(await agent.run("Keep it.", memory=memory))

    assert unblocked(main) == "Done."
    assert memos.as_principal("mira").cube("memory").count() == 7


async def test_a_memory_closed_under_a_running_agent_ends_the_run_with_its_name(memory_of, memos):
    def closes() -> str:
        """Close it."""
        memos.close()
        return "closed"

    agent = FunctionAgent(llm=Scripted(lines=[calls("closes"), "Done."]), tools=[closes], streaming=False)
    with pytest.raises(Closed):
        await agent.run("Close it.", memory=memory_of())


async def test_a_cancelled_run_leaves_a_memory_that_works(memory_of, memos):
    memory = memory_of()
    begun = asyncio.Event()

    async def waits() -> str:
        """Wait."""
        begun.set()
        await asyncio.sleep(60)
        return "never"

    agent = FunctionAgent(llm=Scripted(lines=[calls("waits"), "Done."]), tools=[waits], streaming=False)
    handler = agent.run("I live in Porto.", memory=memory)
    await begun.wait()
    await handler.cancel_run()
    with pytest.raises(WorkflowCancelledByUser):
        await handler
    llm = Scripted(lines=["In Porto."])
    await FunctionAgent(llm=llm, streaming=False).run("Where?", memory=memory)
    assert llm.roles() == ["user", "user"]
    texts = [each.text for each in memos.as_principal("mira").cube("memory").list()]
    assert texts == ["I live in Porto.", "Where?", "In Porto."]
