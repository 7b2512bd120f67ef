"""An agent that looks after its user's memory: it keeps a fact, looks it up, corrects it, and erases it.

What the model says is written down here line by line; a real one decides by itself.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from typing import Any

from llama_index.core.agent.workflow import ReActAgent
from llama_index.core.llms import CompletionResponse, CompletionResponseGen, CustomLLM, LLMMetadata
from llama_index.core.workflow import Context

from llamaindex_memos import MemOSMemory, memory_tools
from memos_core import MemOS

TURNS = (
    ("Remember that my train leaves at nine.", ("remember", {"text": "The user's train leaves at nine."})),
    ("When does my train leave?", ("recall", {"query": "When does the train leave?"})),
    ("It leaves at ten from now on.", ("revise", {"text": "The user's train leaves at ten."})),
    ("I sold the ticket. Forget the train.", ("forget", {})),
)


class Follows(CustomLLM):
    """Calls the tool that was written down for the turn, then repeats what the tool said."""

    action: tuple[str, dict[str, Any]] = ("", {})
    seen: str = ""

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex needs to know of it."""
        return LLMMetadata(model_name="follows", is_chat_model=True)

    def complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponse:  # noqa: ARG002, FBT001, FBT002 - LlamaIndex's signature
        """Call the tool, or answer with what it said."""
        last = prompt.rpartition("\nuser: ")[2].rpartition("\nassistant:")[0]
        if last.startswith("Observation: "):
            told = last.removeprefix("Observation: ").strip()
            self.seen = (re.findall(r"\b[0-9a-f]{8}\b", told) or [self.seen])[0]
            return CompletionResponse(text=f"Thought: I can answer.\nAnswer: {told}")
        name, given = self.action
        if name in ("revise", "forget"):
            given = {"memory_id": self.seen, **given}
        return CompletionResponse(
            text=f"Thought: I use a tool.\nAction: {name}\nAction Input: {json.dumps(given)}"
        )

    def stream_complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponseGen:  # noqa: FBT001, FBT002 - LlamaIndex's signature
        """Answer in one part."""
        whole = self.complete(prompt, formatted)
        yield CompletionResponse(text=whole.text, delta=whole.text)


async def main() -> None:
    """Run the turns in one context, so that an id that was shown may be used later."""
    with tempfile.TemporaryDirectory() as folder, MemOS.open(folder) as memos:
        llm = Follows()
        agent = ReActAgent(llm=llm, tools=memory_tools(memos, user="mira"))
        ctx = Context(agent)
        memory = MemOSMemory.from_defaults(memos, user="mira", cube="talk", session_id="s1")
        for text, llm.action in TURNS:
            print(f"mira: {text}\nagent: {await agent.run(text, ctx=ctx, memory=memory)}\n")
        print("left in memory:", [each.text for each in memos.as_principal("mira").cube("memory").list()])


if __name__ == "__main__":
    asyncio.run(main())
