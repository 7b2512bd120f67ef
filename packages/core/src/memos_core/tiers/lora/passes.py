"""Pairs as token ids, and what a model makes of some of them at once.

Rows begin alike: with the same system text, often with the same passage or question. Whatever they
share is computed once. All rows are one tree of tokens; a token attends to its ancestors only and
stands at its depth, so that each row is computed as if it were alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_EXACT, _ROUNDED = 1e-3, 5e-2  # nats per token by which two ways to compute a row may differ
_KEEP = "logits_to_keep"


class Row(NamedTuple):
    """A question and its answer as ids; the answer begins at `start`."""

    ids: tuple[int, ...]
    start: int


class _Tree(NamedTuple):
    """Rows as one sequence of tokens. `paths` are the places of each row's tokens in it."""

    ids: list[int]
    depths: list[int]
    parents: list[int]
    paths: list[list[int]]


class Passes:
    """Passes through one model. `computing` is what is called, where it is another than the model.

    Before the first one it is seen whether the model computes a tree of rows as it does the rows
    apart. One that does not (its layers are not plain attention) is given them apart, and so is one with
    a sliding window the rows that are longer than it.
    """

    def __init__(self, model: PreTrainedModel, *, computing: Any = None) -> None:
        self._model: Any = model if computing is None else computing
        self._device, self._dtype = model.device, model.dtype
        self._keeps = _KEEP in inspect.signature(type(model).forward).parameters
        self._window: int | None = getattr(model.config, "sliding_window", None)
        self._shares: bool | None = None

    def losses(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        """Return for each row the negative log-probabilities of its answer's tokens (nats)."""
        return [loss(row, logits) for row, logits in zip(rows, self.logits(rows), strict=True)]

    def logits(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        """Return for each row the logits of its answer's tokens, shape (tokens, vocabulary), float32."""
        if self._shares is None:
            self._shares = self._is_as_good(rows[:4])
        fits = self._window is None or max(len(row.ids) for row in rows) <= self._window
        return self._together(rows) if self._shares and fits else self._apart(rows)

    def _is_as_good(self, rows: Sequence[Row]) -> bool:
        with torch.no_grad():
            try:
                together = self._together(rows)
            except (ValueError, TypeError, RuntimeError, IndexError):  # it takes no such mask
                return False
            most = _EXACT if self._dtype == torch.float32 else _ROUNDED
            pairs = zip(rows, together, self._apart(rows), strict=True)
            return all(abs(float((loss(row, a) - loss(row, b)).mean())) < most for row, a, b in pairs)

    def _together(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        tree = _tree(rows)
        wanted = [path[row.start - 1 : -1] for row, path in zip(rows, tree.paths, strict=True)]
        places = sorted({place for each in wanted for place in each})
        given: dict[str, Any] = {
            "input_ids": torch.tensor([tree.ids], device=self._device),
            "position_ids": torch.tensor([tree.depths], device=self._device),
            "attention_mask": _ancestors(tree.parents).to(self._device, self._dtype),
        }
        if self._keeps:
            given[_KEEP] = torch.tensor(places, device=self._device)
        logits = self._model(**given, use_cache=False).logits[0]
        at = (
            {place: n for n, place in enumerate(places)}
            if self._keeps
            else {place: place for place in places}
        )
        return [logits[[at[place] for place in each]].float() for each in wanted]

    def _apart(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        ids, mask = _padded(rows, device=self._device)
        logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return [logits[n, row.start - 1 : len(row.ids) - 1].float() for n, row in enumerate(rows)]


def loss(row: Row, logits: torch.Tensor) -> torch.Tensor:
    """Return the negative log-probabilities of the answer's tokens under these logits (nats)."""
    wanted = torch.tensor(row.ids[row.start :], device=logits.device)
    return torch.nn.functional.cross_entropy(logits, wanted, reduction="none")


def divergence(tuned: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """Return the mean Kullback-Leibler divergence of a model from its base; logits (tokens, vocabulary)."""
    log = torch.nn.functional.log_softmax
    return torch.nn.functional.kl_div(
        log(tuned.float(), dim=-1), log(base.float(), dim=-1), reduction="batchmean", log_target=True
    )


def _tree(rows: Sequence[Row]) -> _Tree:
    ids: list[int] = []
    depths: list[int] = []
    parents: list[int] = []
    children: dict[tuple[int, int], int] = {}
    paths = []
    for row in rows:
        place, path = -1, []
        for depth, token in enumerate(row.ids):
            above, place = place, children.setdefault((place, token), len(ids))
            if place == len(ids):
                ids.append(token)
                depths.append(depth)
                parents.append(above)
            path.append(place)
        paths.append(path)
    return _Tree(ids, depths, parents, paths)


def _ancestors(parents: Sequence[int]) -> torch.Tensor:
    """Return what is added to the attention, shape (1, 1, tokens, tokens): 0 for oneself and ancestors."""
    seen = torch.zeros(len(parents), len(parents), dtype=torch.bool)
    for place, parent in enumerate(parents):
        if parent >= 0:
            seen[place] = seen[parent]
        seen[place, place] = True
    hidden = torch.finfo(torch.bfloat16).min  # float16 has it as minus infinity, which does as well
    return torch.where(seen, 0.0, hidden)[None, None]


def _padded(rows: Sequence[Row], *, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and attention mask, shape (rows, longest), filled up on the right."""
    longest = max(len(row.ids) for row in rows)
    ids = [[*row.ids, *[0] * (longest - len(row.ids))] for row in rows]
    mask = [[1] * len(row.ids) + [0] * (longest - len(row.ids)) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)
