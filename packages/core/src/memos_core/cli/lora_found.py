"""Which adapter is meant, and how it is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from memos_core.cli.out import as_json
from memos_core.cli.place import cubes_to_read

if TYPE_CHECKING:
    from memos_core import Adapter, MemOS

Key = Annotated[str, typer.Argument(metavar="KEY", help="An adapter's key, or its beginning.")]


def adapters(memos: MemOS, cube: str | None) -> list[Adapter]:
    """Return the adapters of a cube, or of all cubes of the principal."""
    return [adapter for each in cubes_to_read(memos, cube) for adapter in memos.adapters(each)]


def one(memos: MemOS, key: str, cube: str | None) -> Adapter:
    """Return the one adapter whose key begins so; NotFound for none, InvalidInput for several."""
    from memos_core.lora import starting  # noqa: PLC0415 - loaded already when a store is open

    return starting(adapters(memos, cube), key)


def adapter_json(adapter: Adapter) -> dict[str, object]:
    """Return an adapter as JSON shows it."""
    sources = [origin._asdict() for origin in adapter.sources]
    return {**as_json(adapter), "sources": sources, "promoted": adapter.promoted}
