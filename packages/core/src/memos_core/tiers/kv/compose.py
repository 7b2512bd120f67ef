"""Putting states together that were made apart: each is moved to its place, some of it computed anew.

The first tokens of a part are what it gets most wrong, since they took the place of a beginning
(EPIC: Hu et al., 2024, section 4); or the tokens are computed anew whose keys in an early layer
deviate most from what they would be after everything before them (CacheBlend: Yao et al., 2025,
section 4.3). What comes out is near a full prefill, not equal to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from itertools import accumulate, pairwise
from typing import Any, NoReturn

import torch
from transformers.cache_utils import Cache

from memos_core.errors import InvalidInput
from memos_core.tiers.kv.hf_attention import GROUPED
from memos_core.tiers.kv.hf_cache import ScatterLayer
from memos_core.tiers.kv.rope import Rotation
from memos_core.tiers.kv.states import TensorState

_SEEN_AT = 1  # the first layer whose keys depend on other tokens than their own
_MASKED = ("eager", "sdpa", GROUPED)  # the kinds of attention that take a mask of any shape


def composed(
    model: Any,
    rotation: Rotation,
    head: TensorState,
    parts: Sequence[TensorState],
    ids: Sequence[int],
    *,
    recompute: str = "first",
    amount: float = 16,
) -> TensorState:
    """Return one state of everything after `head`, in the order of `parts`; none of them is changed.

    Each part was made right after `head`. `ids` are the tokens of head and parts together.
    `recompute` is "none", "first" (the first `amount` tokens of each part but the first, which is in
    its place) or "deviating" (the share `amount` of all the parts' tokens, by their keys' deviation).
    InvalidInput where they do not fit together, or were sparsified and are to be computed anew.
    """
    _check(head, parts, ids, recompute, amount)
    starts = list(accumulate((part.end - part.start for part in parts), initial=head.end))
    moved = [rotation.moved(part, start) for part, start in zip(parts, starts, strict=False)]
    if recompute == "none" or (recompute == "first" and (amount < 1 or len(parts) < 2)):
        return _joined(moved, device=model.device)
    if model.config._attn_implementation not in _MASKED:
        raise InvalidInput(
            f"attention {model.config._attn_implementation!r} cannot compute single tokens anew: open the "
            "model with attention 'sdpa', or compose with recompute='none'"
        )
    whole = _joined([head, *moved], device=model.device)  # ours, and written to from here on
    with torch.inference_mode():
        if recompute == "first":
            slots = _firsts(starts, int(amount))
        else:
            slots = _largest(_deviations(model, whole, ids, head.end), amount) + head.end
        _forward(model, _layers(whole, slots), ids, slots)
    return _beyond(whole, head.end)


# --- which tokens ----------------------------------------------------------------------------


def _firsts(starts: Sequence[int], amount: int) -> torch.Tensor:
    """Return the first `amount` positions of each part but the first; `starts` ends with the end."""
    bounds = pairwise(starts[1:])
    return torch.cat([torch.arange(start, min(start + amount, end)) for start, end in bounds])


def _largest(deviations: torch.Tensor, share: float) -> torch.Tensor:
    """Return the indices of the share of the largest, in order, at least one."""
    count = max(1, math.ceil(share * deviations.shape[0]))
    return torch.topk(deviations, count).indices.sort().values.cpu()


def _deviations(model: Any, whole: TensorState, ids: Sequence[int], start: int) -> torch.Tensor:
    """Compute the first layers anew, in place; return how much each token's keys from `start` on changed.

    That is measured in the first layer that depends on the other tokens.
    """
    depth = min(_SEEN_AT, len(whole.keys) - 1)
    slots = torch.arange(start, whole.end)
    layers = _layers(whole, slots)
    before = whole.keys[depth][:, start:].clone()
    layers[depth] = _LastLayer(whole.keys[depth], whole.values[depth], layers[depth].slots)
    with suppress(_EnoughSeen):
        _forward(model, layers, ids, slots)
    return (whole.keys[depth][:, start:].float() - before.float()).square().sum(dim=(0, 2))


# --- computing -------------------------------------------------------------------------------


class _EnoughSeen(Exception):
    """The layer that was waited for has its keys and values; the rest need not be computed."""


class _LastLayer(ScatterLayer):
    """Ends the forward pass once it is full."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> NoReturn:
        super().update(key_states, value_states, *args, **kwargs)
        raise _EnoughSeen


def _layers(whole: TensorState, slots: torch.Tensor) -> list[ScatterLayer]:
    """Return layers of a cache that write what is computed for the slots into the state itself."""
    return [
        ScatterLayer(keys, values, slots.to(keys.device))
        for keys, values in zip(whole.keys, whole.values, strict=True)
    ]


def _forward(model: Any, layers: list[ScatterLayer], ids: Sequence[int], slots: torch.Tensor) -> None:
    """Compute the tokens at `slots`, each after all that is before it."""
    device = model.device
    dtype = layers[0].keys.dtype
    hidden = torch.arange(len(ids))[None, :] > slots[:, None]
    mask = torch.zeros(hidden.shape, dtype=dtype).masked_fill(hidden, torch.finfo(dtype).min)
    model(
        input_ids=torch.tensor(ids)[slots][None].to(device),
        position_ids=slots[None].to(device),
        attention_mask=mask[None, None].to(device),
        past_key_values=Cache(layers=layers),
        use_cache=True,
        logits_to_keep=1,
    )


# --- states ----------------------------------------------------------------------------------


def _joined(states: Sequence[TensorState], *, device: torch.device) -> TensorState:
    """Return the states, which follow on from each other, as one on this device."""
    keys, values = (
        zip(*each, strict=True) for each in zip(*((s.keys, s.values) for s in states), strict=True)
    )
    return TensorState(
        start=states[0].start,
        end=states[-1].end,
        keys=tuple(torch.cat([each.to(device) for each in layer], dim=1) for layer in keys),
        values=tuple(torch.cat([each.to(device) for each in layer], dim=1) for layer in values),
    )


def _beyond(whole: TensorState, start: int) -> TensorState:
    return TensorState(
        start=start,
        end=whole.end,
        keys=tuple(keys[:, start:].contiguous() for keys in whole.keys),
        values=tuple(values[:, start:].contiguous() for values in whole.values),
    )


def _check(
    head: TensorState, parts: Sequence[TensorState], ids: Sequence[int], recompute: str, amount: float
) -> None:
    if head.start != 0 or not parts or any(part.start != head.end for part in parts):
        raise InvalidInput("every part must have been made right after the head, and there must be one")
    end = head.end + sum(part.end - part.start for part in parts)
    if end != len(ids):
        raise InvalidInput(f"head and parts have {end} tokens together, not {len(ids)}")
    match recompute:
        case "none":
            return
        case "first" if amount >= 0 and amount == int(amount):
            pass
        case "deviating" if 0 < amount <= 1:
            pass
        case "first" | "deviating":
            raise InvalidInput(
                f"amount must be a whole number of tokens for 'first' and a share of 1 for 'deviating', "
                f"not {amount!r}"
            )
        case _:
            raise InvalidInput(f"recompute must be 'none', 'first' or 'deviating', not {recompute!r}")
    if any(state.kept != state.end - state.start for state in (head, *parts)):
        raise InvalidInput("sparsified states cannot be computed anew: compose them with recompute='none'")
