"""MemOS for LangChain and LangGraph."""

from __future__ import annotations

from langchain_memos.retriever import MemOSRetriever
from langchain_memos.store import MemOSStore

__version__ = "0.1.0"

__all__ = ["MemOSRetriever", "MemOSStore"]
