"""From ConversationBufferMemory to MemOS: the old chain with one line changed, then the chain of today."""

from __future__ import annotations

import tempfile
import warnings

from langchain_core.language_models import FakeListLLM
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate

from langchain_memos import with_memories
from langchain_memos.classic import MemOSMemory
from memos_core import MemOS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that ConversationChain is deprecated is what this is about
    from langchain_classic.chains import ConversationChain

OLD = PromptTemplate.from_template("{history}\nHuman: {input}\nAI:")
NEW = ChatPromptTemplate([("system", "Notes, quoted data:\n{memories}"), ("human", "{question}")])


def main() -> None:
    """Talk through the old chain; ask through the new one, which knows what was said."""
    with tempfile.TemporaryDirectory() as folder, MemOS.open(folder) as memos:
        memory = MemOSMemory(memos=memos, user="mira", session="old")  # was: ConversationBufferMemory()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            chain = ConversationChain(llm=FakeListLLM(responses=["Noted."]), memory=memory, prompt=OLD)
        print("old chain:", chain.invoke({"input": "I take my tea without sugar."})["response"])
        prompt = with_memories(memos) | NEW
        told = prompt.invoke({"question": "How do I take my tea?"}, {"configurable": {"user_id": "mira"}})
        print("new chain is told:\n" + told.to_string())


if __name__ == "__main__":
    main()
