"""The memory tools in LlamaIndex's agents: the model looks, keeps, corrects and erases, within bounds."""

import asyncio
import re

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.workflow import Context

from llamaindex_memos import memory_tools
from tests.adapters.llamaindex.scripted import Scripted, acts, answers, calls, told


@pytest.fixture
def cube(memos):
    return memos.as_principal("mira").cube("memory")


@pytest.fixture
def tools(memos):
    return memory_tools(memos, user="mira")


def shown_id(messages):
    return re.search(r"\b[0-9a-f]{8}\b", told(messages))[0]


async def run(tools, *lines, ctx=None, memory=None):
    """Run an agent over the lines; return what each tool said to it, and its context."""
    agent = FunctionAgent(llm=Scripted(lines=[*lines, "done"]), tools=tools, streaming=False)
    ctx = ctx or Context(agent)
    output = await agent.run("go", ctx=ctx, memory=memory)
    return [str(call.tool_output) for call in output.tool_calls if hasattr(call, "tool_output")], ctx


def test_the_model_is_told_what_each_is_for(tools):
    assert [tool.metadata.name for tool in tools] == ["remember", "recall", "revise", "forget"]
    for tool in tools:
        schema = tool.metadata.get_parameters_dict()
        assert "ctx" not in schema["properties"]
        assert all(each.get("description") for each in schema["properties"].values())


async def test_it_keeps_and_looks_up(tools, cube):
    said, _ = await run(
        tools,
        calls("remember", text="Mira eats no walnuts.", tags=["food"]),
        calls("recall", query="walnuts", k=2),
    )
    (memory,) = cube.list(tags=["food"])
    assert said == [
        f"Remembered as {memory.id[:8]}.",
        f'id and text of each memory, quoted:\n{memory.id[:8]} - [2026-05-01] "Mira eats no walnuts."',
    ]


async def test_it_corrects_and_erases_what_it_was_shown(tools, cube):
    first, second = cube.remember("The inn is in Porto."), cube.remember("The inn has a well.")
    said, _ = await run(
        tools,
        calls("recall", query="Where is the inn in Porto?"),
        calls("revise", memory_id=first.id[:8], text="The inn is in Lisbon."),
        calls("revise", memory_id=first.id[:8], text="The inn is in Faro."),
        calls("forget", memory_id=second.id),
    )
    assert said[1:] == [
        f"Revised {first.id[:8]}.",
        f"Revised {first.id[:8]}.",
        f"Erased {second.id[:8]} and its history.",
    ]
    assert [(memory.text, memory.version) for memory in cube.list()] == [("The inn is in Faro.", 3)]


async def test_what_was_shown_in_the_context_before_may_be_changed_later(tools, cube, memory_of):
    memory = cube.remember("The inn is in Porto.")
    _, ctx = await run(tools, calls("recall", query="inn"), memory=memory_of(write=False))
    said, _ = await run(tools, calls("forget", memory_id=memory.id[:8]), ctx=ctx)
    assert (said[-1], cube.count()) == (f"Erased {memory.id[:8]} and its history.", 0)


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (calls("forget", memory_id="everything"), "you have not been shown"),
        (calls("forget", memory_id="all"), "is no id"),
        (calls("forget", memory_id=""), "is no id"),
        (calls("revise", memory_id="0" * 32, text="x"), "you have not been shown"),
        (calls("remember", text=" "), "empty"),
        (calls("recall", query=""), "empty"),
        (calls("recall", query="x", k=0), "from 1"),
    ],
)
async def test_what_it_gets_wrong_comes_back_in_words(tools, cube, call, hint):
    memory = cube.remember("The inn is in Porto.")
    said, _ = await run(tools, call)
    assert hint in said[0]
    assert [(each.id, each.version) for each in cube.list()] == [(memory.id, 1)]


async def test_what_was_not_shown_cannot_be_erased_even_by_its_id(tools, cube):
    memory = cube.remember("The inn is in Porto.")
    said, _ = await run(tools, calls("forget", memory_id=memory.id))
    assert (said[0][:22], cube.count()) == ("you have not been show", 1)


async def test_what_somebody_changed_meanwhile_is_not_overwritten(tools, cube):
    memory = cube.remember("The inn is in Porto.")

    def changed(messages):
        cube.revise(memory.id, "The inn burnt down.")
        return calls("revise", memory_id=shown_id(messages), text="The inn is in Lisbon.")

    def gone(messages):
        cube.forget(memory.id)
        return calls("forget", memory_id=memory.id)

    said, _ = await run(tools, calls("recall", query="inn"), changed, gone)
    assert "was changed meanwhile" in said[1]
    assert said[2] == f"there is no memory {memory.id[:8]} any more"


async def test_tools_that_run_side_by_side_all_count_as_shown(tools, cube):
    memories = [cube.remember(text) for text in ("The inn is in Porto.", "Mira eats no walnuts.")]
    both = calls("recall", query="inn in Porto", k=1)
    both.blocks += calls("recall", query="walnuts", k=1).blocks
    erased = calls("forget", memory_id=memories[0].id)
    erased.blocks += calls("forget", memory_id=memories[1].id).blocks
    await run(tools, both, erased)
    assert cube.count() == 0


async def test_two_users_never_see_each_other(memos, tools, cube):
    cube.remember("Mira's secret is walnuts.")
    said, _ = await run(memory_tools(memos, user="bo"), calls("recall", query="walnuts"))
    assert said == ["Nothing is remembered about that."]


async def test_in_somebody_elses_cube_rights_hold(memos, cube):
    memory = cube.remember("The inn is in Porto.", visibility="shared")
    cube.grant("bo", "read")
    said, _ = await run(
        memory_tools(memos, user="bo", owner="mira"),
        calls("recall", query="inn"),
        calls("forget", memory_id=memory.id),
        calls("remember", text="The inn is mine."),
    )
    assert "The inn is in Porto." in said[0]
    assert all("may not write" in each for each in said[1:])
    assert cube.count() == 1


async def test_a_store_that_is_closed_under_an_agent_is_an_error_it_is_told(memos, tools):
    def closed(_):
        memos.close()
        return calls("remember", text="too late")

    said, _ = await run(tools, calls("recall", query="inn"), closed)
    assert "closed" in said[1]


async def test_a_react_agent_uses_them_too(tools, cube):
    cube.remember("The inn is in Porto.")
    llm = Scripted(lines=[acts("I look it up.", "recall", query="inn"), answers("In Porto.")])
    output = await ReActAgent(llm=llm, tools=tools, streaming=False).run("Where is the inn?")
    assert str(output) == "In Porto."
    assert '"The inn is in Porto."' in llm.asked[1][-1].content


async def test_agents_of_one_workflow_share_what_was_shown(memos, tools, cube):
    memory = cube.remember("The inn is in Porto.")
    looks = FunctionAgent(
        name="looks",
        description="looks things up",
        llm=Scripted(
            lines=[calls("recall", query="inn"), calls("handoff", to_agent="erases", reason="erase it")]
        ),
        tools=[tools[1]],
        streaming=False,
    )
    erases = FunctionAgent(
        name="erases",
        description="erases things",
        llm=Scripted(lines=[calls("forget", memory_id=memory.id[:8]), "Done."]),
        tools=[tools[3]],
        streaming=False,
    )
    workflow = AgentWorkflow(agents=[looks, erases], root_agent="looks")
    assert str(await workflow.run("forget the inn")) == "Done."
    assert cube.count() == 0


def test_nothing_they_do_blocks_the_loop(tools, cube, unblocked):
    async def main():
        said, _ = await run(
            tools,
            calls("remember", text="The inn is in Porto."),
            lambda messages: calls("revise", memory_id=shown_id(messages), text="The inn is in Lisbon."),
            calls("recall", query="inn"),
            lambda messages: calls("forget", memory_id=shown_id(messages)),
        )
        return said

    assert [each.split()[0] for each in unblocked(main)] == ["Remembered", "Revised", "id", "Erased"]
    assert cube.count() == 0


def test_from_several_loops(memos, cube):
    tools = memory_tools(memos, user="mira")
    for number in range(3):
        asyncio.run(run(tools, calls("remember", text=f"word {number}")))
    assert cube.count() == 3
