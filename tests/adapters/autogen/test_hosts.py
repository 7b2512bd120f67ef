"""AutoGen's own teams with memory: in turn, by choice, by handoff, along a graph, nested."""

import asyncio
import json

import pytest
from autogen_agentchat.agents import AssistantAgent, SocietyOfMindAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.conditions import HandoffTermination, TextMentionTermination
from autogen_agentchat.messages import MemoryQueryEvent, ModelClientStreamingChunkEvent
from autogen_agentchat.teams import (
    DiGraphBuilder,
    GraphFlow,
    MagenticOneGroupChat,
    RoundRobinGroupChat,
    SelectorGroupChat,
    Swarm,
)

from autogen_memos import MemOSMemory, TeamMemory
from tests.adapters.autogen.scripted import agent, asked, calls, notes_in, replay


@pytest.fixture
async def team(memos):
    team = await TeamMemory.open(memos, "research", agents=["finder", "writer"])
    await team.agent("finder").post("The mill closed in 1911.")
    return team


def pair(team, finder, writer, **of_finder):
    """Return two agents with the team's memory and these models."""
    return [
        agent("finder", finder, team.agent("finder"), **of_finder),
        agent("writer", writer, team.agent("writer")),
    ]


def knows(client, call=-1):
    notes = notes_in(asked(client, call))
    return len(notes) == 1 and "The mill closed in 1911." in notes[0]


async def test_in_turn(team, memos):
    finder, writer = replay("1911, I read.", "Agreed."), replay("Noted.")
    chat = RoundRobinGroupChat(pair(team, finder, writer), max_turns=3)
    result = await chat.run(task="When did the mill close?")
    await team.remember_result(result, session="monday")
    assert knows(finder, 0)
    assert knows(finder, 1)
    assert knows(writer)
    assert [
        (each.header.governance.owner, each.text) for each in memos.cube("research/board").list()[1:]
    ] == [
        ("local", "When did the mill close?"),
        ("research/finder", "1911, I read."),
        ("research/writer", "Noted."),
        ("research/finder", "Agreed."),
    ]


async def test_by_choice(team):
    finder, writer = replay("1911, I read."), replay("Noted. DONE")
    chat = SelectorGroupChat(
        pair(team, finder, writer),
        model_client=replay("finder", "writer"),
        termination_condition=TextMentionTermination("DONE"),
    )
    result = await chat.run(task="When did the mill close?")
    assert (knows(finder), knows(writer), result.messages[-1].source) == (True, True, "writer")


async def test_by_handoff(team):
    finder, writer = replay(calls("transfer_to_writer")), replay("It closed in 1911. DONE")
    chat = Swarm(
        pair(team, finder, writer, handoffs=["writer"]), termination_condition=TextMentionTermination("DONE")
    )
    result = await chat.run(task="When did the mill close?")
    assert (knows(finder), knows(writer)) == (True, True)
    assert result.messages[-1].content == "It closed in 1911. DONE"


async def test_a_pack_enters_a_swarm_as_the_message_that_hands_over(team):
    await team.agent("finder").post("The miller was Ana's uncle.")
    finder = replay(calls("transfer_to_user"), calls("transfer_to_writer"))
    writer = replay("Done. DONE")
    chat = Swarm(
        pair(team, finder, writer, handoffs=["user", "writer"]),
        termination_condition=HandoffTermination("user") | TextMentionTermination("DONE"),
    )
    await chat.run(task="When did the mill close?")
    pack = await team.handoff("writer", "Write about the miller.")
    await chat.run(task=pack.message(source="user"))
    said = "\n".join(str(each.content) for each in asked(writer))
    assert said.count("Ana's uncle") == 1


async def test_along_a_graph(team):
    finder, writer = replay("1911, I read."), replay("Noted.")
    agents = pair(team, finder, writer)
    graph = DiGraphBuilder().add_node(agents[0]).add_node(agents[1]).add_edge(*agents)
    await GraphFlow(agents, graph.build()).run(task="When did the mill close?")
    assert (knows(finder), knows(writer)) == (True, True)


async def test_under_an_orchestrator(team):
    facts = [f"step {number}" for number in range(2)]
    ledger = {
        "is_request_satisfied": {"answer": True, "reason": "x"},
        "is_progress_being_made": {"answer": True, "reason": "x"},
        "is_in_loop": {"answer": False, "reason": "x"},
        "instruction_or_question": {"answer": "When did the mill close?", "reason": "x"},
        "next_speaker": {"answer": "finder", "reason": "x"},
    }
    going = json.dumps({**ledger, "is_request_satisfied": {"answer": False, "reason": "x"}})
    finder, writer = replay("1911, I read."), replay("Noted.")
    chat = MagenticOneGroupChat(
        pair(team, finder, writer), model_client=replay(*facts, going, json.dumps(ledger), "In 1911.")
    )
    result = await chat.run(task="When did the mill close?")
    assert (knows(finder), result.messages[-1].content) == (True, "In 1911.")


async def test_nested(team):
    finder, writer = replay("1911, I read."), replay("Noted.")
    inner = RoundRobinGroupChat(pair(team, finder, writer), max_turns=2)
    outer = RoundRobinGroupChat([inner], max_turns=1)
    await outer.run(task="When did the mill close?")
    society = SocietyOfMindAgent(
        "society",
        team=RoundRobinGroupChat(pair(team, replay("1911."), replay("Yes.")), max_turns=2),
        model_client=replay("It closed in 1911."),
    )
    said = await society.run(task="When did the mill close?")
    assert (knows(finder), knows(writer)) == (True, True)
    assert said.messages[-1].content == "It closed in 1911."


async def test_a_state_goes_on_in_another_team(team):
    def made(*lines):
        finder, writer = replay(*lines), replay(*lines)
        return RoundRobinGroupChat(pair(team, finder, writer), max_turns=2), finder

    first, _ = made("One.")
    await first.run(task="When did the mill close?")
    state = json.loads(json.dumps(await first.save_state()))
    second, finder = made("Two.")
    await second.load_state(state)
    await second.run(task="Did the mill close in 1911?")
    messages = asked(finder)
    assert knows(finder)
    assert [each.content for each in messages].count("When did the mill close?") == 1


async def test_a_reset_team_forgets_the_talk_and_keeps_the_memory(team):
    finder = replay("One.", "Two.")
    chat = RoundRobinGroupChat(pair(team, finder, replay("One.", "Two.")), max_turns=2)
    await chat.run(task="When did the mill close?")
    await chat.reset()
    await chat.run(task="When did the mill close?")
    assert (knows(finder), len(asked(finder))) == (True, 3)


async def test_a_stream_tells_of_memories_before_it_tells_of_words(team):
    writer = AssistantAgent(
        "writer", replay("It closed in 1911."), memory=[team.agent("writer")], model_client_stream=True
    )
    kinds = [type(each) async for each in writer.run_stream(task="When did the mill close?")]
    assert (
        kinds.index(MemoryQueryEvent) < kinds.index(ModelClientStreamingChunkEvent) < kinds.index(TaskResult)
    )


async def test_a_run_that_is_cancelled_while_it_recalls_leaves_a_memory_that_works(team):
    memory = team.agent("writer")
    running = asyncio.ensure_future(agent("writer", replay("One."), memory).run(task="When did it close?"))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len((await memory.query("mill")).results) == 1


async def test_agents_of_one_run_that_share_one_object_each_have_one_message(memos):
    shared = MemOSMemory(memos, cube="board")
    memos.cube("board").remember("The mill closed in 1911.")
    clients = [replay("a", "b"), replay("c", "d")]
    agents = [agent(name, client, shared) for name, client in zip("xy", clients, strict=True)]
    await RoundRobinGroupChat(agents, max_turns=4).run(task="When did the mill close?")
    assert [[len(notes_in(asked(each, call))) for call in (0, 1)] for each in clients] == [[1, 1], [1, 1]]
