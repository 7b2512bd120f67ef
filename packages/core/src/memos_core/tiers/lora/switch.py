"""Adapters beside a model's layers: on for whoever computes within `on`, and for nobody else.

PEFT's `set_adapter` switches a model for everybody who uses it. Here a layer asks the thread that
computes; so one model answers with one adapter in this thread and with none in the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from memos_core.errors import InvalidInput
from memos_core.tiers.lora.layout import PREFIX, A, B
from memos_core.training import Weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Pair(NamedTuple):
    """One layer's matrices on the model's device, shapes (rank, in) and (out, rank), and their scale."""

    a: torch.Tensor
    b: torch.Tensor
    scale: float


Placed = Mapping[str, Pair]


class Switch:
    """The places in one model where adapters are added. Safe from several threads."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._active = threading.local()
        self._hooked: set[str] = set()
        self._lock = threading.Lock()

    def placed(self, weights: Weights) -> Placed:
        """Return an adapter where the model computes; InvalidInput where it does not fit the layers."""
        modules = dict(self._model.named_modules())
        found: dict[str, Pair] = {}
        for key in weights.tensors:
            if not key.endswith(A):
                continue
            name = key.removesuffix(A).removeprefix(PREFIX)
            weight = getattr(modules.get(name), "weight", None)
            pair = [torch.from_numpy(weights.tensors[key.removesuffix(A) + end].copy()) for end in (A, B)]
            if weight is None or tuple(weight.shape) != (pair[1].shape[0], pair[0].shape[1]):
                raise InvalidInput(f"this adapter does not fit the model: there is no such layer as {name!r}")
            a, b = (each.to(weight.device) for each in pair)
            found[name] = Pair(a, b, weights.scale)
        with self._lock:
            for name in found.keys() - self._hooked:
                modules[name].register_forward_hook(self._hook(name))
                self._hooked.add(name)
        return found

    @contextmanager
    def on(self, placed: Placed) -> Generator[None]:
        """Add this adapter to whatever this thread computes within."""
        before = getattr(self._active, "placed", None)
        self._active.placed = placed
        try:
            yield
        finally:
            self._active.placed = before

    def _hook(self, name: str) -> Callable[[torch.nn.Module, tuple[Any, ...], torch.Tensor], Any]:
        def added(_module: torch.nn.Module, given: tuple[Any, ...], output: torch.Tensor) -> Any:
            placed: Placed | None = getattr(self._active, "placed", None)
            pair = None if placed is None else placed.get(name)
            if pair is None:
                return None
            linear = torch.nn.functional.linear
            change = linear(linear(given[0].to(pair.a.dtype), pair.a), pair.b) * pair.scale
            return output + change.to(output.dtype)

        return added
