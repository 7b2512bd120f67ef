"""MemOS for AutoGen: a memory for one agent, a memory for a team, and a chat completion client.

Names are imported when they are first asked for. `autogen_memos.agent_framework` serves AutoGen's
successor and needs the extra of that name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autogen_memos.agent_memory import AgentMemory as AgentMemory
    from autogen_memos.chat import MemOSChatCompletionClient as MemOSChatCompletionClient
    from autogen_memos.memory import MemOSMemory as MemOSMemory
    from autogen_memos.scopes import Scope as Scope
    from autogen_memos.team import HandoffPack as HandoffPack
    from autogen_memos.team import TeamMemory as TeamMemory

__version__ = "0.1.0"

_HOME = {
    "AgentMemory": "agent_memory",
    "HandoffPack": "team",
    "MemOSChatCompletionClient": "chat",
    "MemOSMemory": "memory",
    "Scope": "scopes",
    "TeamMemory": "team",
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
