"""What an item is found by: the texts at the paths that its `index` names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langgraph.store.base import get_text_at_path, tokenize_path


def texts_of(value: Mapping[str, Any], paths: Sequence[str] | None) -> tuple[str, ...]:
    """Return the texts to embed, each by itself; with `paths` None, one text that says the whole value."""
    if paths is None:
        whole = said(value)
        return (whole,) if whole else ()
    return tuple(
        text
        for path in paths
        for text in get_text_at_path(dict(value), path if path == "$" else tokenize_path(path))
        if text.strip()
    )


def said(value: Mapping[str, Any]) -> str:
    """Return the value in words: its one leaf alone, or one line `name: leaf` for each."""
    leaves = [(name, text) for name, text in _leaves(value, "") if text.strip()]
    if len(leaves) == 1:
        return leaves[0][1]
    return "\n".join(f"{name}: {text}" for name, text in leaves)


def _leaves(value: Any, name: str) -> Iterator[tuple[str, str]]:
    match value:
        case Mapping():
            for inner, each in value.items():
                yield from _leaves(each, str(inner))
        case list() | tuple():
            for each in value:
                yield from _leaves(each, name)
        case None:
            return
        case _:
            yield name, str(value)
