"""Pairs as token ids, and what a model makes of a batch of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch


class Row(NamedTuple):
    """A question and its answer as ids; the answer begins at `start`."""

    ids: tuple[int, ...]
    start: int


def answer_losses(model: Any, rows: Sequence[Row]) -> list[torch.Tensor]:
    """Return for each row the negative log-probabilities of its answer's tokens (nats)."""
    ids, mask = padded(rows, device=next(model.parameters()).device)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    losses = []
    for number, row in enumerate(rows):
        said = logits[number, row.start - 1 : len(row.ids) - 1].float()
        wanted = ids[number, row.start : len(row.ids)]
        losses.append(torch.nn.functional.cross_entropy(said, wanted, reduction="none"))
    return losses


def padded(rows: Sequence[Row], *, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and attention mask, shape (rows, longest), filled up on the right."""
    longest = max(len(row.ids) for row in rows)
    ids = [[*row.ids, *[0] * (longest - len(row.ids))] for row in rows]
    mask = [[1] * len(row.ids) + [0] * (longest - len(row.ids)) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def divergence(tuned: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """Return the mean Kullback-Leibler divergence of a model from its base; logits (tokens, vocabulary)."""
    log = torch.nn.functional.log_softmax
    return torch.nn.functional.kl_div(
        log(tuned.float(), dim=-1), log(base.float(), dim=-1), reduction="batchmean", log_target=True
    )
