"""The names of the forms, eight bits, and what a sparsified state keeps."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
import torch

from memos_core.errors import InvalidInput
from memos_core.tiers.kv.forms import Form, form_of
from memos_core.tiers.kv.int8 import SINK, by_channel, by_token, restored
from memos_core.tiers.kv.rope import Rotation
from memos_core.tiers.kv.sparse import LAST, chosen
from memos_core.tiers.kv.states import TensorState
from tests.unit.tiers.kv.segments import LAYERS, a_rotation, a_state


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("exact", Form()),
        ("bfloat16", Form(elements="bfloat16")),
        ("int8", Form(elements="int8")),
        ("sparse-50", Form(share=0.5)),
        ("bfloat16+sparse-5", Form(elements="bfloat16", share=0.05)),
        ("int8+sparse-25", Form(elements="int8", share=0.25)),
    ],
)
def test_a_form_has_one_name(name, form):
    assert form_of(name) == form


@pytest.mark.parametrize(("name", "whole"), [("exact", True), ("int8", True), ("int8+sparse-99", False)])
def test_a_form_says_whether_every_token_is_stored(name, whole):
    assert form_of(name).is_whole == whole


@pytest.mark.parametrize(
    "name",
    ["", "fp8", "sparse", "sparse-0", "sparse-100", "sparse-05", "int8+", "+sparse-50", "int8sparse-50"],
)
def test_any_other_name_is_refused(name):
    with pytest.raises(InvalidInput, match="sparse-50"):
        form_of(name)


@pytest.mark.parametrize("quantise", [by_channel, by_token])
def test_eight_bits_are_off_by_half_a_step_at_most(quantise):
    elements = torch.randn(2, 50, 16, generator=torch.Generator().manual_seed(5)) * 30
    quantised = quantise(elements)
    assert quantised.codes.dtype == torch.int8
    off = (restored(quantised) - elements).abs()
    assert bool((off <= quantised.scale * 0.501 + 1e-6).all())


def test_a_channel_with_an_outlier_does_not_spoil_the_others():
    elements = torch.randn(1, 50, 4, generator=torch.Generator().manual_seed(5))
    elements[..., 2] += 1_000
    off = (restored(by_channel(elements)) - elements).abs()
    assert float(off[..., [0, 1, 3]].max()) < 0.02


@pytest.mark.parametrize("value", [0.0, -3.5, 1e-30, 6e4])
def test_constant_elements_come_back_as_they_are(value):
    elements = torch.full((1, 3, 4), value)
    assert torch.equal(restored(by_channel(elements)), elements)
    assert torch.equal(restored(by_token(elements)), elements)


def test_no_tokens_are_no_tokens():
    assert restored(by_channel(torch.empty(2, 0, 4))).shape == (2, 0, 4)
    assert restored(by_token(torch.empty(2, 0, 4))).shape == (2, 0, 4)


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.99])
def test_every_layer_keeps_equally_many_with_the_first_and_the_last_among_them(share):
    kept = chosen(a_state(tokens=60), share, a_rotation())
    assert len(kept) == LAYERS
    for each in kept:
        assert each.tolist() == sorted(set(each.tolist()))
        assert len(each) == max(-(-60 * share // 1), SINK + LAST)
        assert {*range(SINK), *range(60 - LAST, 60)} <= set(each.tolist())


def test_a_state_further_on_has_no_first_tokens_to_spare():
    kept = chosen(a_state(start=100, tokens=60), 0.01, a_rotation())
    assert [each.tolist() for each in kept] == [list(range(52, 60))] * LAYERS


def test_a_short_state_is_kept_whole():
    assert [len(each) for each in chosen(a_state(tokens=5), 0.1, a_rotation())] == [5] * LAYERS


def test_tokens_whose_keys_stand_out_are_kept():
    common = torch.ones(1, 40, 4)
    common[0, 17] = torch.tensor([1.0, -1.0, 1.0, -1.0])
    state = TensorState(start=50, end=90, keys=(common,), values=(common,))
    (kept,) = chosen(state, 0.01 + 9 / 40, Rotation(layers=(None,)))
    assert 17 in kept.tolist()
