"""Attention state as tensors, the way the transformers engine holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorState:
    """Keys and values of the tokens `start` to `end`, never written to once made.

    One tensor per layer, shape (kv heads, kept tokens, head dimensions), all layers with equally
    many kept tokens: `end - start` of them, or fewer where the state was sparsified. Keys carry the
    rotation of their tokens' positions, as the model's own cache would.
    """

    start: int
    end: int
    keys: tuple[torch.Tensor, ...]
    values: tuple[torch.Tensor, ...]

    @property
    def kept(self) -> int:
        """How many tokens are held."""
        return self.keys[0].shape[1] if self.keys else 0

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return sum(each.numel() * each.element_size() for each in (*self.keys, *self.values))

    @property
    def place(self) -> str:
        """The device that holds it."""
        return str(self.keys[0].device) if self.keys else "cpu"


def checked_chain(base: Sequence[TensorState]) -> int:
    """Return where a chain of states ends; they must follow on from each other from 0."""
    end = 0
    for state in base:
        if state.start != end:
            raise ValueError(f"a state of tokens {state.start} to {state.end} cannot follow token {end}")
        end = state.end
    return end
