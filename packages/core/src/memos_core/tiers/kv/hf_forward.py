"""One forward pass: some tokens after what is there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.cache_utils import Cache


def advanced(model: PreTrainedModel, cache: Cache, ids: Sequence[int], start: int) -> torch.Tensor:
    """Compute `ids`, which stand at the positions from `start` on, into the cache.

    They see all that the cache holds, however many tokens that is, and each other causally. Returns
    the logits after the last of them, shape (vocabulary,). To be called in inference mode.
    """
    places = torch.arange(start, start + len(ids), device=model.device)
    output = model(
        input_ids=torch.tensor([ids], device=model.device),
        position_ids=places[None],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    logits: torch.Tensor = output.logits[0, -1]
    return logits
