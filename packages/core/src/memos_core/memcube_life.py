"""A cube's life cycle: memories are put away, brought back, kept as they are, written on as copies."""

from __future__ import annotations

from memos_core.governance import NEEDS
from memos_core.lifecycle import Trigger
from memos_core.memcube_base import Handle
from memos_core.memory import Memory, checked_id, checked_text
from memos_core.vault import tx_life


class LifeCycle(Handle):
    """The steps of `lifecycle.STEPS`. Each raises IllegalTransition where the table has none."""

    def activate(self, memory_id: str) -> Memory:
        """Mark a memory as in use, as its first recall does; return it."""
        return self._step(memory_id, Trigger.ACTIVATE)

    def archive(self, memory_id: str) -> Memory:
        """Put a memory away: it leaves every index and every answer until it is restored."""
        return self._step(memory_id, Trigger.ARCHIVE)

    def restore(self, memory_id: str) -> Memory:
        """Bring an archived memory back; return it."""
        return self._step(memory_id, Trigger.RESTORE)

    def freeze(self, memory_id: str) -> Memory:
        """Keep a memory as it is: it can be read and copied, not written, forgotten or expired."""
        return self._step(memory_id, Trigger.FREEZE)

    def unfreeze(self, memory_id: str) -> Memory:
        """Let a frozen memory be written again; return it. If its time is over, it expires."""
        return self._step(memory_id, Trigger.UNFREEZE)

    def _step(self, memory_id: str, trigger: Trigger) -> Memory:
        memory_id = checked_id(memory_id)
        with self._core.erasing(self._principal) as tx:
            return tx_life.step(tx, tx.open(self._id, NEEDS[trigger]), memory_id, trigger)

    def copy(self, memory_id: str, text: str | None = None) -> Memory:
        """Write a new memory that is derived from another, with other words if `text` is given; return it.

        This is how a frozen memory is written on: it stays, and the copy is linked "derived_from" it.
        """
        self._core.check_open()
        memory_id = checked_id(memory_id)
        words = None if text is None else self._core.redaction.text(checked_text(text))
        with self._core.indexer.writing():
            return self._core.intake.copy(self._principal, self._id, memory_id, text=words)
