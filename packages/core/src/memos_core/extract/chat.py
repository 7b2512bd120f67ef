"""Extraction by anything that answers a system text and a message."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from memos_core.extract.answers import instructions, listing, statements_in
from memos_core.memory import checked_name
from memos_core.protocols import Extracted, Passage


class ChatExtractor:
    """An extractor over a function that asks a chat model: `ask(system, message) -> answer`.

    `model` names it: what one model has read it does not read again. Raises what `ask` raises, and
    BackendError for an answer that holds no statements.
    """

    def __init__(self, ask: Callable[[str, str], str], *, model: str) -> None:
        self._ask, self._model = ask, checked_name(model, what="model")

    @property
    def identity(self) -> str:
        return f"extractor:{self._model}"

    def extract(self, passages: Sequence[Passage], *, context: Sequence[Passage] = ()) -> list[Extracted]:
        """Return what the passages state."""
        if not passages:
            return []
        answer = self._ask(instructions(), listing(passages, context=context))
        return statements_in(answer, passages, source=self.identity)
