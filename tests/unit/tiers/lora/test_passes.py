"""Rows computed as one tree are what they are alone; a model that cannot do it is given them apart."""

import pytest

pytest.importorskip("torch", reason="needs the extra local-llm")

import torch

from memos_core.tiers.lora.passes import Passes, Row
from tests import kv_models

ROWS = [
    Row((5, 6, 7, 8, 9, 10), 4),
    Row((5, 6, 7, 11, 12), 3),  # as far as the third like the first
    Row((5, 6, 7, 8, 9, 13, 14, 15), 6),
    Row((5, 6, 7, 8, 9, 10), 4),  # the same again
    Row((20, 21, 22), 1),  # nothing in common
]


def apart(model, rows):
    """Return each row's logits, computed alone."""
    found = []
    for row in rows:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row.ids])).logits[0]
        found.append(logits[row.start - 1 : -1].float())
    return found


@pytest.mark.parametrize("kind", ["Llama", "Qwen2", "Mistral"])
def test_a_tree_of_rows_is_computed_as_each_row_alone(kind):
    model = kv_models.model(kind)
    passes = Passes(model)
    with torch.no_grad():
        found = passes.logits(ROWS)
    assert passes._shares
    for one, other in zip(found, apart(model, ROWS), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_what_rows_share_is_computed_once():
    model, seen = kv_models.model("Llama"), []

    def counted(**given):
        seen.append(given["input_ids"].shape)
        return model(**given)

    passes = Passes(model, computing=counted)
    passes._shares = True
    with torch.no_grad():
        passes.logits(ROWS)
    assert seen == [(1, 6 + 2 + 3 + 0 + 3)]


def test_a_model_that_ignores_where_tokens_stand_is_given_the_rows_apart():
    model = kv_models.model("Llama")

    def deaf(**given):
        given.pop("position_ids", None)
        return model(**given)

    passes = Passes(model, computing=deaf)
    with torch.no_grad():
        found = passes.logits(ROWS)
    assert passes._shares is False
    for one, other in zip(found, apart(model, ROWS), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_rows_longer_than_a_sliding_window_are_computed_apart():
    model, seen = kv_models.model("Mistral", sliding_window=4), []

    def counted(**given):
        seen.append(len(given["input_ids"]))
        return model(**given)

    passes = Passes(model, computing=counted)
    passes._shares = True
    with torch.no_grad():
        passes.logits(ROWS)
        passes.logits([Row((5, 6, 7), 2), Row((5, 6, 8), 2)])
    assert seen == [len(ROWS), 1]


def test_gradients_are_those_of_the_rows_alone():
    model = kv_models.model("Llama")
    weight = model.get_input_embeddings().weight

    def gradient(losses):
        (found,) = torch.autograd.grad(torch.cat(losses).sum(), [weight])
        return found

    passes = Passes(model)
    together = gradient(passes.losses(ROWS))
    passes._shares = False
    torch.testing.assert_close(together, gradient(passes.losses(ROWS)), rtol=1e-3, atol=1e-4)
