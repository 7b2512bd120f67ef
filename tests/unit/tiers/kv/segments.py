"""Small states, headers and models that the tests of this folder share."""

from __future__ import annotations

from typing import Any

import torch

from memos_core.segment import EngineIdentity, Origin, SegmentHeader, segment_header
from memos_core.tiers.kv.rope import Rotation, Turn
from memos_core.tiers.kv.states import TensorState

IDENTITY = EngineIdentity(
    engine="twin",
    weights="aa",
    config="bb",
    tokenizer="cc",
    template="dd",
    dtype="float32",
    attention="sdpa",
    rope="ee",
)
LAYERS, HEADS, WIDTH = 3, 2, 8


def a_header(*, start: int = 0, tokens: int = 20, form: str = "exact", salt: str = "mira") -> SegmentHeader:
    return segment_header(
        IDENTITY,
        salt=salt,
        parent="",
        start=start,
        ids=range(100, 100 + tokens),
        sources=[Origin("m-1", 2)],
        form=form,
    )


def a_state(*, start: int = 0, tokens: int = 20, dtype: torch.dtype = torch.float32) -> TensorState:
    made = torch.Generator().manual_seed(7)
    shape = (HEADS, tokens, WIDTH)
    keys, values = (
        tuple(torch.randn(shape, generator=made).to(dtype) for _ in range(LAYERS)) for _ in range(2)
    )
    return TensorState(start=start, end=start + tokens, keys=keys, values=values)


def a_rotation() -> Rotation:
    """Half, interleaved and none, as a model might mix them."""
    frequencies = 100.0 ** -(torch.arange(0, WIDTH, 2) / WIDTH)
    turns = Turn(frequencies=frequencies), Turn(frequencies=frequencies[:2], interleaved=True)
    return Rotation(layers=(*turns, None))


def a_model(kind: str, **changed: Any) -> Any:
    """Return a tiny transformers model of this type with random weights, large enough to matter."""
    from transformers import AutoConfig, AutoModelForCausalLM

    small = {
        "vocab_size": 128,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "initializer_range": 0.2,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    torch.manual_seed(3)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **small | changed)).eval()


def prefilled(model: Any, ids: list[int], *, after: TensorState | None = None) -> TensorState:
    """Return the state of all ids beyond `after`, by the model's own cache."""
    from transformers import DynamicCache

    start = after.end if after else 0
    past = DynamicCache()
    if after:
        for at, (keys, values) in enumerate(zip(after.keys, after.values, strict=True)):
            past.update(keys[None].clone(), values[None].clone(), at)
    with torch.inference_mode():
        model(
            input_ids=torch.tensor([ids[start:]]),
            position_ids=torch.arange(start, len(ids))[None],
            past_key_values=past,
        )
    return TensorState(
        start=start,
        end=len(ids),
        keys=tuple(layer.keys[0, :, start:].clone() for layer in past.layers),
        values=tuple(layer.values[0, :, start:].clone() for layer in past.layers),
    )


def largest_difference(one: TensorState, other: TensorState) -> float:
    pairs = zip((*one.keys, *one.values), (*other.keys, *other.values), strict=True)
    return max(float((left.float() - right.float()).abs().max()) for left, right in pairs)
