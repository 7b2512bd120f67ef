"""Which tokens of a state a sparsified form keeps."""

from __future__ import annotations

import math

import torch

from memos_core.tiers.kv.int8 import SINK
from memos_core.tiers.kv.rope import Rotation
from memos_core.tiers.kv.states import TensorState

LAST = 8  # tokens at the end of a state that are always kept


def chosen(state: TensorState, share: float, rotation: Rotation) -> tuple[torch.Tensor, ...]:
    """Return the indices of the tokens that each layer keeps, in order, equally many in all layers.

    The choice asks for no query and differs from layer to layer, in the spirit of Memory^3 (Yang et
    al., 2024, section 3.2); what is kept are the tokens whose keys are least like the others (KeyDiff:
    Park et al., 2025, section 4), before their rotation. That came nearer to the
    whole state than the attention received, and than norms of keys or values. The text's first tokens
    and the state's last ones are always kept.
    """
    tokens = state.kept
    spared = max(0, min(SINK - state.start, tokens)) + min(LAST, tokens)
    count = min(tokens, max(math.ceil(share * tokens), spared))
    places = [torch.arange(state.start, state.end)] * len(state.keys)
    plain = [each.float() for each in state.keys]
    keys = rotation.turned(plain, places, [torch.zeros_like(each) for each in places])
    return tuple(_best(_distinctness(each), state.start, count) for each in keys)


def _best(importance: torch.Tensor, start: int, count: int) -> torch.Tensor:
    importance[: max(0, SINK - start)] = torch.inf
    importance[-LAST:] = torch.inf
    return torch.topk(importance, count).indices.sort().values.cpu()


def _distinctness(keys: torch.Tensor) -> torch.Tensor:
    """Return how little a token's keys point where the mean points, shape (tokens,), larger is less."""
    directions = torch.nn.functional.normalize(keys, dim=-1)
    mean = torch.nn.functional.normalize(directions.mean(dim=1, keepdim=True), dim=-1)
    return -(directions * mean).sum(dim=-1).mean(dim=0)
