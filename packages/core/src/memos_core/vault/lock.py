"""One process per folder: Milvus Lite allows one, and one writer keeps the caches honest."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from memos_core.errors import Locked


class FolderLock:
    """Holds `folder` for this handle until released; the system releases it when the process dies.

    Raises Locked, naming the holder's process id, where somebody else has it.
    """

    def __init__(self, folder: Path) -> None:
        self._note = folder / "lock.pid"
        self._lock = FileLock(folder / "lock", thread_local=False)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as exc:
            raise Locked(str(folder), holder=self._holder()) from exc
        with suppress(OSError):  # a full disk: the lock holds all the same, only nameless
            self._note.write_text(str(os.getpid()), encoding="ascii")

    def release(self) -> None:
        """Let go; releasing twice is no error."""
        if self._lock.is_locked:
            self._note.unlink(missing_ok=True)
            self._lock.release()

    def _holder(self) -> str:
        try:
            number = self._note.read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            return "another process"
        if not number.isdecimal():
            return "another process"
        return "this process" if number == str(os.getpid()) else f"process {number}"
