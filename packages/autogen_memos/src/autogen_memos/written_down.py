"""A store and a filter as they stand in a component's config: JSON's own types, and nothing secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from memos_core import InvalidInput, MemOS, Settings, Where


def store_to_config(memos: MemOS) -> dict[str, Any]:
    """Return how a store is opened again; InvalidInput where that cannot be written down."""
    return {name: value for name, value in asdict(memos.settings).items() if value is not None}


def store_from_config(store: Mapping[str, Any], *, principal: str) -> MemOS:
    """Return the store that the process has open with these settings, else open it."""
    try:
        settings = Settings(**store)
    except TypeError as exc:
        raise InvalidInput(f"the config's store is no Settings of MemOS: {exc}") from exc
    return MemOS.connect(settings, principal=principal)


def where_to_config(where: Where | None) -> dict[str, Any] | None:
    """Return a filter in JSON's own types."""
    if where is None:
        return None
    told = {name: value for name, value in asdict(where).items() if value not in (None, ())}
    return {name: _plain(value) for name, value in told.items()}


def where_from_config(told: Mapping[str, Any] | None) -> Where | None:
    """Return the filter that `where_to_config` wrote down."""
    if told is None:
        return None
    times = {name: datetime.fromisoformat(told[name]) for name in ("since", "until") if name in told}
    try:
        return Where(**{**told, **times})
    except TypeError as exc:
        raise InvalidInput(f"the config's filter is no Where of MemOS: {exc}") from exc


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value
