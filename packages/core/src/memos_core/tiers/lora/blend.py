"""Several adapters as one: their matrices side by side, so that their changes add up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memos_core.errors import InvalidInput
from memos_core.tiers.lora.layout import A, B
from memos_core.training import Tensors, Weights


def cat(adapters: Sequence[Weights]) -> Weights:
    """Return the adapter whose change is the sum of these ones' changes, of their ranks together.

    It is what PEFT calls "cat". Its "linear" adds the matrices instead, which is not the sum of what
    they do. A layer that one of them leaves alone has zeros in its place. InvalidInput where the same
    layer has other sizes in two of them, which are then of two models.
    """
    if not adapters:
        raise InvalidInput("there is no adapter to put together")
    names = sorted({name.removesuffix(A) for each in adapters for name in each.tensors if name.endswith(A)})
    tensors: dict[str, NDArray[np.float32]] = {}
    for name in names:
        columns, rows = _sizes(name, adapters)
        a = [_a(each, name, columns) for each in adapters]
        b = [_b(each, name, rows) for each in adapters]
        tensors[name + A] = np.concatenate(a, axis=0).astype(np.float32)
        tensors[name + B] = np.concatenate(b, axis=1).astype(np.float32)
    rank = sum(each.rank for each in adapters)
    return Weights(tensors=tensors, rank=rank, alpha=float(rank))


def _sizes(name: str, adapters: Sequence[Weights]) -> tuple[int, int]:
    """Return what a layer takes and gives."""
    found = {
        (each.tensors[name + A].shape[1], each.tensors[name + B].shape[0])
        for each in adapters
        if name + A in each.tensors
    }
    if len(found) != 1:
        raise InvalidInput(f"these adapters are of several models: {name!r} has other sizes in each")
    return found.pop()


def _a(each: Weights, name: str, columns: int) -> NDArray[np.float32]:
    return _or_zeros(each.tensors, name + A, (each.rank, columns))


def _b(each: Weights, name: str, rows: int) -> NDArray[np.float32]:
    return _or_zeros(each.tensors, name + B, (rows, each.rank)) * np.float32(each.scale)


def _or_zeros(tensors: Tensors, name: str, shape: tuple[int, int]) -> NDArray[np.float32]:
    found = tensors.get(name)
    return np.zeros(shape, dtype=np.float32) if found is None else found
