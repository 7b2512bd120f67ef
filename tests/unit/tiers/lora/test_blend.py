"""Adapters together: what they do adds up, exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core.errors import InvalidInput
from memos_core.tiers.lora.blend import cat
from memos_core.training import Weights

LAYER = "base_model.model.layers.{}.proj"


def adapter(seed, *, rank, alpha, layers=(0, 1), columns=5, rows=7):
    chance, tensors = np.random.default_rng(seed), {}
    for layer in layers:
        name = LAYER.format(layer)
        tensors[f"{name}.lora_A.weight"] = chance.standard_normal((rank, columns)).astype(np.float32)
        tensors[f"{name}.lora_B.weight"] = chance.standard_normal((rows, rank)).astype(np.float32)
    return Weights(tensors=tensors, rank=rank, alpha=alpha)


def change(weights, layer):
    """Return what an adapter adds to a layer's matrix; zeros where it leaves it alone."""
    name = LAYER.format(layer)
    if f"{name}.lora_A.weight" not in weights.tensors:
        return np.zeros((7, 5), dtype=np.float32)
    a, b = (weights.tensors[f"{name}.lora_{each}.weight"] for each in "AB")
    return weights.scale * b @ a


@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from([(0,), (1,), (0, 1)])), min_size=1, max_size=5),
    st.integers(0, 1000),
)
def test_what_several_change_is_the_sum_of_what_each_changes(shapes, seed):
    given_ = [
        adapter(seed + n, rank=rank, alpha=3.0 + n, layers=layers) for n, (rank, layers) in enumerate(shapes)
    ]
    together = cat(given_)
    assert together.rank == sum(rank for rank, _ in shapes)
    for layer in {layer for _, layers in shapes for layer in layers}:
        expected = sum(change(each, layer) for each in given_)
        np.testing.assert_allclose(change(together, layer), expected, rtol=1e-4, atol=1e-4)


def test_adapters_of_several_models_are_refused():
    with pytest.raises(InvalidInput, match="several models"):
        cat([adapter(1, rank=2, alpha=2.0), adapter(2, rank=2, alpha=2.0, columns=6)])


def test_none_are_refused():
    with pytest.raises(InvalidInput, match="no adapter"):
        cat([])
