"""MemOS for LlamaIndex: memory blocks, a ready memory, a chat store, a retriever, tools and a local model.

Names are imported when they are first asked for, so that `import llamaindex_memos` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llamaindex_memos.block import MemOSMemoryBlock as MemOSMemoryBlock
    from llamaindex_memos.block import MemOSMessagesBlock as MemOSMessagesBlock
    from llamaindex_memos.chat_store import MemOSChatStore as MemOSChatStore
    from llamaindex_memos.filters import where_of as where_of
    from llamaindex_memos.home import Home as Home
    from llamaindex_memos.llm import MemOSLLM as MemOSLLM
    from llamaindex_memos.memory import MemOSMemory as MemOSMemory
    from llamaindex_memos.postprocessor import MemOSBudgetPostprocessor as MemOSBudgetPostprocessor
    from llamaindex_memos.retriever import MemOSRetriever as MemOSRetriever
    from llamaindex_memos.tools import memory_tools as memory_tools

__version__ = "0.1.0"

_HOME = {
    "Home": "home",
    "MemOSBudgetPostprocessor": "postprocessor",
    "MemOSChatStore": "chat_store",
    "MemOSLLM": "llm",
    "MemOSMemory": "memory",
    "MemOSMemoryBlock": "block",
    "MemOSMessagesBlock": "block",
    "MemOSRetriever": "retriever",
    "memory_tools": "tools",
    "where_of": "filters",
}

__all__ = [*sorted(_HOME)]  # noqa: PLE0604 - names by construction


def __getattr__(name: str) -> Any:
    """Import a public name from its module (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
