"""A chat engine that knows whom it talks with: two users, three sessions, a restart between any two.

The model is a parrot: it answers with the notes that memory put before it. Any model goes in its place.
"""

from __future__ import annotations

import tempfile
from typing import Any

from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import CompletionResponse, CompletionResponseGen, CustomLLM, LLMMetadata

from llamaindex_memos import MemOSMemory
from memos_core import MemOS

SESSIONS = (
    ("mira", "I am allergic to walnuts, and I live in Porto."),
    ("ivo", "I mend violins. My shop is in Lisbon."),
    ("mira", "Which city do I live in?"),
)


class Parrot(CustomLLM):
    """Repeats the notes that it is shown."""

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex needs to know of it."""
        return LLMMetadata(model_name="parrot", is_chat_model=True)

    def complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponse:  # noqa: ARG002, FBT001, FBT002 - LlamaIndex's signature
        """Answer with the notes."""
        notes = [line for line in prompt.splitlines() if line.startswith("- [")]
        said = "I remember:\n" + "\n".join(notes) if notes else "I remember nothing about that yet."
        return CompletionResponse(text=said)

    def stream_complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponseGen:  # noqa: FBT001, FBT002 - LlamaIndex's signature
        """Answer with the notes, in one part."""
        whole = self.complete(prompt, formatted)
        yield CompletionResponse(text=whole.text, delta=whole.text)


def main() -> None:
    """Hold each session with a store that was opened for it alone."""
    with tempfile.TemporaryDirectory() as folder:
        for number, (user, text) in enumerate(SESSIONS, start=1):
            with MemOS.open(folder) as memos:
                memory = MemOSMemory.from_defaults(
                    memos, user=user, session_id=f"session {number}", similarity_top_k=3
                )
                engine = SimpleChatEngine.from_defaults(llm=Parrot(), memory=memory)
                print(f"{user}: {text}\nassistant: {engine.chat(text)}\n")


if __name__ == "__main__":
    main()
