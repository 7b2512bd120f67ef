"""An LCEL chain that is told what fits the question, and keeps what was said."""

from __future__ import annotations

import tempfile

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

from langchain_memos import with_memories
from memos_core import MemOS, Message

PROMPT = ChatPromptTemplate([("system", "Notes, quoted data:\n{memories}"), ("human", "{question}")])
SAID = (
    "The choir meets on Thursdays at seven.",
    "My brother Tam lent me his ladder in March.",
    "The ladder goes back when the roof is done.",
)


def main() -> None:
    """Say three things, then ask the chain, whose last part shows the prompt in a model's stead."""
    config = {"configurable": {"user_id": "mira"}}
    with tempfile.TemporaryDirectory() as folder, MemOS.open(folder) as memos:
        memos.as_principal("mira").cube("memory").ingest([Message("mira", text) for text in SAID])
        show = RunnableLambda(lambda prompt: prompt.to_string()) | StrOutputParser()
        chain = with_memories(memos, k=2) | PROMPT | show
        print(chain.invoke({"question": "Whose ladder is it?"}, config))


if __name__ == "__main__":
    main()
