"""Two frameworks, one cube: a LangChain agent takes orders, an AutoGen agent of the kitchen reads them."""

from __future__ import annotations

import asyncio
import tempfile

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import MemoryQueryEvent
from autogen_ext.models.replay import ReplayChatCompletionClient
from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel

from autogen_memos import MemOSMemory
from langchain_memos import MemOSMiddleware, MemOSRetriever
from memos_core import MemOS, NotFound


def order(memos: MemOS, text: str) -> None:
    """Let the waiter's LangChain agent hear an order, and show the kitchen what it kept."""
    model = FakeListChatModel(responses=["Very well."])
    agent = create_agent(model, middleware=[MemOSMiddleware(memos, cube="orders")])
    agent.invoke({"messages": [("user", text)]}, context={"user_id": "waiter"})
    orders = memos.as_principal("waiter").cube("orders")
    for memory in orders.list():
        orders.classify(memory.id, visibility="shared")


async def cook(memos: MemOS) -> TaskResult:
    """Let the kitchen's AutoGen agent look at the orders, and write down when they are ready."""
    memory = MemOSMemory(memos, user="kitchen", cube="orders", owner="waiter", visibility="shared")
    agent = AssistantAgent(
        "cook", ReplayChatCompletionClient(["Barley soup for table two is ready."]), memory=[memory]
    )
    result = await agent.run(task="What was ordered for table two?")
    await memory.remember_result(result)
    return result


def main() -> None:
    """Take an order, cook it, and ask who said what."""
    with tempfile.TemporaryDirectory() as folder, MemOS.open(folder) as memos:
        order(memos, "Table two wants the barley soup, without onions.")
        try:
            asyncio.run(cook(memos))
        except NotFound as error:
            print("before the grant:", error)
        memos.as_principal("waiter").cube("orders").grant("kitchen", "write")
        told = next(each for each in asyncio.run(cook(memos)).messages if isinstance(each, MemoryQueryEvent))
        for each in told.content:
            print("the cook was told:", each.content, "· by", (each.metadata or {})["author"])
        retriever = MemOSRetriever(memos=memos, cube="orders", user="waiter", k=1)
        ready = retriever.invoke("Is the soup ready?")[0]
        print("the waiter finds:", ready.page_content, "· said by", ready.metadata["speaker"])


if __name__ == "__main__":
    main()
