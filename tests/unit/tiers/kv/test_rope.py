"""Moving keys: as exact as the model's own rotation, or refused with the reason."""

from __future__ import annotations

import pytest

pytest.importorskip("transformers")
import torch

from memos_core.errors import InvalidInput
from memos_core.tiers.kv.rope import Rotation, Turn, rotation_of
from memos_core.tiers.kv.states import TensorState
from tests.unit.tiers.kv.segments import a_model, a_rotation, a_state, largest_difference

YARN = {
    "rope_type": "yarn",
    "factor": 4.0,
    "rope_theta": 10_000.0,
    "original_max_position_embeddings": 128,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "rope_theta": 500_000.0,
    "original_max_position_embeddings": 128,
}
PER_LAYER_TYPE = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
    "full_attention": {"rope_type": "default", "rope_theta": 1_000_000.0},
}
HALF, INTERLEAVED = False, True


def keys_at(model, start: int, tokens: int = 12) -> TensorState:
    """Return the model's own cache of the same tokens, standing at these positions."""
    with torch.inference_mode():
        cache = model(
            input_ids=torch.arange(5, 5 + tokens)[None],
            position_ids=torch.arange(start, start + tokens)[None],
            use_cache=True,
        ).past_key_values
    return TensorState(
        start=start,
        end=start + tokens,
        keys=tuple(layer.keys[0] for layer in cache.layers),
        values=tuple(layer.values[0] for layer in cache.layers),
    )


@pytest.mark.parametrize(
    ("kind", "changed", "pairs", "layout"),
    [
        pytest.param("llama", {}, [8] * 4, HALF, id="half"),
        pytest.param(
            "llama", {"rope_parameters": YARN}, [8] * 4, HALF, id="yarn, with its attention scaling"
        ),
        pytest.param("llama", {"rope_parameters": LLAMA3}, [8] * 4, HALF, id="llama 3's scaling"),
        pytest.param("qwen3", {}, [8] * 4, HALF, id="normalised keys"),
        pytest.param("cohere", {}, [8] * 4, INTERLEAVED, id="interleaved"),
        pytest.param("glm", {"attention_bias": False}, [4] * 4, INTERLEAVED, id="half of it, interleaved"),
        pytest.param("gpt_neox", {"hidden_act": "gelu"}, [2] * 4, HALF, id="a quarter"),
        pytest.param("smollm3", {}, [8, 8, 8, None], HALF, id="a layer without positions"),
    ],
)
def test_keys_move_as_the_model_itself_would_have_placed_them(kind, changed, pairs, layout):
    model = a_model(kind, **changed)
    rotation = rotation_of(model)
    assert [turn and turn.frequencies.shape[0] for turn in rotation.layers] == pairs
    assert all(turn.interleaved is layout for turn in rotation.layers if turn)
    moved = rotation.moved(keys_at(model, 3), 250)
    assert largest_difference(moved, keys_at(model, 250)) < 1e-4


def test_layer_types_keep_their_own_frequencies():
    types = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]
    model = a_model("gemma3_text", layer_types=types, rope_parameters=PER_LAYER_TYPE, sliding_window=512)
    rotation = rotation_of(model)
    assert [float(turn.frequencies[1]) for turn in rotation.layers if turn] == pytest.approx(
        [100.0**-0.125] * 3 + [1_000_000.0**-0.125]
    )
    assert largest_difference(rotation.moved(keys_at(model, 0), 200), keys_at(model, 200)) < 1e-4


def test_the_models_own_rounded_frequencies_are_used():
    """In bfloat16 the frequencies are rounded with the rest: the true ones would be off by per cents."""
    model = a_model("llama").to(torch.bfloat16)
    turn = rotation_of(model).layers[0]
    assert turn is not None
    assert torch.equal(turn.frequencies, model.model.rotary_emb.inv_freq.float())


@pytest.mark.parametrize(
    ("kind", "changed", "reason"),
    [
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}},
            "change with the length",
        ),
        (
            "phi3",
            {
                "rope_parameters": {
                    "rope_type": "longrope",
                    "rope_theta": 10_000.0,
                    "short_factor": [1.0] * 8,
                    "long_factor": [2.0] * 8,
                    "original_max_position_embeddings": 128,
                }
            },
            "change with the length",
        ),
        ("gpt2", {"n_embd": 64, "n_layer": 2, "n_head": 4}, "no rotary frequencies"),
        ("bloom", {"n_layer": 2, "n_head": 4}, "no rotary frequencies"),
        ("mamba", {}, "no rotary frequencies"),
    ],
)
def test_what_cannot_be_moved_is_refused_with_the_reason(kind, changed, reason):
    with pytest.raises(InvalidInput, match=reason):
        rotation_of(a_model(kind, **changed))


def test_a_model_that_turns_its_keys_in_another_way_is_refused():
    model = a_model("llama", num_hidden_layers=1)
    original = model.model.rotary_emb.forward

    def squeezed(x, position_ids):
        cos, sin = original(x, position_ids)
        return cos, sin * 0.5

    model.model.rotary_emb.forward = squeezed
    with pytest.raises(InvalidInput, match="no rotation by its own frequencies"):
        rotation_of(model)


def test_moving_there_and_back_changes_nothing_that_matters():
    state, rotation = a_state(), a_rotation()
    there = rotation.moved(state, 4_000)
    assert (there.start, there.end) == (4_000, 4_020)
    assert largest_difference(there, state) > 0.1
    assert largest_difference(rotation.moved(there, 0), state) < 1e-5


def test_moving_leaves_values_the_original_and_layers_without_positions_alone():
    state, rotation = a_state(), a_rotation()
    before = [each.clone() for each in state.keys]
    moved = rotation.moved(state, 9)
    assert moved.values is state.values
    assert moved.keys[2] is state.keys[2]
    assert all(torch.equal(one, other) for one, other in zip(state.keys, before, strict=True))


def test_a_sparsified_state_moves_by_the_same_angle():
    rotation, whole = a_rotation(), a_state()
    kept = torch.tensor([0, 3, 4, 19])
    sparse = TensorState(
        start=0,
        end=20,
        keys=tuple(k[:, kept] for k in whole.keys),
        values=tuple(v[:, kept] for v in whole.values),
    )
    moved, want = rotation.moved(sparse, 77), rotation.moved(whole, 77)
    assert (
        max(
            float((one - other[:, kept]).abs().max())
            for one, other in zip(moved.keys, want.keys, strict=True)
        )
        < 1e-5
    )


def test_keys_move_between_lists_of_positions():
    turn = Turn(frequencies=torch.tensor([1.0, 0.1]))
    rotation = Rotation(layers=(turn,))
    key = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(1))
    old, new = torch.tensor([5, 1, 9]), torch.tensor([0, 8, 9])
    (moved,) = rotation.turned([key], [old], [new])
    (back,) = rotation.turned([moved], [new], [old])
    assert torch.equal(moved[:, 2], key[:, 2])
    assert torch.allclose(back, key, atol=1e-6)
    assert not torch.allclose(moved[:, 0], key[:, 0], atol=1e-2)
