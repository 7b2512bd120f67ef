"""Eight bits an element: keys by channel, before their rotation; values by token (KIVI: Liu et al., 2024).

A channel of keys has its own range, the same for all tokens, until the rotation mixes it with its
pair; a token of values has its own. The first tokens of a text take up attention beyond measure and
stay as they are.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

SINK = 4  # tokens at the beginning of the text (Xiao et al., 2024, "attention sinks", section 3)

_STEPS = 255
_LOWEST = -128


class Quantised(NamedTuple):
    """`codes` (int8) stand for `(codes + 128) * scale + low`; both are fp32, one per row or column."""

    codes: torch.Tensor
    scale: torch.Tensor
    low: torch.Tensor


def by_channel(keys: torch.Tensor) -> Quantised:
    """Quantise keys, shape (heads, tokens, dimensions), with a range of shape (heads, 1, dimensions)."""
    return _quantised(keys.float(), dim=1)


def by_token(values: torch.Tensor) -> Quantised:
    """Quantise values, shape (heads, tokens, dimensions), with a range of shape (heads, tokens, 1)."""
    return _quantised(values.float(), dim=2)


def restored(quantised: Quantised) -> torch.Tensor:
    """Return what the codes stand for, in fp32."""
    return (quantised.codes.float() - _LOWEST).mul_(quantised.scale).add_(quantised.low)


def _quantised(elements: torch.Tensor, *, dim: int) -> Quantised:
    if not elements.shape[1]:
        none = elements.new_zeros([1 if at == dim else size for at, size in enumerate(elements.shape)])
        return Quantised(elements.to(torch.int8), none, none)
    low = elements.amin(dim=dim, keepdim=True)
    scale = (elements.amax(dim=dim, keepdim=True) - low) / _STEPS
    safe = torch.where(scale > 0, scale, torch.ones_like(scale))  # a constant row is its own low
    codes = ((elements - low) / safe).round_().clamp_(0, _STEPS) + _LOWEST
    return Quantised(codes.to(torch.int8), scale, low)
