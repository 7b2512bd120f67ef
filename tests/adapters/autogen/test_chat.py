"""MemOSChatCompletionClient: what it says, to whom, what it reuses, and what it refuses."""

import asyncio
import json
import time

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import ModelClientStreamingChunkEvent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken, FunctionCall, Image
from autogen_core.model_context import TokenLimitedChatCompletionContext
from autogen_core.models import (
    AssistantMessage,
    ChatCompletionClient,
    CreateResult,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    SystemMessage,
    UserMessage,
)
from autogen_core.tools import FunctionTool
from PIL import Image as Pixels
from pydantic import BaseModel, ValidationError

from autogen_memos import MemOSChatCompletionClient, MemOSMemory
from autogen_memos import models as models_module
from memos_core import Closed, InvalidInput, NotFound, Runtime, Where
from memos_core.testing import ScriptedEngine
from tests.adapters.autogen.scripted import users


@pytest.fixture
def told(memos):
    """A store whose cube "memory" knows two things of Mira."""
    cube = memos.cube("memory")
    cube.remember("I am Mira.", kind="persona")
    cube.remember("Mira lives in Porto.")
    return memos


@pytest.fixture
def seen():
    """A runtime whose answers are the prompts themselves."""
    with Runtime(ScriptedEngine(lambda prompt: prompt)) as runtime:
        yield runtime


@pytest.fixture
def opened(monkeypatch):
    """Scripted runtimes in place of those that `Runtime.open` loads."""
    made = []

    def one(model):
        made.append(Runtime(ScriptedEngine(lambda prompt: f"{model}: {prompt}")))
        return made[-1]

    monkeypatch.setattr(models_module.Runtime, "open", one)
    return made


async def test_memories_stand_in_the_prompt_and_are_named(seen, told):
    client = MemOSChatCompletionClient(runtime=seen, memos=told)
    result = await client.create(users("Where does Mira live?"))
    assert "I am Mira." in result.content
    assert "Mira lives in Porto." in result.content
    assert len(client.last_reply.memories) == 2
    assert (result.finish_reason, result.cached) == ("stop", False)


async def test_the_second_call_attaches_what_the_first_computed_and_says_the_same(told):
    with Runtime(ScriptedEngine()) as runtime:
        client = MemOSChatCompletionClient(runtime=runtime, memos=told)
        first = await client.create(users("Where does Mira live?"))
        built = client.last_reply.reuse
        second = await client.create(users("Where does Mira live?"))
    assert first.content == second.content
    assert (built.tokens, client.last_reply.reuse.tokens > 0) == (0, True)
    assert client.actual_usage() == second.usage
    assert client.total_usage().prompt_tokens == first.usage.prompt_tokens + second.usage.prompt_tokens


async def test_an_agent_streams_with_it(seen, told):
    client = MemOSChatCompletionClient(runtime=seen, memos=told)
    agent = AssistantAgent("helper", client, model_client_stream=True)
    events = [each async for each in agent.run_stream(task="Where does Mira live?")]
    pieces = [each.content for each in events if isinstance(each, ModelClientStreamingChunkEvent)]
    assert "".join(pieces) == events[-1].messages[-1].content
    assert len(pieces) > 2


async def test_a_team_talks_with_one_model(seen, told):
    client = MemOSChatCompletionClient(runtime=seen, memos=told, max_tokens=5000)
    team = RoundRobinGroupChat([AssistantAgent(name, client) for name in ("one", "two")], max_turns=2)
    result = await team.run(task="Where does Mira live?")
    assert all("Mira lives in Porto." in each.content for each in result.messages[1:])


async def test_notes_of_a_memory_in_either_role_are_taken(seen, told):
    client = MemOSChatCompletionClient(runtime=seen, max_tokens=5000)
    for role in ("user", "system"):
        memory = MemOSMemory(told, inject_as=role)
        result = await AssistantAgent("helper", client, memory=[memory]).run(task="Where does Mira live?")
        assert "Mira lives in Porto." in result.messages[-1].content


async def test_users_see_their_own_cube_only(seen, memos):
    memos.as_principal("ann").cube("memory").remember("Ann has a boat.")
    memos.as_principal("bob").cube("memory").remember("Bob has a kite.")
    client = MemOSChatCompletionClient(runtime=seen, memos=memos)
    for user, own, other in (("ann", "boat", "kite"), ("bob", "kite", "boat")):
        said = (await client.create(users("What is there?"), extra_create_args={"user": user})).content
        assert (own in said, other in said) == (True, False)
    with pytest.raises(NotFound):
        await client.create(users("What?"), extra_create_args={"user": "bob", "owner": "ann"})


async def test_one_call_may_sample_otherwise(seen):
    client = MemOSChatCompletionClient(runtime=seen, stop=["nothing"])
    result = await client.create(users("Porto"), extra_create_args={"max_tokens": 3})
    assert (result.finish_reason, result.usage.completion_tokens) == ("length", 3)


def count(text: str) -> int:
    return len(text)


PICTURE = Image(Pixels.new("RGB", (1, 1)))


@pytest.mark.parametrize(
    ("messages", "given", "remedy"),
    [
        ([UserMessage(content=["x", PICTURE], source="u")], {}, "leave the pictures out"),
        (
            [AssistantMessage(content=[FunctionCall(id="1", name="f", arguments="{}")], source="a")],
            {},
            "calls no tools",
        ),
        (
            [
                FunctionExecutionResultMessage(
                    content=[FunctionExecutionResult(content="", name="f", call_id="1")]
                )
            ],
            {},
            "calls no tools",
        ),
        ([*users("x"), SystemMessage(content="late")], {}, "before all others"),
        ([AssistantMessage(content="x", source="a")], {}, "nothing to answer"),
        (users("x"), {"tools": [FunctionTool(count, "count")]}, "calls no tools"),
        (users("x"), {"tool_choice": "required"}, "calls no tools"),
        (users("x"), {"json_output": True}, "no JSON"),
        (users("x"), {"json_output": BaseModel}, "no JSON"),
        (users("x"), {"extra_create_args": {"logprobs": 1}}, "logprobs"),
        (users("x"), {"extra_create_args": {"temperature": -1}}, "temperature"),
    ],
)
async def test_what_it_cannot_do_is_refused(seen, messages, given, remedy):
    with pytest.raises(InvalidInput, match=remedy):
        await MemOSChatCompletionClient(runtime=seen).create(messages, **given)


def test_settings_that_mean_nothing_are_refused():
    for wrong in ({"store": {}}, {"colour": "red"}, {"temperature": -1.0}):
        with pytest.raises(InvalidInput):
            MemOSChatCompletionClient(**wrong)
    with pytest.raises(ValidationError):
        MemOSChatCompletionClient(recall="many")


async def test_text_in_parts_is_text(seen):
    client = MemOSChatCompletionClient(runtime=seen)
    result = await client.create([UserMessage(content=["Porto", "is"], source="u")])
    assert "Porto\nis" in result.content


class SlowEngine(ScriptedEngine):
    """Takes its time for each word."""

    def generate(self, *given, **named):
        for token in super().generate(*given, **named):
            time.sleep(0.02)
            yield token


async def test_a_cancelled_token_ends_the_answer_and_the_next_one_works():
    with Runtime(SlowEngine(lambda _: "word " * 20)) as runtime:
        client, token = MemOSChatCompletionClient(runtime=runtime, max_tokens=5000), CancellationToken()
        running = asyncio.ensure_future(client.create(users("x"), cancellation_token=token))
        await asyncio.sleep(0.05)
        token.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        begin = time.perf_counter()
        with pytest.raises(asyncio.CancelledError):
            await client.create(users("x"), cancellation_token=token)
        assert time.perf_counter() - begin < 5
        assert (await client.create(users("x"))).content.startswith("word")


async def test_a_listener_that_walks_away_ends_the_answer(seen):
    client = MemOSChatCompletionClient(runtime=seen)
    stream = client.create_stream(users("Hello"))
    await anext(stream)
    await stream.aclose()
    assert (await client.create(users("Hello"))).content


def test_no_call_blocks_the_loop(seen, told, unblocked):
    client = MemOSChatCompletionClient(runtime=seen, memos=told)

    async def main():
        result = await client.create(users("Where does Mira live?"))
        await client.close()
        return result

    assert "Porto" in unblocked(main).content


async def test_it_says_what_it_can_do_and_counts(seen, told):
    client = MemOSChatCompletionClient(runtime=seen, memos=told, context=4096, budget=1000)
    assert client.model_info == client.capabilities
    assert not any(client.model_info[name] for name in ("vision", "function_calling", "json_output"))
    assert client.count_tokens(users("abcdef")) == 6
    assert client.remaining_tokens(users("abcdef")) == 4096 - 1000 - 6
    context = TokenLimitedChatCompletionContext(client, token_limit=20)
    for number in range(9):
        await context.add_message(users(f"message {number}")[0])
    assert len(await context.get_messages()) == 2


async def test_clients_of_one_model_share_it_until_the_last_closes(opened):
    first, second = MemOSChatCompletionClient(), MemOSChatCompletionClient()
    said = [(await each.create(users("Hello"))).content for each in (first, second)]
    await first.close()
    await first.close()
    with pytest.raises(Closed):
        await first.create(users("Hello"))
    assert (len(opened), said[0] == said[1]) == (1, True)
    assert (await second.create(users("Hello"))).content == said[1]
    await second.close()
    with pytest.raises(Closed):
        opened[0].chat("Hello")


async def test_it_is_written_down_and_read_back_on_the_same_store(named, opened):
    named.as_principal("mira").cube("memory").remember("I live in Porto.")
    client = MemOSChatCompletionClient(
        memos=named.as_principal("mira"), stable=Where(kinds=("persona",)), max_tokens=5000, stop=["END"]
    )
    written = json.loads(client.dump_component().model_dump_json())
    copy = ChatCompletionClient.load_component(written)
    assert json.loads(copy.dump_component().model_dump_json()) == written
    assert (copy.memos._core, copy.memos.principal.name) == (named._core, "mira")
    assert "I live in Porto." in (await copy.create(users("Where do I live?"))).content
    await copy.close()
    assert named.cube("x").count() == 0


async def test_an_agent_comes_back_with_its_model(named, opened):
    agent = AssistantAgent("helper", MemOSChatCompletionClient(memos=named, user="mira"))
    copy = AssistantAgent.load_component(json.loads(agent.dump_component().model_dump_json()))
    named.as_principal("mira").cube("memory").remember("I live in Porto.")
    assert "Porto" in (await copy.run(task="Where do I live?")).messages[-1].content
    await copy._model_client.close()


def test_a_live_runtime_is_not_written_down(seen):
    with pytest.raises(InvalidInput, match="name a `model`"):
        MemOSChatCompletionClient(runtime=seen).dump_component()


@pytest.mark.slow
async def test_the_bundled_model_answers_an_agent_and_reuses_what_it_computed(tmp_path, told):
    client = MemOSChatCompletionClient(memos=told, max_tokens=8)
    agent = AssistantAgent("helper", client, system_message="Be brief.")
    first = (await agent.run(task="Where does Mira live?")).messages[-1].content
    await agent.on_reset(CancellationToken())
    second = (await agent.run(task="Where does Mira live?")).messages[-1].content
    assert first == second != ""
    assert client.last_reply.reuse.tokens > 10
    await client.close()


def test_a_result_is_autogens_own(seen):
    result = asyncio.run(MemOSChatCompletionClient(runtime=seen).create(users("x")))
    assert isinstance(result, CreateResult)
