"""Three frameworks, one cube: LangChain takes orders, AutoGen cooks, LlamaIndex answers for the house."""

from __future__ import annotations

import asyncio
import tempfile

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import MemoryQueryEvent
from autogen_ext.models.replay import ReplayChatCompletionClient
from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from llama_index.core.chat_engine import ContextChatEngine
from llama_index.core.llms import MockLLM

from autogen_memos import MemOSMemory
from langchain_memos import MemOSMiddleware
from llamaindex_memos import MemOSRetriever
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


def answer(memos: MemOS, question: str) -> None:
    """Let the house's LlamaIndex chat engine look into the waiter's cube, and print what it stands on."""
    retriever = MemOSRetriever(memos, user="house", cube="orders", owner="waiter", similarity_top_k=1)
    engine = ContextChatEngine.from_defaults(retriever=retriever, llm=MockLLM())
    [found] = engine.chat(question).source_nodes
    print("the house finds:", found.text, "· said by", found.node.metadata["speaker"])


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
        memos.as_principal("waiter").cube("orders").grant("house", "read")
        answer(memos, "Is the soup ready?")


if __name__ == "__main__":
    main()
