"""A workflow of two agents that share a cube: the scout writes down what it sees, the cook reads it.

Each agent is a principal of its own: the cube belongs to the inn, and says who may write and who may
only read. What the models say is written down here; real ones decide by themselves.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from typing import Any

from llama_index.core.agent.workflow import AgentWorkflow, ReActAgent
from llama_index.core.llms import CompletionResponse, CompletionResponseGen, CustomLLM, LLMMetadata

from llamaindex_memos import memory_tools
from memos_core import MemOS

Line = tuple[str, dict[str, Any]] | None


class Script(CustomLLM):
    """Calls the tools that are written down for it, one after the other, then repeats what it was told."""

    lines: list[Any]

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex needs to know of it."""
        return LLMMetadata(model_name="script", is_chat_model=True)

    def complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponse:  # noqa: ARG002, FBT001, FBT002 - LlamaIndex's signature
        """Call the next tool, or answer with what the last one said."""
        line: Line = self.lines.pop(0) if self.lines else None
        if line is None:
            told = prompt.rpartition("Observation: ")[2].rpartition("\nassistant:")[0].strip()
            return CompletionResponse(text=f"Thought: I know enough.\nAnswer: {told}")
        name, given = line
        return CompletionResponse(
            text=f"Thought: I use a tool.\nAction: {name}\nAction Input: {json.dumps(given)}"
        )

    def stream_complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponseGen:  # noqa: FBT001, FBT002 - LlamaIndex's signature
        """Answer in one part."""
        whole = self.complete(prompt, formatted)
        yield CompletionResponse(text=whole.text, delta=whole.text)


async def main() -> None:
    """Send the scout to the market, and ask the cook what to buy."""
    with tempfile.TemporaryDirectory() as folder, MemOS.open(folder) as memos:
        larder = memos.as_principal("inn").cube("larder")
        larder.remember("The inn has guests who eat no walnuts.", visibility="shared")
        larder.grant("scout", "write")
        larder.grant("cook", "admin")

        scout = ReActAgent(
            name="scout",
            description="goes to the market and writes down what there is",
            llm=Script(
                lines=[
                    ("remember", {"text": "Sea bass is cheap at the market today."}),
                    ("handoff", {"to_agent": "cook", "reason": "the market is written down"}),
                ]
            ),
            tools=memory_tools(memos, user="scout", owner="inn", cube="larder"),
        )
        cook = ReActAgent(
            name="cook",
            description="decides what is cooked",
            llm=Script(lines=[("recall", {"query": "What is at the market, and what may guests eat?"})]),
            tools=memory_tools(memos, user="cook", owner="inn", cube="larder"),
        )
        workflow = AgentWorkflow(agents=[scout, cook], root_agent="scout")
        print("cook:", await workflow.run("What do we cook tonight?"))
        for memory in larder.list():
            print(f"{memory.header.governance.owner} wrote: {memory.text}")


if __name__ == "__main__":
    asyncio.run(main())
