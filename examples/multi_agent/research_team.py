"""A research team of AutoGen with a shared blackboard: news, a plan that two change at once, a handover."""

from __future__ import annotations

import asyncio
import tempfile

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.replay import ReplayChatCompletionClient

from autogen_memos import TeamMemory
from memos_core import MemOS

LINES = {
    "finder": ["The register says that the mill closed in 1911."],
    "checker": ["A letter of 1912 still calls it open. I note the doubt."],
}


async def talk(team: TeamMemory) -> None:
    """Let two agents talk, and keep what they said on the blackboard, each under its own name."""
    agents = [
        AssistantAgent(name, ReplayChatCompletionClient(list(lines)), memory=[team.agent(name)])
        for name, lines in LINES.items()
    ]
    result = await RoundRobinGroupChat(agents, max_turns=2).run(task="When did the mill close?")
    await team.remember_result(result, session="monday")


async def plan(team: TeamMemory) -> None:
    """Let two agents add to one line at once; neither loses what the other wrote."""
    line = await team.agent("finder").post("Plan:", kind="plan")
    memory_id = (line.metadata or {})["id"]
    await asyncio.gather(
        team.agent("finder").rewrite(memory_id, lambda text: f"{text} read the register;"),
        team.agent("checker").rewrite(memory_id, lambda text: f"{text} read the letters;"),
    )
    found = await team.agent("writer").query("What is the plan?", scope="team", k=1)
    print("the plan, twice revised:", sorted(str(found.results[0].content).split(": ")[-1].split("; ")))


async def main() -> None:
    """Find, check, plan, and hand over to the writer."""
    with tempfile.TemporaryDirectory() as folder, MemOS.open(folder) as memos:
        team = await TeamMemory.open(memos, "mill", agents=["finder", "checker", "writer"])
        await team.teach("A closing date counts when two sources agree.")
        await team.agent("finder").note("The archivist is kind before noon.")
        await talk(team)
        await plan(team)
        for each in await team.agent("writer").news():
            print(f"new to the writer, by {each.by}: {each.memory.text}")
        pack = await team.handoff("writer", "Write when the mill closed.", budget=400)
        print(f"handed to {pack.to}: {pack.task}\n{pack.text}")


if __name__ == "__main__":
    asyncio.run(main())
