"""Putting states together: with everything computed anew a full prefill, with less of it nearer than none."""

from __future__ import annotations

from itertools import chain

import pytest

pytest.importorskip("transformers")
import torch

from memos_core.errors import InvalidInput
from memos_core.tiers.kv.compose import composed
from memos_core.tiers.kv.rope import rotation_of
from memos_core.tiers.kv.states import TensorState
from tests.unit.tiers.kv.segments import a_model, largest_difference, prefilled

HEAD = list(range(10, 22))
PARTS = [list(range(30, 39)), list(range(50, 73)), list(range(90, 105))]
IDS = [*HEAD, *chain.from_iterable(PARTS)]


class Made:
    """A tiny model with a head, its parts, and the full prefill that they should come near to."""

    def __init__(self, kind: str = "llama", **changed) -> None:
        self.model = a_model(kind, **changed)
        self.rotation = rotation_of(self.model)
        self.head = prefilled(self.model, HEAD)
        self.parts = [prefilled(self.model, HEAD + part, after=self.head) for part in PARTS]
        self.full = prefilled(self.model, IDS, after=self.head)

    def composed(self, recompute: str, amount: float = 0, **changed) -> TensorState:
        given = {"head": self.head, "parts": self.parts, "ids": IDS} | changed
        head, parts, ids = given["head"], given["parts"], given["ids"]
        return composed(self.model, self.rotation, head, parts, ids, recompute=recompute, amount=amount)

    def distance(self, recompute: str, amount: float = 0) -> float:
        state = self.composed(recompute, amount)
        pairs = zip((*state.keys, *state.values), (*self.full.keys, *self.full.values), strict=True)
        return sum(float((one - other).square().sum()) for one, other in pairs)


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("llama", {}),
        ("llama", {"attn_implementation": "eager"}),
        ("cohere", {}),
        ("smollm3", {}),
        ("gpt_neox", {"hidden_act": "gelu"}),
    ],
)
@pytest.mark.parametrize(("recompute", "amount"), [("first", 1_000), ("deviating", 1.0)])
def test_with_everything_computed_anew_it_is_the_full_prefill(kind, changed, recompute, amount):
    made = Made(kind, **changed)
    state = made.composed(recompute, amount)
    assert (state.start, state.end, state.kept) == (len(HEAD), len(IDS), len(IDS) - len(HEAD))
    assert largest_difference(state, made.full) < 1e-4


def test_the_first_part_is_in_its_place_and_exact(made):
    state = made.composed("none")
    first = slice(0, len(PARTS[0]))
    assert (
        max(
            float((one[:, first] - other[:, first]).abs().max())
            for one, other in zip(
                (*state.keys, *state.values), (*made.full.keys, *made.full.values), strict=True
            )
        )
        < 1e-4
    )


def test_keys_of_the_first_layer_are_exact_everywhere(made):
    """They depend on nothing but their own token and its place: what is left is the rotation's own error."""
    assert float((made.composed("none").keys[0] - made.full.keys[0]).abs().max()) < 1e-4


def test_the_more_is_computed_anew_the_nearer_it_comes(made):
    first = [made.distance("first", amount) for amount in (0, 4, 12, 23)]
    assert first == sorted(first, reverse=True)
    assert first[0] == made.distance("none")
    deviating = [made.distance("deviating", share) for share in (0.1, 0.4, 0.7, 1.0)]
    assert deviating == sorted(deviating, reverse=True)
    assert deviating[0] < first[0]


def test_one_part_alone_is_a_full_prefill(made):
    for recompute, amount in (("none", 0), ("first", 8), ("deviating", 0.5)):
        state = made.composed(recompute, amount, parts=made.parts[:1], ids=IDS[: len(HEAD + PARTS[0])])
        assert largest_difference(state, made.parts[0]) < 1e-4


def test_what_was_put_together_is_left_as_it_was(made):
    each = (made.head, *made.parts)
    before = [tensor.clone() for state in each for tensor in (*state.keys, *state.values)]
    for recompute, amount in (("none", 0), ("first", 8), ("deviating", 0.5)):
        made.composed(recompute, amount)
    after = [tensor for state in each for tensor in (*state.keys, *state.values)]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_composed_state_continues_like_a_full_prefill(made):
    question = [3, 4, 5, 6]
    wanted = prefilled(made.model, IDS + question)
    after = _joined(made.head, made.composed("first", 1_000))
    got = prefilled(made.model, IDS + question, after=after)
    assert float((got.keys[-1] - wanted.keys[-1][:, len(IDS) :]).abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("recompute", "amount"),
    [("all", 1), ("first", -1), ("first", 1.5), ("deviating", 0), ("deviating", 1.1), ("deviating", 16)],
)
def test_an_unknown_way_or_amount_is_refused(made, recompute, amount):
    with pytest.raises(InvalidInput):
        made.composed(recompute, amount)


def test_parts_that_do_not_fit_are_refused(made):
    for changed in ({"parts": []}, {"ids": IDS[:-1]}, {"head": made.parts[0]}, {"parts": [made.head]}):
        with pytest.raises(InvalidInput):
            made.composed("none", **changed)


def test_sparsified_parts_are_only_moved(made):
    half = [
        TensorState(
            start=part.start,
            end=part.end,
            keys=tuple(each[:, ::2] for each in part.keys),
            values=tuple(each[:, ::2] for each in part.values),
        )
        for part in made.parts
    ]
    with pytest.raises(InvalidInput, match="sparsified"):
        made.composed("first", 4, parts=half)
    state = made.composed("none", parts=half)
    assert (state.end, state.kept) == (len(IDS), sum(part.kept for part in half))


def test_an_attention_without_masks_is_refused_where_one_is_needed(made, monkeypatch):
    monkeypatch.setattr(made.model.config, "_attn_implementation_internal", "flash_attention_2")
    with pytest.raises(InvalidInput, match="sdpa"):
        made.composed("first", 4)


def _joined(one: TensorState, other: TensorState) -> TensorState:
    return TensorState(
        start=0,
        end=other.end,
        keys=tuple(torch.cat(pair, dim=1) for pair in zip(one.keys, other.keys, strict=True)),
        values=tuple(torch.cat(pair, dim=1) for pair in zip(one.values, other.values, strict=True)),
    )
