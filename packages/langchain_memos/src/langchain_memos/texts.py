"""What an item is found by: the texts at the paths that its `index` names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.store.base import get_text_at_path, tokenize_path

from memos_core import in_words


def texts_of(value: Mapping[str, Any], paths: Sequence[str] | None) -> tuple[str, ...]:
    """Return the texts to embed, each by itself; with `paths` None, one text that says the whole value."""
    if paths is None:
        whole = in_words(value)
        return (whole,) if whole else ()
    return tuple(
        text
        for path in paths
        for text in get_text_at_path(dict(value), path if path == "$" else tokenize_path(path))
        if text.strip()
    )
