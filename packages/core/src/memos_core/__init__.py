"""MemOS: a memory operating system for agents.

`MemOS.open(folder)` gives a store, `memos.cube(name)` a cube; `AsyncMemOS` is the same, awaited.
"""

from memos_core.aio import AsyncMemCube, AsyncMemOS
from memos_core.care import Checkup, Finding, Reindexed, Stats
from memos_core.cube import CubeHeader, Principal
from memos_core.errors import (
    BackendError,
    BackendUnavailable,
    Closed,
    Conflict,
    Forbidden,
    FormatError,
    IllegalTransition,
    InvalidInput,
    Locked,
    MemOSError,
    MigrationNeeded,
    NotFound,
)
from memos_core.memcube import MemCube
from memos_core.memory import (
    Behaviour,
    Descriptive,
    Erasure,
    Governance,
    Header,
    Link,
    Memory,
    Message,
    Relation,
    Revision,
    Source,
    State,
    Visibility,
)
from memos_core.memos import MemOS
from memos_core.query import Hit, Recall, Where, Why

__version__ = "0.1.0"

__all__ = [
    "AsyncMemCube", "AsyncMemOS", "BackendError", "BackendUnavailable", "Behaviour", "Checkup", "Closed",
    "Conflict", "CubeHeader", "Descriptive", "Erasure", "Finding", "Forbidden", "FormatError", "Governance",
    "Header", "Hit", "IllegalTransition", "InvalidInput", "Link", "Locked", "MemCube", "MemOS", "MemOSError",
    "Memory", "Message", "MigrationNeeded", "NotFound", "Principal", "Recall", "Reindexed", "Relation",
    "Revision", "Source", "State", "Stats", "Visibility", "Where", "Why",
]  # fmt: skip
