"""Texts to ids and back: a tokenizer that several threads may use, for which text stays text.

What people wrote may look like a control token or like the template's own marks. Only the template
speaks in control tokens.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Texts:
    """The ids of texts, without the tokens that a tokenizer adds at the ends, and the text of ids."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._lock = threading.Lock()  # its settings change with every call
        self._literal = self._control = None
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if isinstance(backend, Tokenizer):  # copies whose settings never change need no lock
            self._literal, self._control = (_settled(backend, literal=each) for each in (True, False))

    def literal(self, text: str) -> list[int]:
        """Return the ids of what somebody wrote: no part of it becomes a control token."""
        return self._ids(text, self._literal, literal=True)

    def control(self, text: str) -> list[int]:
        """Return the ids of what the template wrote, control tokens included."""
        return self._ids(text, self._control, literal=False)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, control tokens left out, nothing tidied."""
        if self._control is not None:
            return str(self._control.decode(ids, skip_special_tokens=True))
        with self._lock:
            text: str = self._tokenizer.decode(
                ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        return text

    def digest(self) -> str:
        """Return the sha256 of everything that ids depend on."""
        if self._control is not None:
            return hashlib.sha256(self._control.to_str().encode()).hexdigest()
        facts = [type(self._tokenizer).__name__, self._tokenizer.get_vocab(), self._tokenizer.init_kwargs]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()

    def _ids(self, text: str, settled: Tokenizer | None, *, literal: bool) -> list[int]:
        if not text:
            return []
        if settled is not None:
            ids: list[int] = settled.encode(text, add_special_tokens=False).ids
            return ids
        with self._lock:
            return list(
                self._tokenizer.encode(
                    text, add_special_tokens=False, split_special_tokens=literal, verbose=False
                )
            )


def _settled(backend: Tokenizer, *, literal: bool) -> Any:
    copy = Tokenizer.from_str(backend.to_str())
    copy.no_truncation()
    copy.no_padding()
    copy.encode_special_tokens = literal
    return copy
