"""For chains of before LangChain 1.0. Legacy: their hosts are deprecated, and go with LangChain 2.0.

New code uses `MemOSMiddleware` or `with_memories`; the package's migration guide shows how.
"""

from __future__ import annotations

from langchain_memos.classic.history import MemOSChatMessageHistory
from langchain_memos.classic.memory import MemOSMemory

__all__ = ["MemOSChatMessageHistory", "MemOSMemory"]
