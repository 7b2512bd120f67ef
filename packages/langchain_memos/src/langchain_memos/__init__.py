"""MemOS for LangChain and LangGraph: store, middleware, retriever, tools and a chat model.

Names are imported when they are first asked for: what needs an extra is asked for by those who have it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_memos.chains import with_memories as with_memories
    from langchain_memos.chat import ChatMemOS as ChatMemOS
    from langchain_memos.extraction import extractor_of as extractor_of
    from langchain_memos.middleware import MemOSMiddleware as MemOSMiddleware
    from langchain_memos.retriever import MemOSRetriever as MemOSRetriever
    from langchain_memos.store import MemOSStore as MemOSStore
    from langchain_memos.tools import memory_tools as memory_tools
    from langchain_memos.whose import NoUser as NoUser

__version__ = "0.1.0"

_HOME = {
    "ChatMemOS": "chat",
    "MemOSMiddleware": "middleware",
    "MemOSRetriever": "retriever",
    "MemOSStore": "store",
    "NoUser": "whose",
    "extractor_of": "extraction",
    "memory_tools": "tools",
    "with_memories": "chains",
}
_EXTRA_OF = {"middleware": "agents", "tools": "agents"}

__all__ = [*sorted(_HOME)]  # noqa: PLE0604 - names by construction


def __getattr__(name: str) -> Any:
    """Import a public name from its module (PEP 562); say which extra is missing, if one is."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _HOME[name]
    try:
        value = getattr(import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as exc:
        if module not in _EXTRA_OF or (exc.name or "").startswith(("langchain_memos", "memos_core")):
            raise
        extra = f"langchain-memos[{_EXTRA_OF[module]}]"
        raise ImportError(f"{name} needs {exc.name}: pip install '{extra}'", name=exc.name) from exc
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
