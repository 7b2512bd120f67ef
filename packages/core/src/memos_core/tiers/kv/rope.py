"""Moving keys to other positions: the model's own rotation, undone and done again.

Rotary positions turn each pair of a key's elements by its token's position times the pair's
frequency (Su et al., RoFormer, 2021, section 3.2). A key is therefore moved by turning it by the
difference. Which pairs and which frequencies is not guessed from names: the model is run on a few
tokens at two places, and what moves its keys from the one to the other is its rotation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from memos_core.errors import InvalidInput
from memos_core.tiers.kv.states import TensorState

_CHANGING = ("dynamic", "longrope")  # frequencies that depend on how long the text is
_PROBE = 6  # tokens
_AWAY = 41  # positions between the two places of the probe; every frequency but the lowest shows there
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}  # relative; a wrong rotation is off by 0.1 to 2
_COARSE = 5e-2  # the same in half precision


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Turn:
    """How one layer turns its keys: pair i by position times `frequencies[i]` radians.

    Pair i of a half layout are the elements i and i + pairs, of an interleaved one 2i and 2i + 1;
    elements beyond the pairs are not turned. A scaling of the attention is part of the keys and
    stays with them.
    """

    frequencies: torch.Tensor
    interleaved: bool = False

    def angles(self, old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """Return the angles from `old` to `new` positions, shape (tokens, pairs), double precision.

        Each position's angle is rounded to fp32 first, as the model itself does it.
        """
        ends = (places.to(torch.float32)[:, None] * self.frequencies for places in (new, old))
        to, since = (angle.double() for angle in ends)
        return to - since

    def turned(self, keys: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        """Return keys, shape (heads, tokens, dimensions), turned by the angles, computed in fp32."""
        pairs = self.frequencies.shape[0]
        cos, sin = (each.float().to(keys.device) for each in (angles.cos(), angles.sin()))
        if self.interleaved:
            first, second = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
        else:
            first, second = slice(0, pairs), slice(pairs, 2 * pairs)
        left, right = keys[..., first].float(), keys[..., second].float()
        moved = keys.clone()
        moved[..., first] = (left * cos - right * sin).to(keys.dtype)
        moved[..., second] = (right * cos + left * sin).to(keys.dtype)
        return moved


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rotation:
    """What a model does to the keys of each layer, None where a layer knows no positions."""

    layers: tuple[Turn | None, ...]

    def turned(
        self, keys: Sequence[torch.Tensor], old: Sequence[torch.Tensor], new: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, ...]:
        """Return each layer's keys moved from the `old` to the `new` positions of its tokens."""
        return tuple(
            each if turn is None else turn.turned(each, turn.angles(since, to))
            for turn, each, since, to in zip(self.layers, keys, old, new, strict=True)
        )

    def moved(self, state: TensorState, start: int) -> TensorState:
        """Return the state as it would be if its first token stood at `start`; the values are shared."""
        if start == state.start:
            return state
        offset = start - state.start
        if state.kept == state.end - state.start:
            old = torch.arange(state.start, state.end)
        else:  # which tokens were kept is not said; how far they move is
            old = torch.zeros(1, dtype=torch.int64)
        return TensorState(
            start=start,
            end=state.end + offset,
            keys=tuple(self._shifted(state.keys, old, old + offset)),
            values=state.values,
        )

    def _shifted(
        self, keys: Sequence[torch.Tensor], old: torch.Tensor, new: torch.Tensor
    ) -> Iterator[torch.Tensor]:
        known: dict[int, torch.Tensor] = {}  # angles, by the frequencies that layers share
        for turn, each in zip(self.layers, keys, strict=True):
            if turn is None:
                yield each
                continue
            shared = id(turn.frequencies)
            if shared not in known:
                known[shared] = turn.angles(old, new)
            yield turn.turned(each, known[shared])


def rotation_of(model: Any) -> Rotation:
    """Return the rotation of a transformers causal language model, found by trying it.

    InvalidInput with the reason where its keys cannot be moved: frequencies that change with the
    length, positions that are learned or not there at all, or anything that no rotation explains.
    """
    _refuse_changing(model.config)
    candidates = list(_frequencies(model))
    if not candidates:
        raise _refused(model, "it has no rotary frequencies")
    keys, values = _probed(model)
    tolerance = _TOLERANCE.get(keys[0].dtype, _COARSE)
    if any(_deviation(each[1], each[0]) > tolerance for each in values):
        raise _refused(model, "its values change with the position")
    turns = [Turn(frequencies=each, interleaved=way) for each in candidates for way in (False, True)]
    return Rotation(layers=tuple(_fitting(model, each, turns, tolerance) for each in keys))


# --- trying ----------------------------------------------------------------------------------


def _fitting(model: Any, keys: torch.Tensor, turns: Sequence[Turn], tolerance: float) -> Turn | None:
    """Return what moves the first row of keys to the second, shape (2, heads, tokens, dimensions)."""
    here, there = keys
    if _deviation(there, here) <= tolerance:
        return None
    old = torch.arange(_PROBE)
    fits = [turn for turn in turns if 2 * turn.frequencies.shape[0] <= here.shape[-1]]
    tried = [_deviation(there, turn.turned(here, turn.angles(old, old + _AWAY))) for turn in fits]
    best = min(range(len(fits)), key=tried.__getitem__, default=None)
    if best is None or tried[best] > tolerance:
        raise _refused(model, "no rotation by its own frequencies explains its keys")
    return fits[best]


def _deviation(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest element."""
    scale = float(one.float().abs().max())
    return float((one.float() - other.float()).abs().max()) / scale if scale else 0.0


def _probed(model: Any) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return keys and values of a few tokens at two places, a tensor of two rows for each layer."""
    device = next(model.parameters()).device
    vocabulary = model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(1, _PROBE + 1, device=device) * max(1, vocabulary // (_PROBE + 2))
    places = torch.arange(_PROBE, device=device)
    try:
        with torch.inference_mode():
            cache = model(
                input_ids=(ids % vocabulary).expand(2, -1),
                position_ids=torch.stack([places, places + _AWAY]),
                use_cache=True,
            ).past_key_values
        layers = [(layer.keys, layer.values) for layer in cache.layers]
    except (TypeError, ValueError, AttributeError, IndexError) as exc:
        raise _refused(model, f"it cannot be tried at two positions ({exc})") from exc
    if not all(isinstance(each, torch.Tensor) and each.dim() == 4 for pair in layers for each in pair):
        raise _refused(model, "its cache does not hold plain keys and values")
    return [keys for keys, _ in layers], [values for _, values in layers]


def _frequencies(model: Any) -> Iterator[torch.Tensor]:
    """Yield each set of frequencies that the model holds now, as fp32 on the CPU, once."""
    seen: set[tuple[float, ...]] = set()
    for name, buffer in model.named_buffers():
        last = name.rpartition(".")[2]
        if last.endswith("inv_freq") and not last.endswith(("original_inv_freq", "long_inv_freq")):
            frequencies = buffer.detach().to("cpu", torch.float32).flatten().clone()
            facts = tuple(frequencies.tolist())
            if facts not in seen:
                seen.add(facts)
                yield frequencies


# --- refusing --------------------------------------------------------------------------------


def _refuse_changing(config: Any) -> None:
    for kind in _kinds(config.get_text_config()):
        if any(name in kind for name in _CHANGING):
            raise InvalidInput(
                f"keys of {config.model_type!r} cannot be moved: its rotary frequencies ({kind}) change with "
                "the length of the text; use exact mode"
            )


def _kinds(config: Any) -> Iterable[str]:
    """Return the names of the kinds of rotary positions that a config asks for."""
    parameters = getattr(config, "rope_parameters", None) or {}
    each: list[Mapping[str, Any]] = [parameters, *(v for v in parameters.values() if isinstance(v, dict))]
    return [str(one.get("rope_type", one.get("type", "default"))) for one in each]


def _refused(model: Any, reason: str) -> InvalidInput:
    return InvalidInput(f"keys of {model.config.model_type!r} cannot be moved: {reason}; use exact mode")
